# The image of a release, from programs that are built already (.goreleaser.yaml), for several processors: nothing runs on the
# image's own. Dockerfile beside it builds the same from the sources.
FROM --platform=$BUILDPLATFORM alpine:3.22 AS directory
RUN mkdir /media

FROM gcr.io/distroless/static-debian12:nonroot
ARG TARGETPLATFORM
COPY $TARGETPLATFORM/greenroom /greenroom
COPY --from=directory --chown=65532:65532 /media /var/lib/greenroom/media
ENV GREENROOM_HTTP_ADDR=0.0.0.0:8080 GREENROOM_WORKER_HTTP_ADDR=0.0.0.0:9091 GREENROOM_LOG_FORMAT=json
EXPOSE 8080 9091
ENTRYPOINT ["/greenroom"]
CMD ["api"]

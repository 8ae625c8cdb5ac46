package media

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// S3Options identify a bucket of a service that speaks S3.
type S3Options struct {
	// Endpoint is http(s)://host[:port].
	Endpoint             string
	Bucket, Region       string
	AccessKey, SecretKey string
	// Dial connects to the service; nil means a plain dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// RootCAs are the trusted certificate authorities; nil means the system's.
	RootCAs *x509.CertPool
}

// URLs returns the URLs of the endpoint and, where it differs (Amazon S3 has a host for each bucket and region), of the
// bucket: no other host is called. It does no I/O.
func (o S3Options) URLs(ctx context.Context) ([]string, error) {
	s, err := NewS3(o)
	if err != nil {
		return nil, err
	}
	signed, err := s.client.PresignedGetObject(ctx, o.Bucket, "any", time.Minute, nil)
	if err != nil {
		return nil, fmt.Errorf("find the bucket's host: %w", err)
	}
	return []string{o.Endpoint, signed.Scheme + "://" + signed.Host}, nil
}

// S3 is a Store in an existing bucket.
type S3 struct {
	client *minio.Client
	bucket string
}

// partBytes is the memory that an upload uses: the smallest part that S3 allows. It allows 10,000 of them, so files are
// limited to 48 GiB.
const partBytes = 5 << 20

// NewS3 returns the store of a bucket; it does no I/O. Like every HTTP client of this product it ignores the proxy
// settings of the environment. Redirects are errors.
func NewS3(o S3Options) (*S3, error) {
	u, err := url.Parse(o.Endpoint)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("S3 endpoint is not a URL: %q", o.Endpoint)
	}
	transport, err := minio.DefaultTransport(u.Scheme == "https")
	if err != nil {
		return nil, fmt.Errorf("prepare S3 transport: %w", err)
	}
	transport.Proxy = nil
	if o.Dial != nil {
		transport.DialContext = o.Dial
	}
	if o.RootCAs != nil {
		transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.RootCAs}
	}
	client, err := minio.New(u.Host, &minio.Options{
		Creds:     credentials.NewStaticV4(o.AccessKey, o.SecretKey, ""),
		Secure:    u.Scheme == "https",
		Region:    o.Region,
		Transport: transport,
	})
	if err != nil {
		return nil, fmt.Errorf("prepare S3 client: %w", err)
	}
	return &S3{client: client, bucket: o.Bucket}, nil
}

// Put implements [Store]: the parts become an object only when all of them have been uploaded.
func (s *S3) Put(ctx context.Context, name string, r io.Reader, limit int64) (int64, error) {
	if err := checkName(name); err != nil {
		return 0, err
	}
	src := &source{r: r, left: limit}
	// A sender that disconnects fails src and thereby the upload. The context must not be canceled with the request,
	// because the client still needs it to remove the parts.
	_, err := s.client.PutObject(context.WithoutCancel(ctx), s.bucket, name, src, -1, minio.PutObjectOptions{
		PartSize: partBytes, ContentType: "application/octet-stream",
	})
	if err = errors.Join(src.err, err); err != nil {
		return 0, fmt.Errorf("put object: %w", err)
	}
	return src.size, nil
}

// Open implements [Store]. Each seek is a separate request to the service.
func (s *S3) Open(ctx context.Context, name string) (*File, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	object, err := s.client.GetObject(ctx, s.bucket, name, minio.GetObjectOptions{})
	if err != nil {
		return nil, fmt.Errorf("get object: %w", err)
	}
	info, err := object.Stat()
	if err != nil {
		_ = object.Close()
		return nil, s.missing(ctx, err)
	}
	return &File{ReadSeekCloser: object, Size: info.Size, ModTime: info.LastModified}, nil
}

// missing distinguishes a missing file from a missing bucket: a HEAD request is answered with 404 for both.
func (s *S3) missing(ctx context.Context, err error) error {
	var answer minio.ErrorResponse
	if errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound {
		if exists, failed := s.client.BucketExists(ctx, s.bucket); failed != nil || exists {
			return ErrNotFound
		}
	}
	return fmt.Errorf("stat object: %w", err)
}

// Delete implements [Store].
func (s *S3) Delete(ctx context.Context, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	err := s.client.RemoveIncompleteUpload(ctx, s.bucket, name)
	// Another process may have removed it, and some servers answer so when the bucket never had an upload.
	if err != nil && minio.ToErrorResponse(err).Code != minio.NoSuchUpload {
		return fmt.Errorf("remove incomplete upload: %w", err)
	}
	if err = s.client.RemoveObject(ctx, s.bucket, name, minio.RemoveObjectOptions{}); err != nil {
		return fmt.Errorf("remove object: %w", err)
	}
	return nil
}

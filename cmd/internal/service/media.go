package service

import (
	"context"
	"log/slog"

	"github.com/uptrace/bun"

	"greenroom/api/media"
	"greenroom/cmd/internal/config"
	"greenroom/db/leader"
)

// MediaStore returns the store of uploaded files: the bucket if configured, otherwise the directory.
func MediaStore(ctx context.Context, cfg config.Config) (media.Store, error) {
	s := cfg.Media.S3
	if s.Endpoint == "" {
		return media.NewDir(cfg.Media.Dir).LeaveFree(int64(cfg.Media.MinFree)), nil
	}
	o := media.S3Options{
		Endpoint: s.Endpoint, Bucket: s.Bucket, Region: s.Region, AccessKey: s.AccessKey, SecretKey: s.SecretKey,
	}
	urls, err := o.URLs(ctx)
	if err != nil {
		return nil, err
	}
	if o.RootCAs, err = authorities(servicesCASetting, cfg.Egress.ServicesCA); err != nil {
		return nil, err
	}
	o.Dial = operatorClient(nil, hostPorts(urls)).DialContext
	return media.NewS3(o)
}

// mediaLease is the lease of the one API process that deletes orphaned files. Workers do not, because the directory may
// be accessible only to API processes.
const mediaLease = "media"

// sweepMedia deletes orphaned files, in one API process at a time, until ctx ends or stop is called. stop waits for its
// end, because the database is closed after it.
func sweepMedia(ctx context.Context, d *bun.DB, store media.Store, logger *slog.Logger) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	s := &media.Sweeper{DB: d, Store: store}
	task := leader.Task{Name: "delete orphaned files", Every: media.SweepEvery, Run: func(ctx context.Context) error {
		_, err := s.Sweep(ctx)
		return err
	}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		leader.Run(ctx, d, mediaLease, logger, task)
	}()
	return func() {
		cancel()
		<-done
	}
}

package service

import (
	"context"

	"greenroom/api/media"
	"greenroom/cmd/internal/config"
)

// mediaStore is where videos are kept: in the bucket when there is one, else in the directory.
func mediaStore(cfg config.Config) (media.Store, error) {
	if s := cfg.Media.S3; s.Endpoint != "" {
		return media.NewS3(media.S3Options{
			Endpoint: s.Endpoint, Bucket: s.Bucket, Region: s.Region, AccessKey: s.AccessKey, SecretKey: s.SecretKey,
		})
	}
	return media.NewDir(cfg.Media.Dir), nil
}

// sweepMedia runs the sweeper until ctx ends or stop is called, which waits for its end: the database is closed after
// it.
func sweepMedia(ctx context.Context, s *media.Sweeper) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Run(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}

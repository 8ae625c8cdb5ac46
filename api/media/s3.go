package media

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// S3Options name a bucket of a service that speaks S3.
type S3Options struct {
	// Endpoint is http(s)://host[:port].
	Endpoint             string
	Bucket, Region       string
	AccessKey, SecretKey string
}

// S3 is a Store in a bucket, which must be there already.
type S3 struct {
	client *minio.Client
	bucket string
}

// partBytes is what an upload holds in memory. S3 takes parts from 5 MiB on, 10,000 of them: files of up to 78 GiB.
const partBytes = 8 << 20

// NewS3 returns the store of a bucket; it does no I/O. Its client is not behind the guard that webhooks are sent
// through: where it connects to is the operator's setting, often a private address on purpose, and nothing that a
// user could choose. Like every way out of this product it takes no proxy from the environment.
func NewS3(o S3Options) (*S3, error) {
	u, err := url.Parse(o.Endpoint)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("the address of the S3 service is not a URL: %q", o.Endpoint)
	}
	transport, err := minio.DefaultTransport(u.Scheme == "https")
	if err != nil {
		return nil, fmt.Errorf("prepare S3 transport: %w", err)
	}
	transport.Proxy = nil
	client, err := minio.New(u.Host, &minio.Options{
		Creds: credentials.NewStaticV4(
			o.AccessKey,
			o.SecretKey,
			"",
		),
		Secure:    u.Scheme == "https",
		Region:    o.Region,
		Transport: transport,
	})
	if err != nil {
		return nil, fmt.Errorf("prepare S3 client: %w", err)
	}
	return &S3{client: client, bucket: o.Bucket}, nil
}

// Put is as [Store] says: the parts become an object only when all of them are there.
func (s *S3) Put(ctx context.Context, name string, r io.Reader, limit int64) (int64, error) {
	if err := checkName(name); err != nil {
		return 0, err
	}
	src := &source{r: r, left: limit}
	// A sender that hangs up ends src, and with it the upload. The context must outlive that: with it the parts are
	// taken back.
	_, err := s.client.PutObject(context.WithoutCancel(ctx), s.bucket, name, src, -1, minio.PutObjectOptions{
		PartSize: partBytes, ContentType: "application/octet-stream",
	})
	if err = errors.Join(src.err, err); err != nil {
		return 0, fmt.Errorf("put object: %w", err)
	}
	return src.size, nil
}

// Open is as [Store] says. Each place that is gone to is a request of its own to the service.
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

// missing tells a file that is not there from a bucket that is not there: the service has no words for either (HEAD).
func (s *S3) missing(ctx context.Context, err error) error {
	var answer minio.ErrorResponse
	if errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound {
		if there, failed := s.client.BucketExists(ctx, s.bucket); failed != nil || there {
			return ErrNotFound
		}
	}
	return fmt.Errorf("look at object: %w", err)
}

// Delete is as [Store] says.
func (s *S3) Delete(ctx context.Context, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	if err := s.client.RemoveIncompleteUpload(ctx, s.bucket, name); err != nil {
		return fmt.Errorf("take parts back: %w", err)
	}
	if err := s.client.RemoveObject(ctx, s.bucket, name, minio.RemoveObjectOptions{}); err != nil {
		return fmt.Errorf("remove object: %w", err)
	}
	return nil
}

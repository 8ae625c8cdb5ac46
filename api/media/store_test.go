package media_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"greenroom/api/media"
)

// stores returns both kinds of store, each with a function that counts everything stored, partial files included.
func stores(t *testing.T) map[string]struct {
	media.Store
	kept func() int
} {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "media")
	s3, parts := s3Store(t)
	return map[string]struct {
		media.Store
		kept func() int
	}{
		"directory": {media.NewDir(dir), func() int {
			files, err := os.ReadDir(dir)
			require.NoError(t, err)
			return len(files)
		}},
		"s3": {s3, parts},
	}
}

// s3Store returns a store on a server that speaks S3 over HTTP. kept counts its objects and the uploads that were
// neither completed nor aborted.
func s3Store(t *testing.T) (store *media.S3, kept func() int) {
	t.Helper()
	backend := s3mem.New()
	require.NoError(t, backend.CreateBucket("videos"))
	var open atomic.Int64
	fake := gofakes3.New(backend, gofakes3.WithLogger(gofakes3.DiscardLog())).Server()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch q := r.URL.Query(); {
		case r.Method == http.MethodPost && q.Has("uploads"):
			open.Add(1)
		case q.Has("uploadId") && (r.Method == http.MethodPost || r.Method == http.MethodDelete):
			open.Add(-1)
		}
		fake.ServeHTTP(w, decoded(t, r))
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // it logs an error for a missing object
	server.Start()
	t.Cleanup(server.Close)
	store, err := media.NewS3(media.S3Options{
		Endpoint: server.URL, Bucket: "videos", Region: "eu-central-1", AccessKey: "key", SecretKey: "secret",
	})
	require.NoError(t, err)
	return store, func() int {
		list, err := backend.ListBucket("videos", nil, gofakes3.ListBucketPage{})
		require.NoError(t, err)
		return len(list.Contents) + int(open.Load())
	}
}

// decoded removes the signatures between the chunks of a part, because this server removes them from whole objects
// only. They have the format of HTTP chunk extensions.
func decoded(t *testing.T, r *http.Request) *http.Request {
	t.Helper()
	if r.Method != http.MethodPut || r.Header.Get("X-Amz-Content-Sha256") != "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" {
		return r
	}
	size, err := strconv.ParseInt(r.Header.Get("X-Amz-Decoded-Content-Length"), 10, 64)
	if err != nil {
		t.Errorf("a part without its size: %v", err)
	}
	r.Body, r.ContentLength = io.NopCloser(httputil.NewChunkedReader(r.Body)), size
	r.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
	return r
}

func random(n int) []byte {
	data := make([]byte, n)
	source := rand.NewChaCha8([32]byte{})
	_, _ = source.Read(data)
	return data
}

const big = 20<<20 + 17 // of several parts, the last one odd

func TestStore(t *testing.T) {
	t.Parallel()
	for kind, s := range stores(t) {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			data := random(big)

			_, err := s.Open(ctx, "one")
			require.ErrorIs(t, err, media.ErrNotFound)

			size, err := s.Put(ctx, "one", bytes.NewReader(data), big)
			require.NoError(t, err, "a file of exactly the limit")
			require.EqualValues(t, big, size)
			same(t, s, "one", data)

			f, err := s.Open(ctx, "one")
			require.NoError(t, err)
			defer f.Close()
			for _, from := range []int64{big - 5, 0, 9 << 20} {
				_, err = f.Seek(from, io.SeekStart)
				require.NoError(t, err)
				part := make([]byte, 5)
				_, err = io.ReadFull(f, part)
				require.NoError(t, err)
				assert.Equal(t, data[from:from+5], part, "at %d", from)
			}
			require.False(t, f.ModTime.IsZero())

			require.NoError(t, s.Delete(ctx, "one"))
			require.NoError(t, s.Delete(ctx, "one"), "deleted already")
			_, err = s.Open(ctx, "one")
			require.ErrorIs(t, err, media.ErrNotFound)
			assert.Zero(t, s.kept())
		})
	}
}

func same(t *testing.T, s media.Store, name string, data []byte) {
	t.Helper()
	f, err := s.Open(t.Context(), name)
	require.NoError(t, err)
	defer f.Close()
	require.Equal(t, int64(len(data)), f.Size)
	got, err := io.ReadAll(f)
	require.NoError(t, err)
	require.True(t, bytes.Equal(data, got), "the file is read back unchanged")
}

// cutOff returns a reader that fails after n bytes, as when the sender disconnects.
func cutOff(n int) io.Reader {
	return io.MultiReader(bytes.NewReader(random(n)), iotest.ErrReader(io.ErrUnexpectedEOF))
}

// A store that kept a partial file would show a truncated answer without any error.
func TestStore_keeps_no_partial_file(t *testing.T) {
	t.Parallel()
	for kind, s := range stores(t) {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			for name, c := range map[string]struct {
				r    io.Reader
				want error
			}{
				"too-large":                  {bytes.NewReader(random(big + 1)), media.ErrTooLarge},
				"disconnected":               {cutOff(big / 2), io.ErrUnexpectedEOF},
				"disconnected-in-first-part": {cutOff(100), io.ErrUnexpectedEOF},
				"disconnected-before-a-byte": {iotest.ErrReader(errors.New("reset")), nil},
				"timed-out-between-parts": {
					io.MultiReader(bytes.NewReader(random(8<<20)), iotest.TimeoutReader(bytes.NewReader(random(1<<20)))),
					iotest.ErrTimeout,
				},
			} {
				_, err := s.Put(t.Context(), name, c.r, big)
				require.Error(t, err, name)
				if c.want != nil {
					require.ErrorIs(t, err, c.want, name)
				}
				assert.Equal(t, name != "too-large", media.IsInterrupted(err), name)
				_, err = s.Open(t.Context(), name)
				require.ErrorIs(t, err, media.ErrNotFound, name)
				assert.Zero(t, s.kept(), name)
			}
		})
	}
}

// The request's context is canceled when the sender disconnects; the uploaded parts must be removed all the same.
func TestS3_removes_parts_when_the_request_is_canceled(t *testing.T) {
	t.Parallel()
	s, kept := s3Store(t)
	ctx, cancel := context.WithCancel(t.Context())
	hangUp := readerFunc(func([]byte) (int, error) {
		cancel()
		return 0, context.Canceled
	})
	_, err := s.Put(ctx, "one", io.MultiReader(bytes.NewReader(random(9<<20)), hangUp), big)
	require.ErrorIs(t, err, context.Canceled)
	assert.Zero(t, kept())
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestStore_refuses_invalid_names(t *testing.T) {
	t.Parallel()
	for kind, s := range stores(t) {
		for _, name := range []string{"", "..", "../x", "a/b", "a.part", ".x", "A", "a b", "a\x00"} {
			_, err := s.Put(t.Context(), name, bytes.NewReader(nil), 1)
			require.ErrorIs(t, err, media.ErrName, "%s %q", kind, name)
			_, err = s.Open(t.Context(), name)
			require.ErrorIs(t, err, media.ErrName, "%s %q", kind, name)
			require.ErrorIs(t, s.Delete(t.Context(), name), media.ErrName, "%s %q", kind, name)
		}
	}
}

// A process that was killed during a write leaves a partial file, which Delete removes too.
func TestDir_deletes_what_an_interrupted_upload_left(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "one.part"), []byte("half"), 0o600))
	s := media.NewDir(dir)
	_, err := s.Open(t.Context(), "one")
	require.ErrorIs(t, err, media.ErrNotFound)
	require.NoError(t, s.Delete(t.Context(), "one"))
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, files)
}

func TestDir_files_are_private_to_their_owner(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a", "media")
	s := media.NewDir(dir)
	require.NoDirExists(t, dir, "created on first use")
	_, err := s.Put(t.Context(), "one", bytes.NewReader([]byte("x")), 1)
	require.NoError(t, err)
	for path, mode := range map[string]os.FileMode{dir: 0o700, filepath.Join(dir, "one"): 0o600} {
		info, err := os.Stat(path)
		require.NoError(t, err)
		assert.Equal(t, mode, info.Mode().Perm(), path)
	}
}

func TestS3_distinguishes_a_missing_file_from_a_missing_bucket(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(gofakes3.New(s3mem.New(), gofakes3.WithLogger(gofakes3.DiscardLog())).Server())
	t.Cleanup(server.Close)
	s, err := media.NewS3(
		media.S3Options{Endpoint: server.URL, Bucket: "none", Region: "eu-central-1", AccessKey: "k", SecretKey: "s"},
	)
	require.NoError(t, err)
	_, err = s.Open(t.Context(), "one")
	require.Error(t, err)
	require.NotErrorIs(t, err, media.ErrNotFound, "a fault of the set-up must not look like a deleted video")
}

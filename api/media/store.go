package media

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"time"
)

// Errors of a store that the caller can act on. Any other error is a fault of the store.
var (
	// ErrTooLarge means that the file exceeds the limit; nothing was stored.
	ErrTooLarge = errors.New("file is too large")
	// ErrNotFound means that the file does not exist.
	ErrNotFound = errors.New("file not found")
	// ErrFull means that the store has no space for the file; nothing was stored.
	ErrFull = errors.New("store is full")
	// ErrName means that the name is not a valid file name of a store.
	ErrName = errors.New("invalid file name")
)

// Store stores files by name. It is safe for concurrent use, also by several processes that share the directory or
// bucket.
type Store interface {
	// Put streams r into a new file and returns its size in bytes. A file of more than limit bytes is ErrTooLarge. Once
	// Put has returned nil, the file is durable and complete. If r fails, no file is left.
	Put(ctx context.Context, name string, r io.Reader, limit int64) (int64, error)
	// Open opens a file for reading and seeking; ErrNotFound when it does not exist. The caller closes it.
	Open(ctx context.Context, name string) (*File, error)
	// Delete removes a file and anything that an interrupted Put left of it. A missing file is not an error.
	Delete(ctx context.Context, name string) error
}

// File is an open file.
type File struct {
	io.ReadSeekCloser
	Size    int64 // bytes
	ModTime time.Time
}

// nameForm matches names that are portable across file systems and URLs; the names in use are UUIDs.
var nameForm = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,99}$`)

func checkName(name string) error {
	if !nameForm.MatchString(name) {
		return fmt.Errorf("%w: %q", ErrName, name)
	}
	return nil
}

// source is the reader that a store copies an upload from. It fails with ErrTooLarge beyond the limit and keeps the
// first error. It never returns io.ErrUnexpectedEOF, which the S3 client takes for the end of the file: the client
// would store a truncated file.
type source struct {
	r    io.Reader
	left int64
	size int64
	err  error
	// hasSpace, if set, is asked before the first byte and then every spaceEvery bytes.
	hasSpace func() error
	asked    int64 // up to this size
}

// spaceEvery is how much of a file is written between two checks of the free space, in bytes.
const spaceEvery = 8 << 20

func (s *source) Read(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	if s.hasSpace != nil && s.size >= s.asked {
		if s.err = s.hasSpace(); s.err != nil {
			return 0, s.err
		}
		s.asked = s.size + spaceEvery
	}
	if int64(len(p)) > s.left+1 { // one extra byte shows that the limit is exceeded
		p = p[:s.left+1]
	}
	n, err := s.r.Read(p)
	s.left -= int64(n)
	s.size += int64(n)
	switch {
	case s.left < 0:
		s.err = ErrTooLarge
	case err != nil && !errors.Is(err, io.EOF):
		s.err = &interruptedError{err}
	case err != nil:
		return n, err
	}
	return n, s.err
}

// interruptedError means that the sender or the connection failed during an upload. Callers that compare errors with
// ==, as io.ReadFull does, must not see the reader's own error, hence the type.
type interruptedError struct{ cause error }

func (e *interruptedError) Error() string { return "upload interrupted: " + e.cause.Error() }

func (e *interruptedError) Unwrap() error { return e.cause }

// IsInterrupted reports whether an upload failed because its reader failed before the end.
func IsInterrupted(err error) bool {
	var i *interruptedError
	return errors.As(err, &i)
}

package media

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"time"
)

// What a store refuses; anything else is a fault of ours.
var (
	// ErrTooLarge: there was more than the limit, and nothing of it was kept.
	ErrTooLarge = errors.New("file is too large")
	// ErrNotFound: there is no such file.
	ErrNotFound = errors.New("file not found")
	// ErrName: not a name that a store keeps files under.
	ErrName = errors.New("not a name of a file")
)

// Store keeps files by name. It may be used by many goroutines, and by several processes that share what is behind it.
type Store interface {
	// Put stores what r gives under a new name, as a stream, and returns its size in bytes. A file of more than limit
	// bytes is ErrTooLarge. The file is there, durably, once Put returned nil, and never in part: what r breaks off
	// leaves nothing.
	Put(ctx context.Context, name string, r io.Reader, limit int64) (int64, error)
	// Open returns a file for reading, at any place in it; ErrNotFound when there is none. The caller closes it.
	Open(ctx context.Context, name string) (*File, error)
	// Delete removes a file and what an interrupted Put may have left of it. One that is not there is no error.
	Delete(ctx context.Context, name string) error
}

// File is an open file.
type File struct {
	io.ReadSeekCloser
	Size    int64 // bytes
	ModTime time.Time
}

// nameForm keeps names to what is the same on every file system and in every URL; the names in use are UUIDs.
var nameForm = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,99}$`)

func checkName(name string) error {
	if !nameForm.MatchString(name) {
		return fmt.Errorf("%w: %q", ErrName, name)
	}
	return nil
}

// source is an upload on its way into a store: it ends with ErrTooLarge beyond the limit and remembers why it broke
// off. A fault is never io.ErrUnexpectedEOF, which the S3 client would take for the end of the file and keep half of
// it.
type source struct {
	r    io.Reader
	left int64
	size int64
	err  error
}

func (s *source) Read(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	if int64(len(p)) > s.left+1 { // one byte more tells that there is more
		p = p[:s.left+1]
	}
	n, err := s.r.Read(p)
	s.left -= int64(n)
	s.size += int64(n)
	switch {
	case s.left < 0:
		s.err = ErrTooLarge
	case err != nil && !errors.Is(err, io.EOF):
		s.err = &brokenOff{err}
	case err != nil:
		return n, err
	}
	return n, s.err
}

// brokenOff is the fault of an upload's sender, or of the way to them. It deliberately does not unwrap to the
// reader's own error where errors are compared by ==, as io.ReadFull does.
type brokenOff struct{ cause error }

func (e *brokenOff) Error() string { return "upload broke off: " + e.cause.Error() }

func (e *brokenOff) Unwrap() error { return e.cause }

// IsBrokenOff reports whether a Put failed because what it was given did not come to its end.
func IsBrokenOff(err error) bool {
	var b *brokenOff
	return errors.As(err, &b)
}

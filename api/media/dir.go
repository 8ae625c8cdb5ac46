package media

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"syscall"
)

// Dir is a Store in a directory. A file is written under a temporary name, synced to disk and then renamed, so that a
// name is either a complete file or absent, even after a crash of the machine.
type Dir struct {
	path    string
	minFree int64 // bytes of the file system

	mu   sync.Mutex
	root *os.Root
}

// NewDir returns the store of a directory. The directory is created on first use, readable by its owner only, so a
// process without uploads needs none.
func NewDir(path string) *Dir { return &Dir{path: path} }

// LeaveFree makes Put fail with ErrFull when the file system has fewer free bytes, so that uploads do not take the
// space that other programs need. It returns the store.
func (d *Dir) LeaveFree(bytes int64) *Dir {
	d.minFree = bytes
	return d
}

// hasSpace returns ErrFull when the file system has too little free space.
func (d *Dir) hasSpace() error {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(d.path, &fs); err != nil {
		return fmt.Errorf("check free space: %w", err)
	}
	if free := fs.Bavail * uint64(fs.Bsize); free < uint64(d.minFree) { // both are positive
		return ErrFull
	}
	return nil
}

// partial is the suffix of an incomplete file. A valid name has no dot, so a partial file cannot be opened.
const partial = ".part"

// Put implements [Store].
func (d *Dir) Put(_ context.Context, name string, r io.Reader, limit int64) (size int64, err error) {
	root, err := d.open(name)
	if err != nil {
		return 0, err
	}
	f, err := root.OpenFile(name+partial, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, fmt.Errorf("create file: %w", err)
	}
	src := &source{r: r, left: limit}
	if d.minFree > 0 {
		src.hasSpace = d.hasSpace
	}
	size, err = io.Copy(f, src)
	if err == nil {
		err = f.Sync()
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		err = errors.Join(ErrFull, err)
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = root.Rename(name+partial, name)
	}
	if err != nil {
		return 0, errors.Join(fmt.Errorf("write file: %w", err), root.Remove(name+partial))
	}
	return size, d.sync(root)
}

// sync flushes the directory: a rename is durable only once its directory is synced.
func (d *Dir) sync(root *os.Root) error {
	f, err := root.Open(".")
	if err == nil {
		err = errors.Join(f.Sync(), f.Close())
	}
	if err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	return nil
}

// Open implements [Store].
func (d *Dir) Open(_ context.Context, name string) (*File, error) {
	root, err := d.open(name)
	if err != nil {
		return nil, err
	}
	f, err := root.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("open file: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("stat file: %w", err), f.Close())
	}
	return &File{ReadSeekCloser: f, Size: info.Size(), ModTime: info.ModTime()}, nil
}

// Delete implements [Store].
func (d *Dir) Delete(_ context.Context, name string) error {
	root, err := d.open(name)
	if err != nil {
		return err
	}
	for _, n := range []string{name, name + partial} {
		if err := root.Remove(n); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("delete file: %w", err)
		}
	}
	return d.sync(root)
}

// open checks the name and returns the directory, which it opens on first use.
func (d *Dir) open(name string) (*os.Root, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.root != nil {
		return d.root, nil
	}
	if err := os.MkdirAll(d.path, 0o700); err != nil {
		return nil, fmt.Errorf("create media directory: %w", err)
	}
	root, err := os.OpenRoot(d.path)
	if err != nil {
		return nil, fmt.Errorf("open media directory: %w", err)
	}
	d.root = root
	return root, nil
}

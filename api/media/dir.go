package media

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
)

// Dir is a Store in a directory. A file is written beside its place, brought to disk and then renamed, so that a name
// is either a whole file or nothing, whatever happens to the machine meanwhile.
type Dir struct {
	path string

	mu   sync.Mutex
	root *os.Root
}

// NewDir returns the store of a directory. It is made with the first file, for its owner alone: a process that is
// given no videos needs no place for them.
func NewDir(path string) *Dir { return &Dir{path: path} }

// partial marks a file that is not whole; a name has no dot, so that it cannot be asked for.
const partial = ".part"

// Put is as [Store] says.
func (d *Dir) Put(_ context.Context, name string, r io.Reader, limit int64) (size int64, err error) {
	root, err := d.open(name)
	if err != nil {
		return 0, err
	}
	f, err := root.OpenFile(name+partial, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, fmt.Errorf("create file: %w", err)
	}
	size, err = io.Copy(f, &source{r: r, left: limit})
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = root.Rename(name+partial, name)
	}
	if err != nil {
		return 0, errors.Join(fmt.Errorf("write file: %w", err), root.Remove(name+partial))
	}
	return size, d.sync(root)
}

// sync brings the directory to disk: a renamed file is as durable as its directory.
func (d *Dir) sync(root *os.Root) error {
	f, err := root.Open(".")
	if err == nil {
		err = errors.Join(f.Sync(), f.Close())
	}
	if err != nil {
		return fmt.Errorf("bring directory to disk: %w", err)
	}
	return nil
}

// Open is as [Store] says.
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
		return nil, errors.Join(fmt.Errorf("look at file: %w", err), f.Close())
	}
	return &File{ReadSeekCloser: f, Size: info.Size(), ModTime: info.ModTime()}, nil
}

// Delete is as [Store] says.
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

// open checks the name and opens the directory, once.
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
		return nil, fmt.Errorf("make directory of media: %w", err)
	}
	root, err := os.OpenRoot(d.path)
	if err != nil {
		return nil, fmt.Errorf("open directory of media: %w", err)
	}
	d.root = root
	return root, nil
}

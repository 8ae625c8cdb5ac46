package devstack

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// owner is the unprivileged user that PostgreSQL runs as when Greenroom runs as root, which PostgreSQL refuses. A nil
// owner is the calling user.
type owner struct {
	name     string
	uid, gid uint32
}

// unprivilegedOwner returns nil unless the caller is root. It prefers the user that PostgreSQL's packages create and
// falls back to nobody, which every system has.
func unprivilegedOwner() (*owner, error) {
	if os.Geteuid() != 0 {
		return nil, nil //nolint:nilnil // nil is the calling user
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, errUID := strconv.ParseUint(u.Uid, 10, 32)
		gid, errGID := strconv.ParseUint(u.Gid, 10, 32)
		if errUID == nil && errGID == nil {
			return &owner{name: name, uid: uint32(uid), gid: uint32(gid)}, nil
		}
	}
	return nil, errors.New("PostgreSQL does not run as root and this system has neither a user postgres nor nobody: " +
		"run Greenroom as another user, or set GREENROOM_DATABASE_URL to a database you have")
}

func (o *owner) credential() *syscall.Credential {
	if o == nil {
		return nil
	}
	return &syscall.Credential{Uid: o.uid, Gid: o.gid}
}

// makeDir creates the directory with the given mode for the owner. It does not change its parents.
func (o *owner) makeDir(path string, mode os.FileMode) error {
	if err := os.MkdirAll(path, mode); err != nil {
		return fmt.Errorf("create directory: %w", err)
	}
	return o.take(path)
}

func (o *owner) take(path string) error {
	if o == nil {
		return nil
	}
	if err := os.Lchown(path, int(o.uid), int(o.gid)); err != nil {
		return fmt.Errorf("give %s to user %s: %w", path, o.name, err)
	}
	return nil
}

// canEnter runs a program in the directory as that user: modes of directories are not enough to know (ACLs, mounts,
// security modules).
func (o *owner) canEnter(dir, program string) (bool, error) {
	cmd := exec.Command(program, "--version") //nolint:noctx // prints a line and ends
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: o.credential()}
	err := cmd.Run()
	if errors.Is(err, fs.ErrPermission) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("run %s in %s: %w", filepath.Base(program), dir, err)
	}
	return true, nil
}

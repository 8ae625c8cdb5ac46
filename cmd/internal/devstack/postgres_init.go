package devstack

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

// systemDir holds the data if root runs Greenroom in a directory that no other user can enter, such as one under /root.
const systemDir = "/var/lib/greenroom"

// makeCluster creates the cluster under a temporary name and renames it, so that a kill does not leave an incomplete
// one.
func (p *Postgres) makeCluster(ctx context.Context) error {
	data, err := p.chooseData()
	if err != nil {
		return err
	}
	p.data = data
	fresh := data + ".new"
	if err := os.RemoveAll(fresh); err != nil {
		return fmt.Errorf("remove an incomplete cluster: %w", err)
	}
	if err := p.owner.makeDir(fresh, 0o700); err != nil {
		return err
	}
	if err := p.newPassword(); err != nil {
		return err
	}
	if err := p.initdb(ctx, fresh); err != nil {
		return err
	}
	if err := os.Rename(fresh, data); err != nil {
		return fmt.Errorf("rename the cluster: %w", err)
	}
	return nil
}

// chooseData returns Dir/postgres, or a directory below systemDir and links Dir/postgres to it.
func (p *Postgres) chooseData() (string, error) {
	place := filepath.Join(p.opts.Dir, "postgres")
	if err := os.Remove(place); err != nil && !errors.Is(err, os.ErrNotExist) { // an empty directory or a dangling link
		return "", fmt.Errorf("%s is not a PostgreSQL cluster: move it away to start with empty data", place)
	}
	if p.owner == nil {
		return place, nil
	}
	ok, err := p.owner.canEnter(p.opts.Dir, p.programs.path("postgres"))
	if err != nil || ok {
		return place, err
	}
	sum := sha256.Sum256([]byte(p.opts.Dir))
	home := filepath.Join(systemDir, hex.EncodeToString(sum[:6]))
	if err := os.MkdirAll(home, 0o711); err != nil {
		return "", fmt.Errorf("create directory: %w", err)
	}
	// media.dir is below systemDir too, and an API of root that made it let nobody else in.
	info, err := os.Stat(systemDir)
	if err == nil {
		err = os.Chmod(systemDir, info.Mode().Perm()|0o011)
	}
	if err != nil {
		return "", fmt.Errorf("let the cluster's user enter %s: %w", systemDir, err)
	}
	data := filepath.Join(home, "postgres")
	if err := os.Symlink(data, place); err != nil {
		return "", fmt.Errorf("link to the cluster: %w", err)
	}
	fmt.Fprintf(
		p.opts.Log,
		"PostgreSQL runs as user %s, which cannot enter %s: its data is in %s\n",
		p.owner.name,
		p.opts.Dir,
		data,
	)
	return data, nil
}

func (p *Postgres) newPassword() error {
	p.password = rand.Text()
	if err := os.WriteFile(p.passwordFile(), []byte(p.password+"\n"), 0o600); err != nil {
		return fmt.Errorf("write the cluster's password: %w", err)
	}
	return nil
}

func (p *Postgres) initdb(ctx context.Context, dir string) error {
	passwordFile := dir + ".password" // temporary, readable by the cluster's user
	if err := os.WriteFile(passwordFile, []byte(p.password), 0o600); err != nil {
		return fmt.Errorf("write the cluster's password for initdb: %w", err)
	}
	defer os.Remove(passwordFile)
	if err := p.owner.take(passwordFile); err != nil {
		return err
	}
	args := []string{
		"-D", dir, "-U", postgresName, "--pwfile", passwordFile, "--auth", "scram-sha-256",
		"--encoding", "UTF8", "--no-instructions",
	}
	if runtime.GOOS == "darwin" {
		args = append(args, "--locale", "C", "--lc-ctype", "UTF-8")
	} else {
		args = append(args, "--locale", "C.UTF-8")
	}
	if p.opts.Fast {
		args = append(args, "--no-sync")
	}
	cmd := exec.CommandContext(ctx, p.programs.path("initdb"), args...)
	cmd.Dir = dir
	cmd.SysProcAttr = childAttributes(p.owner, syscall.SIGKILL)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("create the PostgreSQL cluster: %w: %s", reason(ctx, err), lastLine(out))
	}
	return nil
}

func lastLine(out []byte) string {
	out = bytes.TrimSpace(out)
	return strings.TrimSpace(string(out[bytes.LastIndexByte(out, '\n')+1:]))
}

// ownerOfCluster returns the owner of the data, since PostgreSQL must run as that user. It refuses another user's
// data unless the caller is root.
func ownerOfCluster(data string) (*owner, error) {
	info, err := os.Stat(data)
	if err != nil {
		return nil, fmt.Errorf("examine the cluster: %w", err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil, fmt.Errorf("examine the cluster: %s has no owner", data)
	}
	o := &owner{name: strconv.Itoa(int(stat.Uid)), uid: stat.Uid, gid: stat.Gid}
	if u, err := user.LookupId(o.name); err == nil {
		o.name = u.Username
	}
	switch {
	case int(stat.Uid) == os.Geteuid() && stat.Uid != 0:
		return nil, nil //nolint:nilnil // nil is the calling user
	case os.Geteuid() != 0:
		return nil, fmt.Errorf(
			"%s belongs to user %s: run as that user or as root, or choose another GREENROOM_DEV_DIR",
			data,
			o.name,
		)
	case stat.Uid == 0:
		return nil, fmt.Errorf(
			"%s belongs to root, and PostgreSQL refuses to run as root: give it to an unprivileged user with chown -R",
			data,
		)
	}
	return o, nil
}

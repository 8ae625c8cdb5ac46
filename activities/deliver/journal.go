package deliver

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// Journal keeps the results of attempts in files until they are recorded in PostgreSQL. After a kill, the next process
// on the machine records them, so that they are not made again. The files are not flushed: what the kernel has survives
// the process. When the machine is lost, attempts are repeated.
//
// A process writes to two files in turn, and locks both while it lives. A nil Journal keeps nothing.
type Journal struct {
	dir    string
	logger *slog.Logger

	mu            sync.Mutex
	active, other *segment
	failing       bool // the last write failed
}

// segment is one file. open counts its results that are not recorded.
type segment struct {
	path string
	file *os.File
	size int
	open int
}

const (
	journalPattern = "*.journal"
	// segmentSize is where a journal turns to its other file, when that has nothing unrecorded.
	segmentSize = 256 << 10
	// journalBody is the largest body that a journal has.
	journalBody = 16 << 10
)

// OpenJournal creates a journal in dir, which it creates too.
func OpenJournal(dir string, logger *slog.Logger) (*Journal, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create the journal's directory (setting worker.journal_dir): %w", err)
	}
	j := &Journal{dir: dir, logger: logger}
	for _, s := range []**segment{&j.active, &j.other} {
		path := filepath.Join(dir, uuid.NewString()+".journal")
		f, err := createLocked(path)
		if err != nil {
			return nil, fmt.Errorf("create a journal: %w", err)
		}
		*s = &segment{file: f, path: path}
	}
	return j, nil
}

// createLocked creates a file that has its name only once it is locked: another process would take an unlocked one for
// that of a killed process, and delete it.
func createLocked(path string) (*os.File, error) {
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, os.Rename(f.Name(), path)
}

// Close gives the files up. Those with unrecorded results stay for the next process.
func (j *Journal) Close() {
	if j == nil {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, s := range []*segment{j.active, j.other} {
		if s.open == 0 {
			_ = os.Remove(s.path)
		}
		_ = s.file.Close()
	}
}

// write keeps a result until recorded is called. A large body is left out: it is rendered again when it is needed. A
// full disk costs duplicates after a kill, and nothing else.
func (j *Journal) write(r delivery.AttemptRecord) (recorded func()) {
	if j == nil {
		return func() {}
	}
	if len(r.Body) > journalBody {
		r.Body = nil
	}
	line, err := json.Marshal(r)
	if err != nil {
		j.logger.Error("an attempt cannot be written to the journal", "error", err)
		return func() {}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	s := j.segment()
	n, err := s.file.Write(append(line, '\n'))
	s.size += n
	if err != nil && !j.failing {
		j.logger.Error("the journal cannot be written (setting worker.journal_dir)", "error", err)
	}
	j.failing = err != nil
	s.open++
	return func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		s.open--
	}
}

// segment returns the file to write to. A full one is left when the other has nothing unrecorded.
func (j *Journal) segment() *segment {
	if j.active.size < segmentSize || j.other.open > 0 {
		return j.active
	}
	j.active, j.other = j.other, j.active
	if err := j.active.file.Truncate(0); err == nil {
		j.active.size = 0
	}
	return j.active
}

// recoverEvery is how often a process looks for the journals of killed ones: well before Temporal gives their batches
// to another worker.
const recoverEvery = time.Second

// Recover records what killed processes left in the directory. A process calls it before it takes work, which may be
// theirs. It waits for PostgreSQL until ctx ends.
func (j *Journal) Recover(ctx context.Context, d *bun.DB) {
	for j != nil && ctx.Err() == nil {
		err := j.recoverAll(ctx, d)
		if err == nil {
			return
		}
		j.logger.WarnContext(ctx, "the journals of killed processes cannot be recorded yet", "error", err)
		pause(ctx, recoverEvery)
	}
}

// Run calls Recover from time to time until ctx ends: another process of this machine may be killed, and its work given
// to this one. It also empties the files of which everything is recorded.
func (j *Journal) Run(ctx context.Context, d *bun.DB) {
	for j != nil && ctx.Err() == nil {
		pause(ctx, recoverEvery)
		j.forget()
		j.Recover(ctx, d)
	}
}

// forget empties the files of which everything is recorded: they have data of persons, which an erasure does not find
// here.
func (j *Journal) forget() {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, s := range []*segment{j.active, j.other} {
		if s.open > 0 || s.size == 0 {
			continue
		}
		if err := s.file.Truncate(0); err == nil { // otherwise the next call tries again
			s.size = 0
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func (j *Journal) recoverAll(ctx context.Context, d *bun.DB) error {
	paths, err := filepath.Glob(filepath.Join(j.dir, journalPattern))
	if err != nil {
		return err
	}
	for _, path := range paths {
		if err := j.recoverFile(ctx, d, path); err != nil {
			return err
		}
	}
	return nil
}

// recoverFile records the results of a file whose process is gone, and deletes it.
func (j *Journal) recoverFile(ctx context.Context, d *bun.DB, path string) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // another process was faster
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil //nolint:nilerr // its process lives
	}
	results := j.read(ctx, f)
	for group := range slices.Chunk(results, recordAtOnce) {
		if err := j.record(ctx, d, group); err != nil {
			return err
		}
	}
	if len(results) > 0 {
		j.logger.InfoContext(ctx, "recorded the attempts of a process that was killed", "attempts", len(results))
	}
	return os.Remove(path)
}

// read returns the results in a file. A kill may have cut the last line off.
func (j *Journal) read(ctx context.Context, f *os.File) (results []delivery.AttemptRecord) {
	for lines := bufio.NewReader(f); ; {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return results
		}
		var r delivery.AttemptRecord
		if err := json.Unmarshal(line, &r); err != nil {
			j.logger.ErrorContext(ctx, "a line of a journal cannot be read", "file", f.Name(), "error", err)
			continue
		}
		results = append(results, r)
	}
}

// record stores results. Those that are recorded already, most of them, change nothing. As in the recorder, a result
// that cannot be written does not affect the others.
func (j *Journal) record(ctx context.Context, d *bun.DB, group []delivery.AttemptRecord) error {
	var first, alone []delivery.AttemptRecord // successful first attempts share a statement
	for _, r := range group {
		if r.Attempt.Outcome == delivery.OutcomeSucceeded && r.Attempt.Attempt == 1 && !r.Probe {
			first = append(first, r)
		} else {
			alone = append(alone, r)
		}
	}
	if len(first) > 0 {
		err := delivery.RecordSuccesses(ctx, d, first)
		if pg.IsUnavailable(err) {
			return err
		}
		if err != nil {
			alone = append(alone, first...)
		}
	}
	for _, r := range alone {
		_, err := delivery.RecordAttempt(ctx, d, r)
		if pg.IsUnavailable(err) {
			return err
		}
		if err != nil {
			j.logger.ErrorContext(ctx, "an attempt cannot be recorded", "delivery_id", r.Attempt.DeliveryID, "error", err)
		}
	}
	ids := make([]uuid.UUID, len(group))
	for i, r := range group {
		ids[i] = r.Attempt.DeliveryID
	}
	return delivery.ForgetErased(ctx, d, ids) // an erasure may have ended since the kill
}

package deliver_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"greenroom/activities/deliver"
	"greenroom/db/delivery"
)

func (s *attempting) journal(dir string) *deliver.Journal {
	s.t.Helper()
	j, err := deliver.OpenJournal(dir, slog.New(slog.DiscardHandler))
	require.NoError(s.t, err)
	return j
}

// lockDeliveries keeps results from being recorded until release is called.
func (s *attempting) lockDeliveries() (release func()) {
	s.t.Helper()
	tx, err := s.DB.BeginTx(s.t.Context(), nil)
	require.NoError(s.t, err)
	_, err = tx.Exec("SELECT FROM deliveries FOR UPDATE")
	require.NoError(s.t, err)
	return func() { _ = tx.Rollback() }
}

// lines are the results in a journal's files.
func lines(t *testing.T, dir string) (all []string) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.journal"))
	require.NoError(t, err)
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		require.NoError(t, err)
		all = append(all, strings.FieldsFunc(string(raw), func(r rune) bool { return r == '\n' })...)
	}
	return all
}

// What a killed process had sent and not recorded is recorded by the next one, and not sent again.
func TestJournalRecordsTheAnswersOfAKilledProcess(t *testing.T) {
	for name, answer := range map[string]int{"success": http.StatusOK, "failure": http.StatusInternalServerError} {
		t.Run(name, func(t *testing.T) {
			s := setupAttempt(t)
			s.answer = func(w http.ResponseWriter) { w.WriteHeader(answer) }
			dir := t.TempDir()
			s.Journal = s.journal(dir)
			in := deliver.AttemptInput{DeliveryID: s.delivery(), Attempt: 1, Wait: time.Minute}
			run := uuid.New()
			release := s.lockDeliveries()
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				_, _ = deliver.AttemptAs(s.Activities, context.Background(), in, run, "delivery:test:0")
			}()
			require.Eventually(t, func() bool { return len(lines(t, dir)) == 1 }, 10*time.Second, time.Millisecond)
			s.Journal.Close() // as a kill does: the files are left, without a lock
			next := s.journal(dir)
			recovered := make(chan struct{})
			go func() {
				defer close(recovered)
				next.Recover(context.Background(), s.DB)
			}()
			release()
			within(t, recovered)
			within(t, ended)
			require.Empty(t, lines(t, dir), "the file is gone")
			before := s.row(in.DeliveryID)
			require.Equal(t, 1, before.Attempts)
			require.NotEmpty(t, before.Body)

			s.Activities = &deliver.Activities{ // of the next process
				DB: s.DB, Box: s.Box, Client: s.Client, Endpoints: s.Endpoints, Logger: s.Logger, CircuitThreshold: 10,
			}
			res := s.attempt(in, run)
			require.Equal(t, answer == http.StatusOK, res.Outcome == deliver.AttemptSucceeded)
			require.EqualValues(t, 1, s.posts.Load())
			require.Equal(t, 1, s.number("SELECT count(*) FROM attempts"))
		})
	}
}

// TestJournalForgetsWhatIsRecorded, however little is written after it.
func TestJournalForgetsWhatIsRecorded(t *testing.T) {
	s := setupAttempt(t)
	dir := t.TempDir()
	s.Journal = s.journal(dir)
	waiting := deliver.WriteJournal(s.Journal, delivery.AttemptRecord{Body: []byte("one")})
	s.attempt(deliver.AttemptInput{DeliveryID: s.delivery(), Attempt: 1}, uuid.New())
	require.Len(t, lines(t, dir), 2)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go s.Journal.Run(ctx, s.DB)
	deliver.WriteJournal(s.Journal, delivery.AttemptRecord{Body: []byte("two")})()
	require.Len(t, lines(t, dir), 3, "one is not recorded yet")
	waiting()
	require.Eventually(t, func() bool { return len(lines(t, dir)) == 0 }, 20*time.Second, 10*time.Millisecond)
	deliver.WriteJournal(s.Journal, delivery.AttemptRecord{Body: []byte("three")})
	require.Len(t, lines(t, dir), 1)
}

// TestErasedAnswersStayErased: an attempt may be recorded long after its delivery was erased, from the journal of a
// killed process or after an outage of the database.
func TestErasedAnswersStayErased(t *testing.T) {
	const answer = "for ann@x.example"
	for name, outcome := range map[string]delivery.Outcome{
		"success": delivery.OutcomeSucceeded, "failure": delivery.OutcomeFailed,
	} {
		t.Run(name, func(t *testing.T) {
			s := setupAttempt(t)
			result := func(id uuid.UUID) delivery.AttemptRecord {
				text := answer
				return delivery.AttemptRecord{WebhookID: s.hook.ID, Body: []byte(answer), Threshold: 10, Attempt: delivery.Attempt{
					DeliveryID: id, RunID: uuid.New(), Attempt: 1, WorkflowID: "delivery:test:0", Outcome: outcome,
					StartedAt: time.Now().Add(-time.Hour), Response: &text, Error: &text,
				}}
			}
			killed, late, other := s.delivery(), s.delivery(), s.delivery()
			dir := t.TempDir()
			j := s.journal(dir)
			deliver.WriteJournal(j, result(killed))
			deliver.WriteJournal(j, result(other))
			j.Close()
			s.exec("UPDATE deliveries SET body = '', erased_at = now(), status = 'succeeded' WHERE id <> ?", other)
			s.journal(dir).Recover(t.Context(), s.DB)
			_, err := deliver.RecordUntilDone(s.Activities, t.Context(), result(late))
			require.NoError(t, err)
			require.Equal(t, 3, s.number("SELECT count(*) FROM attempts"))
			require.Equal(t, 1, s.number("SELECT count(*) FROM attempts WHERE response = ? OR error = ?", answer, answer))
			require.Equal(t, 1, s.number("SELECT count(*) FROM deliveries WHERE position(?::bytea IN body) > 0", []byte(answer)))
			require.Zero(t, s.number("SELECT count(*) FROM deliveries WHERE erased_at IS NOT NULL AND last_error IS NOT NULL"))
		})
	}
}

func TestJournalOfABatch(t *testing.T) {
	s := setupAttempt(t)
	dir := t.TempDir()
	s.Journal, s.Wire = s.journal(dir), deliver.NewWire()
	s.webhook(s.hook.URL)
	in, run := s.batch(20), uuid.New()
	release := s.lockDeliveries()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = deliver.AttemptBatchAs(s.Activities, context.Background(), in, run, "batch:test")
	}()
	require.Eventually(t, func() bool { return len(lines(t, dir)) == 40 }, 10*time.Second, time.Millisecond)
	s.Journal.Close()
	release()
	within(t, ended)
	s.exec("DELETE FROM attempts")
	s.exec("UPDATE deliveries SET status = 'pending', attempts = 0, body = NULL")
	s.journal(dir).Recover(t.Context(), s.DB)
	require.Equal(t, 40, s.number("SELECT count(*) FROM attempts"))
	require.Equal(t, 40, s.number("SELECT count(*) FROM deliveries WHERE status = 'succeeded' AND body IS NOT NULL"))
	require.EqualValues(t, 40, s.posts.Load())
}

func TestJournalLeavesTheFilesOfALivingProcess(t *testing.T) {
	s := setupAttempt(t)
	dir := t.TempDir()
	living := s.journal(dir)
	s.Journal = living
	s.attempt(deliver.AttemptInput{DeliveryID: s.delivery(), Attempt: 1}, uuid.New())
	other := s.journal(dir)
	other.Recover(t.Context(), s.DB)
	require.Len(t, lines(t, dir), 1)
	other.Close()
	living.Close()
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left, "everything is recorded")
}

// A line that cannot be read, or whose delivery is gone, keeps the others from nothing.
func TestJournalPassesOverWhatItCannotRecord(t *testing.T) {
	s := setupAttempt(t)
	dir := t.TempDir()
	s.Journal = s.journal(dir)
	id := s.delivery()
	s.attempt(deliver.AttemptInput{DeliveryID: id, Attempt: 1}, uuid.New())
	good := lines(t, dir)[0]
	s.Journal.Close()
	s.exec("DELETE FROM attempts")
	s.exec("UPDATE deliveries SET status = 'pending', attempts = 0")
	gone := strings.ReplaceAll(good, id.String(), uuid.NewString())
	text := strings.Join([]string{"{", "", gone, good, `{"Attempt":{"Deliv`}, "\n")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "killed.journal"), []byte(text), 0o600))
	s.journal(dir).Recover(t.Context(), s.DB)
	require.Equal(t, delivery.Succeeded, s.row(id).Status)
	require.NoFileExists(t, filepath.Join(dir, "killed.journal"))
}

// A journal that cannot be written, as on a full disk, is logged once and delays no attempt.
func TestJournalThatCannotBeWrittenStopsNothing(t *testing.T) {
	s := setupAttempt(t)
	log := new(lockedBuffer)
	var err error
	s.Journal, err = deliver.OpenJournal(t.TempDir(), slog.New(slog.NewTextHandler(log, nil)))
	require.NoError(t, err)
	s.attempt(deliver.AttemptInput{DeliveryID: s.delivery(), Attempt: 1}, uuid.New())
	require.Empty(t, log.String())
	s.Journal.Close()
	for range 3 {
		res := s.attempt(deliver.AttemptInput{DeliveryID: s.delivery(), Attempt: 1}, uuid.New())
		require.Equal(t, deliver.AttemptSucceeded, res.Outcome)
	}
	require.Equal(t, 1, strings.Count(log.String(), "the journal cannot be written"))
	require.Equal(t, 4, s.withStatus(delivery.Succeeded))
}

func TestJournalNeedsItsDirectory(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err := deliver.OpenJournal(file, slog.New(slog.DiscardHandler))
	require.ErrorContains(t, err, "worker.journal_dir")
}

// kill makes an attempt, and leaves its result in a file as a kill before the record does.
func (s *attempting) kill(dir string, in deliver.AttemptInput) (path string) {
	s.t.Helper()
	own := s.t.TempDir()
	s.Journal = s.journal(own)
	s.attempt(in, uuid.New())
	all := lines(s.t, own)
	require.Len(s.t, all, 1)
	s.Journal.Close()
	s.Journal = nil
	path = filepath.Join(dir, uuid.NewString()+".journal")
	require.NoError(s.t, os.WriteFile(path, []byte(all[0]+"\n"), 0o600))
	s.exec("DELETE FROM attempts WHERE delivery_id = ?", in.DeliveryID)
	s.exec("UPDATE deliveries SET status = 'pending', attempts = 0 WHERE id = ?", in.DeliveryID)
	return path
}

// While a process runs, it records what others of its machine leave.
func TestJournalIsRecoveredWhileTheProcessRuns(t *testing.T) {
	s := setupAttempt(t)
	dir := t.TempDir()
	log := new(lockedBuffer)
	j, err := deliver.OpenJournal(dir, slog.New(slog.NewTextHandler(log, nil)))
	require.NoError(t, err)
	empty := filepath.Join(dir, "empty.journal")
	require.NoError(t, os.WriteFile(empty, nil, 0o600))
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		j.Run(ctx, s.DB)
	}()
	gone := func(path string) func() bool {
		return func() bool {
			_, err := os.Stat(path)
			return os.IsNotExist(err)
		}
	}
	require.Eventually(t, gone(empty), 20*time.Second, 10*time.Millisecond)
	require.Empty(t, log.String(), "there was nothing to record")
	in := deliver.AttemptInput{DeliveryID: s.delivery(), Attempt: 1}
	require.Eventually(t, gone(s.kill(dir, in)), 20*time.Second, 10*time.Millisecond)
	require.Equal(t, delivery.Succeeded, s.row(in.DeliveryID).Status)
	require.Contains(t, log.String(), "recorded the attempts of a process that was killed")
	stop()
	within(t, stopped)
}

// A probe that a killed process made closes the circuit, and a retry that it made ends the delivery.
func TestJournalRecordsProbesAndRetries(t *testing.T) {
	s := setupAttempt(t)
	dir := t.TempDir()
	retry := deliver.AttemptInput{DeliveryID: s.delivery(), Attempt: 2}
	s.kill(dir, retry)
	s.exec("UPDATE webhooks SET circuit_opened_at = now(), consecutive_failures = 10")
	probe := deliver.AttemptInput{DeliveryID: s.delivery(), Attempt: 1, Probe: true}
	s.kill(dir, probe)
	s.exec("UPDATE webhooks SET circuit_opened_at = now(), consecutive_failures = 10")
	s.journal(dir).Recover(t.Context(), s.DB)
	require.Equal(t, 2, s.withStatus(delivery.Succeeded))
	require.Equal(t, 1, s.number("SELECT count(*) FROM attempts WHERE delivery_id = ? AND attempt = 2", retry.DeliveryID))
	require.Zero(t, s.number("SELECT count(*) FROM webhooks WHERE circuit_opened_at IS NOT NULL"))
}

func TestJournalRecordsFailures(t *testing.T) {
	s := setupAttempt(t)
	s.answer = func(w http.ResponseWriter) { w.WriteHeader(http.StatusBadGateway) }
	dir := t.TempDir()
	id := s.delivery()
	s.kill(dir, deliver.AttemptInput{DeliveryID: id, Attempt: 1, Wait: time.Minute})
	s.journal(dir).Recover(t.Context(), s.DB)
	require.Equal(t, delivery.Retrying, s.row(id).Status)
	require.Equal(t, 1, s.number("SELECT count(*) FROM attempts WHERE status_code = 502"))
}

// A result that PostgreSQL refuses, in a group with others, is logged and affects no other.
func TestJournalRecordsTheOthersBesideARefusedResult(t *testing.T) {
	s := setupAttempt(t)
	dir := t.TempDir()
	log := new(lockedBuffer)
	refused, good := s.delivery(), s.delivery()
	var group []string
	for _, id := range []uuid.UUID{refused, good} {
		path := s.kill(dir, deliver.AttemptInput{DeliveryID: id, Attempt: 1})
		raw, err := os.ReadFile(path)
		require.NoError(t, err)
		require.NoError(t, os.Remove(path))
		group = append(group, string(raw))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "killed.journal"), []byte(strings.Join(group, "")), 0o600))
	s.refuseSuccess(refused)
	j, err := deliver.OpenJournal(dir, slog.New(slog.NewTextHandler(log, nil)))
	require.NoError(t, err)
	j.Recover(t.Context(), s.DB)
	require.Equal(t, delivery.Succeeded, s.row(good).Status)
	require.Equal(t, delivery.Pending, s.row(refused).Status)
	require.Equal(t, 1, strings.Count(log.String(), "an attempt cannot be recorded"))
	require.Contains(t, log.String(), "delivery_id="+refused.String())
	require.NoFileExists(t, filepath.Join(dir, "killed.journal"))
}

// A process waits for PostgreSQL before it takes work, and keeps the files until then.
func TestJournalWaitsForPostgreSQL(t *testing.T) {
	s := setupAttempt(t)
	dirs := map[int]string{1: t.TempDir(), 2: t.TempDir()} // by attempt: first attempts are recorded by another statement
	for attempt, dir := range dirs {
		s.kill(dir, deliver.AttemptInput{DeliveryID: s.delivery(), Attempt: attempt})
	}
	s.readOnly(true)
	for attempt, dir := range dirs {
		log := new(lockedBuffer)
		j, err := deliver.OpenJournal(dir, slog.New(slog.NewTextHandler(log, nil)))
		require.NoError(t, err)
		ctx, stop := context.WithCancel(t.Context())
		recovered := make(chan struct{})
		go func() {
			defer close(recovered)
			j.Recover(ctx, s.DB)
		}()
		require.Eventually(t, func() bool {
			return strings.Contains(log.String(), "cannot be recorded yet")
		}, 20*time.Second, 10*time.Millisecond)
		stop()
		within(t, recovered)
		require.NotContains(t, log.String(), "level=ERROR")
		require.Len(t, lines(t, dir), 1, attempt)
	}
	s.readOnly(false)
	for _, dir := range dirs {
		s.journal(dir).Recover(t.Context(), s.DB)
		require.Empty(t, lines(t, dir))
	}
	require.Equal(t, 2, s.withStatus(delivery.Succeeded))
}

// A process without a journal has nothing to recover.
func TestJournalIsOptional(t *testing.T) {
	t.Parallel()
	var none *deliver.Journal
	none.Recover(t.Context(), nil)
	none.Run(t.Context(), nil)
	deliver.WriteJournal(none, delivery.AttemptRecord{})()
	none.Close()
}

func TestJournalStaysSmall(t *testing.T) {
	s := setupAttempt(t)
	dir := t.TempDir()
	j := s.journal(dir)
	large := delivery.AttemptRecord{Body: []byte(strings.Repeat("x", 10_000))}
	kept := deliver.WriteJournal(j, large) // its file stays until it is recorded
	for range 500 {
		deliver.WriteJournal(j, large)()
	}
	require.Len(t, lines(t, dir), 501)
	kept()
	for range 500 {
		deliver.WriteJournal(j, large)()
	}
	require.Less(t, len(lines(t, dir)), 50)
	require.Greater(t, len(lines(t, dir)), 10, "a file is filled before the other is emptied")
	deliver.WriteJournal(j, delivery.AttemptRecord{Body: make([]byte, 1<<20)})()
	for _, line := range lines(t, dir) {
		require.Less(t, len(line), 20_000, "a large body is left out")
	}
}

// Requests to quick receivers share two tokens. A receiver that takes long gives its token back, and needs none later.
func TestWireBoundsTheRequestsToQuickReceivers(t *testing.T) {
	s := setupAttempt(t)
	s.Wire = deliver.NewWire()
	blocked, hold := make(chan struct{}, 40), make(chan struct{})
	release := sync.OnceFunc(func() { close(hold) })
	slow := receive(t, func(_ int, w http.ResponseWriter) {
		blocked <- struct{}{}
		<-hold
		_, _ = io.WriteString(w, "ok")
	})
	t.Cleanup(release)
	s.sendTo(slow)
	in := s.batch(10)
	done := make(chan deliver.BatchResult, 1)
	go func() {
		res, _ := deliver.AttemptBatchAs(s.Activities, context.Background(), in, uuid.New(), "batch:test")
		done <- res
	}()
	for range 10 {
		within(t, blocked) // ten at once, although none has answered
	}
	release()
	require.Equal(t, 10, within(t, done).Succeeded)
	require.False(t, s.Endpoints.Quick(s.hook.ID))
}

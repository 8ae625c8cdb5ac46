package deliver_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
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
			<-recovered
			<-ended
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
	<-ended
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
	deliver.WriteJournal(j, delivery.AttemptRecord{Body: make([]byte, 1<<20)})()
	for _, line := range lines(t, dir) {
		require.Less(t, len(line), 20_000, "a large body is left out")
	}
}

// Requests to quick receivers share two tokens. A receiver that takes long gives its token back, and needs none later.
func TestWireBoundsTheRequestsToQuickReceivers(t *testing.T) {
	s := setupAttempt(t)
	s.Wire = deliver.NewWire()
	blocked, release := make(chan struct{}, 40), make(chan struct{})
	slow := receive(t, func(_ int, w http.ResponseWriter) {
		blocked <- struct{}{}
		<-release
		_, _ = io.WriteString(w, "ok")
	})
	s.sendTo(slow)
	in := s.batch(10)
	done := make(chan deliver.BatchResult)
	go func() {
		res, _ := deliver.AttemptBatchAs(s.Activities, context.Background(), in, uuid.New(), "batch:test")
		done <- res
	}()
	for range 10 {
		<-blocked // ten at once, although none has answered
	}
	close(release)
	require.Equal(t, 10, (<-done).Succeeded)
	require.False(t, s.Endpoints.Quick(s.hook.ID))
}

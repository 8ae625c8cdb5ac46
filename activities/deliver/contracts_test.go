package deliver_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/activities/deliver"
	"greenroom/activities/webhook/profiles"
	"greenroom/db/catalog"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// of makes the webhook one of that profile and records an event that knows what it is about.
func (s *attempting) of(profile, eventType string, occurred time.Time) uuid.UUID {
	s.t.Helper()
	s.PublicURL = "https://greenroom.test/"
	p, err := profiles.ByName(profile)
	require.NoError(s.t, err)
	s.exec(
		"UPDATE webhooks SET profile = ?, events = ARRAY[?], max_retries = ? WHERE id = ?",
		profile,
		eventType,
		len(p.Schedule),
		s.hook.ID,
	)
	var id uuid.UUID
	err = pg.InTx(s.t.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
		e := &delivery.Event{
			CompanyID: &s.company, Type: eventType, Data: []byte(`{}`), OccurredAt: occurred,
			Context: []byte(`{"company":{"id":"` + s.company.String() + `","number":7},"job":{"id":"` + pg.NewID().String() +
				`","number":17,"title":"Receptionist","createdAt":"2026-01-02T03:04:05.678901+00:00"}}`),
		}
		if _, err := delivery.RecordEvent(ctx, tx, e); err != nil {
			return err
		}
		return tx.NewRaw("DELETE FROM delivery_queue RETURNING delivery_id").Scan(ctx, &id)
	})
	require.NoError(s.t, err)
	return id
}

func TestBodiesSayWhatTheEventWasAbout(t *testing.T) {
	want := `"data":{"action":"created","project":"https://greenroom.test/api/v3/companies/7/projects/17/"}}`
	t.Run("alone", func(t *testing.T) {
		s := setupAttempt(t)
		id := s.of("interview-suite", catalog.JobCreated, time.Now())
		s.attempt(deliver.AttemptInput{DeliveryID: id, Attempt: 1}, uuid.New())
		require.True(t, strings.HasPrefix(*s.body.Load(), `{"endpoint":"`+s.hook.URL+`","time":"`), *s.body.Load())
		require.True(t, strings.HasSuffix(*s.body.Load(), want), *s.body.Load())
		require.Equal(t, "interview suite webhook", s.last.Load().UserAgent())
	})
	t.Run("in_a_batch", func(t *testing.T) {
		s := setupAttempt(t)
		id := s.of("interview-suite", catalog.JobCreated, time.Now())
		in := deliver.BatchInput{BatchID: pg.NewID(), Deliveries: []uuid.UUID{id}}
		require.NoError(t, pg.InTx(t.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
			return delivery.AddBatch(ctx, tx, delivery.Batch{ID: in.BatchID, Deliveries: in.Deliveries})
		}))
		require.Equal(t, deliver.BatchResult{Succeeded: 1}, s.attemptBatch(in, uuid.New()))
		require.True(t, strings.HasSuffix(*s.body.Load(), want), *s.body.Load())
	})
	t.Run("the_same_when_it_is_sent_again", func(t *testing.T) {
		s := setupAttempt(t)
		id := s.of("interview-suite", catalog.JobCreated, time.Now())
		s.answer = func(w http.ResponseWriter) { w.WriteHeader(http.StatusBadGateway) }
		s.attempt(deliver.AttemptInput{DeliveryID: id, Attempt: 1, Wait: time.Second}, uuid.New())
		first := *s.body.Load()
		s.PublicURL = "https://moved.test"
		s.attempt(deliver.AttemptInput{DeliveryID: id, Attempt: 2, Wait: time.Second}, uuid.New())
		require.Equal(t, first, *s.body.Load())
	})
}

// A schedule that counts from the event says when the next attempt is due, on both paths.
func TestScheduleCountsFromTheEvent(t *testing.T) {
	noContent := func(w http.ResponseWriter) { w.WriteHeader(http.StatusNoContent) } // wise: 200 only
	t.Run("alone", func(t *testing.T) {
		s := setupAttempt(t)
		s.answer = noContent
		occurred := time.Now().Add(-100 * time.Second).Truncate(time.Microsecond)
		id := s.of("wise", catalog.InterviewStarted, occurred)
		res := s.attempt(deliver.AttemptInput{DeliveryID: id, Attempt: 2, Wait: 2 * time.Minute}, uuid.New())
		require.Equal(t, deliver.AttemptRetry, res.Outcome)
		require.Equal(t, occurred.Add(180*time.Second).UTC(), res.NextAt.UTC())
		require.Len(t, s.last.Load().Header["Authorization"], 1)
		require.Regexp(t, "^[0-9a-f]{64}$", s.last.Load().Header.Get("Authorization"), "the key, not the user's header")
	})
	t.Run("after_its_slot", func(t *testing.T) {
		s := setupAttempt(t)
		s.answer = noContent
		id := s.of("wise", catalog.InterviewStarted, time.Now().Add(-time.Hour))
		res := s.attempt(deliver.AttemptInput{DeliveryID: id, Attempt: 1, Wait: time.Minute}, uuid.New())
		require.WithinDuration(t, time.Now().Add(time.Minute), res.NextAt, 13*time.Second, "the gap, with jitter")
	})
	t.Run("in_a_batch", func(t *testing.T) {
		s := setupAttempt(t)
		s.answer = noContent
		occurred := time.Now().Truncate(time.Microsecond)
		id := s.of("wise", catalog.InterviewStarted, occurred)
		in := deliver.BatchInput{BatchID: pg.NewID(), Deliveries: []uuid.UUID{id}}
		require.NoError(t, pg.InTx(t.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
			return delivery.AddBatch(ctx, tx, delivery.Batch{ID: in.BatchID, Deliveries: in.Deliveries})
		}))
		require.Equal(t, deliver.BatchResult{Failed: 1}, s.attemptBatch(in, uuid.New()))
		require.Equal(t, occurred.Add(time.Minute).UTC(), s.row(id).NextAttemptAt.UTC())
	})
}

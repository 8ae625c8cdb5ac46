package deliver_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/activities/deliver"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// spoiled are webhooks and events that cannot be sent, and what the customer reads.
var spoiled = []struct{ name, spoil, reason string }{
	{"secret", `UPDATE webhooks SET secret = '\x00' WHERE id = ?`, "The signing secret cannot be opened"},
	{
		"header",
		`UPDATE webhooks SET headers = jsonb_set(headers, '{0,sealed}', '"AAAA"') WHERE id = ?`,
		"The header Authorization cannot be opened",
	},
	{
		"profile",
		`UPDATE webhooks SET profile = 'of-the-future' WHERE id = ?`,
		"This version does not know the webhook's profile",
	},
	{"event", `UPDATE events SET context = '[]' WHERE ? IS NOT NULL`, "The webhook's profile cannot render this event"},
}

func TestADeliveryThatCannotBePreparedFailsAlone(t *testing.T) {
	for _, tc := range spoiled {
		t.Run(tc.name, func(t *testing.T) {
			s := setupAttempt(t)
			log := new(lockedBuffer)
			s.Logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelError}))
			in := deliver.AttemptInput{DeliveryID: s.delivery(), Attempt: 1}
			s.exec(tc.spoil, s.hook.ID)
			for range 2 {
				res := s.attempt(in, uuid.New())
				require.Equal(t, deliver.AttemptFailed, res.Outcome)
				require.Contains(t, res.Reason, tc.reason)
			}
			require.Zero(t, s.posts.Load())
			d := s.row(in.DeliveryID)
			require.Equal(t, delivery.Failed, d.Status)
			require.Contains(t, *d.LastError, tc.reason)
			require.Zero(t, d.Attempts)
			require.Equal(t, 1, strings.Count(log.String(), "delivery cannot be prepared"), "once for each delivery")
			require.Zero(t, s.number("SELECT consecutive_failures FROM webhooks"), "the receiver did nothing wrong")
			require.Zero(t, s.number("SELECT count(*) FROM delivery_queue"))
		})
	}
}

func TestABatchSendsTheOthersBesideAPoisonedOne(t *testing.T) {
	for _, tc := range spoiled[:3] {
		t.Run(tc.name, func(t *testing.T) {
			s := setupAttempt(t)
			healthy := s.webhook(s.hook.URL)
			in := s.batch(5)
			s.exec(tc.spoil, s.hook.ID)
			res := s.attemptBatch(in, uuid.New())
			require.Equal(t, 5, res.Succeeded)
			require.Equal(t, 5, res.Failed)
			require.EqualValues(t, 5, s.posts.Load())
			require.Zero(t, s.number("SELECT count(*) FROM delivery_batches"), "the batch has ended")
			require.Equal(
				t,
				5,
				s.number("SELECT count(*) FROM deliveries WHERE webhook_id = ? AND status = 'succeeded'", healthy.ID),
			)
			require.Equal(
				t,
				5,
				s.number("SELECT count(*) FROM deliveries WHERE webhook_id = ? AND status = 'failed'", s.hook.ID),
			)
			require.Equal(t, 5, s.number("SELECT count(*) FROM delivery_queue WHERE webhook_id = ? AND attempt = 2", s.hook.ID))
		})
	}
}

func TestAReplayAfterTheRepairArrives(t *testing.T) {
	s := setupAttempt(t)
	in := deliver.AttemptInput{DeliveryID: s.delivery(), Attempt: 1}
	s.exec(spoiled[0].spoil, s.hook.ID)
	s.attempt(in, uuid.New())
	s.exec("UPDATE webhooks SET secret = ? WHERE id = ?", s.hook.Secret, s.hook.ID)
	require.NoError(t, pg.InTx(t.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
		_, err := delivery.RetryDelivery(ctx, tx, pg.Scope{}, in.DeliveryID)
		return err
	}))
	in.Generation = 1
	require.Equal(t, deliver.AttemptSucceeded, s.attempt(in, uuid.New()).Outcome)
	require.EqualValues(t, 1, s.posts.Load())
}

// A fault of Greenroom's own at one delivery does not keep the batch from giving back what a receiver that hangs has
// no place for.
func TestABatchGivesBackBesideAFault(t *testing.T) {
	s := setupAttempt(t)
	release := make(chan struct{})
	hanging := receive(t, func(int, http.ResponseWriter) { <-release })
	t.Cleanup(func() { close(release) })
	s.sendTo(hanging)
	s.exec("UPDATE webhooks SET timeout_ms = 5000 WHERE id = ?", s.hook.ID) // longer than a batch begins attempts
	healthy := s.webhook(receive(t, accept).URL)
	in := s.batch(20)
	s.exec(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''refused''; END'`)
	s.exec(
		`CREATE TRIGGER refuse BEFORE UPDATE ON deliveries FOR EACH ROW
			WHEN (NEW.status = 'succeeded') EXECUTE FUNCTION refuse()`,
	)
	_, err := deliver.AttemptBatchAs(s.Activities, t.Context(), in, uuid.New(), "batch:test")
	require.ErrorContains(t, err, "refused")
	require.Equal(t, 10, s.number("SELECT count(*) FROM delivery_queue WHERE webhook_id = ? AND attempt = 1", s.hook.ID))
	require.Equal(
		t,
		20,
		s.number("SELECT count(*) FROM deliveries WHERE webhook_id = ? AND status = 'pending'", healthy.ID),
	)
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

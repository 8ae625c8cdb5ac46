package deliver_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/activities/deliver"
	"greenroom/activities/webhook"
	"greenroom/db/delivery"
	"greenroom/db/pg"
	"greenroom/db/seal"
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
		"auth",
		`UPDATE webhooks SET auth = '{"type": "bearer", "sealed": "AAAA"}' WHERE id = ?`,
		"The credentials (auth) cannot be opened",
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

// foreign are webhooks that another worker may be able to send to. %s is a value that was sealed with another keyset.
var foreign = []struct{ name, spoil, reason string }{
	{"secret", `UPDATE webhooks SET secret = decode('%s', 'base64') WHERE id = ?`, "The signing secret cannot be opened"},
	{
		"header",
		`UPDATE webhooks SET headers = jsonb_set(headers, '{0,sealed}', '"%s"') WHERE id = ?`,
		"The header Authorization cannot be opened",
	},
	{
		"auth",
		`UPDATE webhooks SET auth = '{"type": "bearer", "sealed": "%s"}' WHERE id = ?`,
		"The credentials (auth) cannot be opened",
	},
	{
		"profile",
		`UPDATE webhooks SET profile = 'of-the-future' WHERE '%s' <> '' AND id = ?`,
		"This version does not know the webhook's profile",
	},
}

func sealedElsewhere(t *testing.T) string {
	t.Helper()
	keyset, err := seal.NewKeyset()
	require.NoError(t, err)
	box, err := seal.New(keyset)
	require.NoError(t, err)
	sealed, err := box.Seal([]byte("secret"), uuid.New(), "")
	require.NoError(t, err)
	return base64.StdEncoding.EncodeToString(sealed)
}

// A worker that lacks a key or is too old leaves the delivery for another worker's attempt.
func TestADeliveryThatAnotherWorkerMayPrepareIsRetried(t *testing.T) {
	for _, tc := range foreign {
		t.Run(tc.name, func(t *testing.T) {
			s := setupAttempt(t)
			in := deliver.AttemptInput{DeliveryID: s.delivery(), Attempt: 1, Wait: time.Minute}
			s.exec(fmt.Sprintf(tc.spoil, sealedElsewhere(t)), s.hook.ID)
			res := s.attempt(in, uuid.New())
			require.Equal(t, deliver.AttemptRetry, res.Outcome)
			require.WithinDuration(t, time.Now().Add(time.Minute), res.NextAt, 20*time.Second)
			d := s.row(in.DeliveryID)
			require.Equal(t, delivery.Retrying, d.Status)
			require.Contains(t, *d.LastError, tc.reason)
			require.Equal(t, 1, s.number("SELECT count(*) FROM attempts WHERE error_kind = 'unprepared'"))

			in.Attempt, in.Last = 2, true
			require.Equal(t, deliver.AttemptFailed, s.attempt(in, uuid.New()).Outcome, "not retried for ever")
			require.Contains(t, *s.row(in.DeliveryID).LastError, tc.reason)
			require.Zero(t, s.posts.Load())
			require.Zero(t, s.number("SELECT consecutive_failures FROM webhooks"), "the receiver did nothing wrong")
		})
	}
}

// A proxy of the operator that is down is no receiver's fault: attempts are retried, and no circuit opens.
func TestAnEgressProxyThatIsDownCountsAgainstNoReceiver(t *testing.T) {
	s := setupAttempt(t)
	s.Client = webhook.NewClient(webhook.ClientOptions{
		AllowHTTP: true, AllowLoopback: true, Proxy: &url.URL{Scheme: "http", Host: "127.0.0.1:1"},
	})
	in := deliver.AttemptInput{DeliveryID: s.delivery(), Attempt: 1, Wait: time.Minute}
	res := s.attempt(in, uuid.New())
	require.Equal(t, deliver.AttemptRetry, res.Outcome)
	require.Equal(t, "The egress proxy cannot be reached", res.Reason)
	require.Zero(t, s.posts.Load())
	require.Equal(t, 1, s.number("SELECT count(*) FROM attempts WHERE error_kind = 'proxy'"))
	require.Zero(t, s.number("SELECT consecutive_failures FROM webhooks"))
}

func TestABatchLeavesToAnotherWorkerWhatItCannotPrepare(t *testing.T) {
	for _, tc := range foreign {
		t.Run(tc.name, func(t *testing.T) {
			s := setupAttempt(t)
			s.webhook(s.hook.URL)
			in := s.batch(5)
			s.exec(fmt.Sprintf(tc.spoil, sealedElsewhere(t)), s.hook.ID)
			res := s.attemptBatch(in, uuid.New())
			require.Equal(t, 5, res.Succeeded)
			require.Equal(t, 5, res.Failed)
			require.EqualValues(t, 5, s.posts.Load())
			require.Zero(t, s.number("SELECT count(*) FROM delivery_batches"), "the batch has ended")
			require.Equal(t, 5, s.number(
				"SELECT count(*) FROM deliveries WHERE webhook_id = ? AND status = 'retrying'", s.hook.ID))
			require.Equal(t, 5, s.number("SELECT count(*) FROM delivery_queue WHERE webhook_id = ? AND attempt = 2", s.hook.ID))
			require.Zero(t, s.number("SELECT sum(consecutive_failures) FROM webhooks"), "the receiver did nothing wrong")
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

// refuseSuccess makes the database refuse to record that these deliveries succeeded.
func (s *attempting) refuseSuccess(deliveries ...uuid.UUID) {
	s.t.Helper()
	ids := make([]string, len(deliveries))
	for i, id := range deliveries {
		ids[i] = "'" + id.String() + "'"
	}
	s.exec(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''refused''; END'`)
	s.exec(`CREATE TRIGGER refuse BEFORE UPDATE ON deliveries FOR EACH ROW
		WHEN (NEW.status = 'succeeded' AND NEW.id IN (` + strings.Join(ids, ", ") + `)) EXECUTE FUNCTION refuse()`)
}

// A row that cannot be recorded does not affect the others of its group: they are recorded, and not sent again when the
// batch is retried.
func TestABatchRecordsTheOthersBesideARefusedOne(t *testing.T) {
	s := setupAttempt(t)
	in, run := s.batch(12), uuid.New()
	s.refuseSuccess(in.Deliveries[5])
	_, err := deliver.AttemptBatchAs(s.Activities, t.Context(), in, run, "batch:test")
	require.ErrorContains(t, err, "refused")
	require.Equal(t, 11, s.withStatus(delivery.Succeeded))
	require.Equal(t, delivery.Pending, s.row(in.Deliveries[5]).Status)
	require.EqualValues(t, 12, s.posts.Load())
	require.Equal(t, 1, s.number("SELECT count(*) FROM delivery_batches"), "Temporal retries the batch")

	s.exec("DROP TRIGGER refuse ON deliveries")
	require.Equal(t, deliver.BatchResult{Succeeded: 1}, s.attemptBatch(in, run))
	require.EqualValues(t, 13, s.posts.Load(), "only the refused one is sent again")
	require.Equal(t, 12, s.withStatus(delivery.Succeeded))
}

// An attempt that cannot be recorded is an internal fault, which Temporal retries.
func TestAnAttemptThatIsRefusedIsAFault(t *testing.T) {
	s := setupAttempt(t)
	in, run := deliver.AttemptInput{DeliveryID: s.delivery(), Attempt: 1}, uuid.New()
	s.refuseSuccess(in.DeliveryID)
	_, err := deliver.AttemptAs(s.Activities, t.Context(), in, run, "delivery:test:0")
	require.ErrorContains(t, err, "refused")
	require.Equal(t, delivery.Pending, s.row(in.DeliveryID).Status)
	s.exec("DROP TRIGGER refuse ON deliveries")
	require.Equal(t, deliver.AttemptSucceeded, s.attempt(in, run).Outcome)
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
	s.refuseSuccess(in.Deliveries...)
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

// TestAttemptSignsWithEachLiveSecret: that of a retired one until it expires, for a retry as for a first attempt.
func TestAttemptSignsWithEachLiveSecret(t *testing.T) {
	s := setupAttempt(t)
	id := s.delivery()
	secrets := webhook.Secrets{webhook.GenerateSecret(), webhook.GenerateSecret(), make([]byte, 32)}
	signatures := func(attempt int) []string {
		s.answer = func(w http.ResponseWriter) { w.WriteHeader(http.StatusServiceUnavailable) }
		s.attempt(deliver.AttemptInput{DeliveryID: id, Attempt: attempt}, uuid.New())
		return strings.Split(s.last.Load().Header.Get("Webhook-Signature"), " ")
	}
	require.Len(t, signatures(1), 1)
	for _, secret := range secrets[:2] {
		sealed, err := s.Box.Seal(secret, s.hook.ID, delivery.SecretField)
		require.NoError(t, err)
		require.NoError(t, pg.InTx(t.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
			_, err := delivery.RotateSecret(ctx, tx, s.hook.ID, delivery.SealedSecret{Secret: sealed}, time.Hour,
				func(*delivery.Webhook) error { return nil })
			return err
		}))
	}
	got := signatures(2)
	require.Len(t, got, 3)
	header := s.last.Load().Header
	for i, secret := range []webhook.Secrets{{secrets[1]}, {secrets[0]}, {secrets[2]}} {
		verifier, err := standardwebhooks.NewWebhookRaw(secret[0])
		require.NoError(t, err)
		one := header.Clone()
		one.Set("Webhook-Signature", got[i])
		require.NoError(t, verifier.Verify([]byte(*s.body.Load()), one), "the current one first, then the newest")
		require.NoError(t, verifier.Verify([]byte(*s.body.Load()), header), "a receiver with any of them")
	}
	s.exec(`UPDATE webhooks SET retired_secrets = jsonb_set(retired_secrets, '{1,expiresAt}', to_jsonb(now()))`)
	require.Len(t, signatures(3), 2, "an expired one signs no more")
	s.exec(`UPDATE webhooks SET retired_secrets = jsonb_set(retired_secrets, '{0,sealed}', '"AA=="')`)
	require.Len(t, signatures(4), 2, "nothing is sent")
	require.Contains(t, *s.row(id).LastError, "The signing secret cannot be opened")
}

func TestOnlyTestsAreMarked(t *testing.T) {
	s := setupAttempt(t)
	require.Equal(t, deliver.AttemptSucceeded,
		s.attempt(deliver.AttemptInput{DeliveryID: s.delivery(), Attempt: 1}, uuid.New()).Outcome)
	require.Empty(t, s.last.Load().Header.Values(webhook.HeaderTest))
	test := s.delivery()
	s.exec("UPDATE deliveries SET is_test = true WHERE id = ?", test)
	require.Equal(t, deliver.AttemptSucceeded,
		s.attempt(deliver.AttemptInput{DeliveryID: test, Attempt: 1}, uuid.New()).Outcome)
	require.Equal(t, "true", s.last.Load().Header.Get(webhook.HeaderTest))
}

// TestAttemptSignsWithEachLiveKey: v1a beside v1, also for a replay after a revocation, with the keys that are live then.
func TestAttemptSignsWithEachLiveKey(t *testing.T) {
	s := setupAttempt(t)
	id := s.delivery()
	keys := webhook.SigningKeys{webhook.GenerateSigningKey(), webhook.GenerateSigningKey(), webhook.GenerateSigningKey()}
	sealedKey := func(i int) []byte {
		sealed, err := s.Box.Seal(keys[i], s.hook.ID, delivery.SigningKeyField)
		require.NoError(t, err)
		return sealed
	}
	rotate := func(i int) {
		sealed, err := s.Box.Seal(webhook.GenerateSecret(), s.hook.ID, delivery.SecretField)
		require.NoError(t, err)
		require.NoError(t, pg.InTx(t.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
			_, err := delivery.RotateSecret(ctx, tx, s.hook.ID, delivery.SealedSecret{
				Secret: sealed, SigningKey: sealedKey(i),
			}, time.Hour, func(*delivery.Webhook) error { return nil })
			return err
		}))
	}
	// signs makes an attempt and requires exactly these keys' signatures after those of so many secrets.
	signs := func(in deliver.AttemptInput, secrets int, with ...int) {
		t.Helper()
		s.answer = func(w http.ResponseWriter) { w.WriteHeader(http.StatusServiceUnavailable) }
		in.DeliveryID = id
		s.attempt(in, uuid.New())
		header := s.last.Load().Header
		signatures := strings.Split(header.Get("Webhook-Signature"), " ")
		require.Len(t, signatures, secrets+len(with))
		signed := header.Get("Webhook-Id") + "." + header.Get("Webhook-Timestamp") + "." + *s.body.Load()
		for i, key := range with {
			text, found := strings.CutPrefix(signatures[secrets+i], "v1a,")
			require.True(t, found)
			sum, err := base64.StdEncoding.DecodeString(text)
			require.NoError(t, err)
			require.True(t, ed25519.Verify(webhook.PublicKey(keys[key]), []byte(signed), sum))
		}
	}
	rotate(0)
	signs(deliver.AttemptInput{Attempt: 1}, 2)
	s.exec("UPDATE webhooks SET signing_key = ? WHERE id = ?", sealedKey(1), s.hook.ID)
	signs(deliver.AttemptInput{Attempt: 2}, 2, 1)
	rotate(2)
	signs(deliver.AttemptInput{Attempt: 3}, 3, 2, 1)
	require.NoError(t, pg.InTx(t.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
		_, err := delivery.RevokeSecret(ctx, tx, s.hook.ID,
			func(_ *delivery.Webhook, r delivery.RetiredSecret) (bool, error) { return r.SigningKey != nil, nil })
		return err
	}))
	signs(deliver.AttemptInput{Attempt: 4, Last: true}, 2, 2)
	signs(deliver.AttemptInput{Attempt: 1, Replay: true}, 2, 2)
	s.exec("UPDATE webhooks SET signing_key = '\\x00' WHERE id = ?", s.hook.ID)
	sent := s.last.Load()
	s.attempt(deliver.AttemptInput{DeliveryID: id, Attempt: 2, Replay: true}, uuid.New())
	require.Same(t, sent, s.last.Load(), "a delivery is not sent with fewer signatures")
}

// TestAttemptCarriesTheKeyOfItsSecret: a webhook of an earlier version goes on with the key that its receiver has.
func TestAttemptCarriesTheKeyOfItsSecret(t *testing.T) {
	s := setupAttempt(t)
	secret := webhook.GenerateSecret()
	sealed, err := s.Box.Seal(secret, s.hook.ID, delivery.SecretField)
	require.NoError(t, err)
	s.exec("UPDATE webhooks SET profile = 'wise', secret = ?, secret_created_at = NULL WHERE id = ?", sealed, s.hook.ID)
	key := func() string {
		s.attempt(deliver.AttemptInput{DeliveryID: s.delivery(), Attempt: 1}, uuid.New())
		return s.last.Load().Header.Get("Authorization")
	}
	require.Equal(t, webhook.SecretHex(secret), key())
	next := webhook.GenerateSecret()
	sealed, err = s.Box.Seal(next, s.hook.ID, delivery.SecretField)
	require.NoError(t, err)
	require.NoError(t, pg.InTx(t.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
		_, err := delivery.RotateSecret(ctx, tx, s.hook.ID, delivery.SealedSecret{Secret: sealed}, time.Hour,
			func(*delivery.Webhook) error { return nil })
		return err
	}))
	require.Equal(t, webhook.KeyOf(next, true), key())
	s.exec("UPDATE webhooks SET secret_created_at = now() WHERE id = ?", s.hook.ID) // by an earlier version
	require.Equal(t, webhook.SecretHex(next), key())
}

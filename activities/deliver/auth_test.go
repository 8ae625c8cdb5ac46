package deliver_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/activities/deliver"
	"greenroom/activities/inflight"
	"greenroom/activities/webhook"
	"greenroom/db/delivery"
	"greenroom/db/pg"
	"greenroom/db/seal"
)

// tokenEndpoint is an OAuth2 token endpoint that numbers its tokens.
type tokenEndpoint struct {
	*httptest.Server
	issued atomic.Int32
	// answer, when set, replaces the token.
	answer atomic.Pointer[http.HandlerFunc]
}

func startTokens(t *testing.T) *tokenEndpoint {
	t.Helper()
	e := new(tokenEndpoint)
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if answer := e.answer.Load(); answer != nil {
			(*answer)(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"access_token":"token-%d","token_type":"bearer","expires_in":3600}`, e.issued.Add(1))
	}))
	t.Cleanup(e.Close)
	return e
}

// authorize gives the webhook credentials, in place of its header.
func (s *attempting) authorize(hook uuid.UUID, a delivery.WebhookAuth) {
	s.t.Helper()
	var err error
	a.Sealed, err = s.Box.Seal([]byte("hidden"), hook, delivery.AuthField)
	require.NoError(s.t, err)
	require.NoError(s.t, pg.InTx(s.t.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
		w, err := delivery.LockWebhook(ctx, tx, hook)
		if err != nil {
			return err
		}
		w.Auth, w.Headers = &a, []delivery.WebhookHeader{}
		return delivery.UpdateWebhook(ctx, tx, w, "auth", "headers")
	}))
}

func (s *attempting) authorization() string { return s.last.Load().Header.Get("Authorization") }

func TestAttemptsCarryTheWebhooksCredentials(t *testing.T) {
	t.Run("basic", func(t *testing.T) {
		s := setupAttempt(t)
		s.authorize(s.hook.ID, delivery.WebhookAuth{Type: webhook.AuthBasic, User: "acme"})
		require.Equal(
			t,
			deliver.AttemptSucceeded,
			s.attempt(deliver.AttemptInput{DeliveryID: s.delivery(), Attempt: 1}, uuid.New()).Outcome,
		)
		require.Equal(t, "Basic YWNtZTpoaWRkZW4=", s.authorization())
	})
	t.Run("in_a_batch_with_one_token", func(t *testing.T) {
		s := setupAttempt(t)
		tokens := startTokens(t)
		in := s.batch(10)
		s.authorize(s.hook.ID, delivery.WebhookAuth{Type: webhook.AuthOAuth2, User: "acme", TokenURL: tokens.URL})
		require.Equal(t, 10, s.attemptBatch(in, uuid.New()).Succeeded)
		require.Equal(t, "Bearer token-1", s.authorization())
		require.EqualValues(t, 1, tokens.issued.Load())
	})
	t.Run("as_they_are_when_it_is_sent_again", func(t *testing.T) {
		s := setupAttempt(t)
		tokens := startTokens(t)
		s.authorize(s.hook.ID, delivery.WebhookAuth{Type: webhook.AuthOAuth2, User: "acme", TokenURL: tokens.URL})
		in := deliver.AttemptInput{DeliveryID: s.delivery(), Attempt: 1}
		s.attempt(in, uuid.New())
		require.Equal(t, "Bearer token-1", s.authorization())
		s.authorize(s.hook.ID, delivery.WebhookAuth{Type: webhook.AuthBearer})
		in.Replay = true
		require.Equal(t, deliver.AttemptSucceeded, s.attempt(in, uuid.New()).Outcome)
		require.Equal(t, "Bearer hidden", s.authorization())
		s.exec("UPDATE webhooks SET auth = NULL")
		require.Equal(t, deliver.AttemptSucceeded, s.attempt(in, uuid.New()).Outcome)
		require.Empty(t, s.authorization())
	})
	t.Run("opened_with_a_keyset_that_was_replaced", func(t *testing.T) {
		s := setupAttempt(t)
		first, err := seal.NewKeyset()
		require.NoError(t, err)
		added, _, err := seal.AddKey(first)
		require.NoError(t, err)
		promoted, _, err := seal.PromoteNewest(added)
		require.NoError(t, err)
		for i, keyset := range []string{first, promoted} {
			s.Box, err = seal.New(keyset)
			require.NoError(t, err)
			if i == 0 {
				s.hook = s.webhook(s.hook.URL)
				s.exec("DELETE FROM webhooks WHERE id <> ?", s.hook.ID)
				s.authorize(s.hook.ID, delivery.WebhookAuth{Type: webhook.AuthBearer})
			}
			in := deliver.AttemptInput{DeliveryID: s.delivery(), Attempt: 1}
			require.Equal(t, deliver.AttemptSucceeded, s.attempt(in, uuid.New()).Outcome)
			require.Equal(t, "Bearer hidden", s.authorization())
		}
	})
}

func TestAttemptWithoutATokenIsRetried(t *testing.T) {
	s := setupAttempt(t)
	tokens := startTokens(t)
	s.authorize(s.hook.ID, delivery.WebhookAuth{Type: webhook.AuthOAuth2, User: "acme", TokenURL: tokens.URL})
	down := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	tokens.answer.Store(&down)
	in := deliver.AttemptInput{DeliveryID: s.delivery(), Attempt: 1, Wait: time.Second}
	res := s.attempt(in, uuid.New())
	require.Equal(t, deliver.AttemptRetry, res.Outcome)
	require.Equal(t, "OAuth2 token request failed", res.Reason)
	require.Zero(t, s.posts.Load())
	require.Equal(t, 1, s.number("SELECT count(*) FROM attempts WHERE error_kind = 'token'"))
	require.Equal(t, 1, s.number("SELECT consecutive_failures FROM webhooks"), "the endpoint is the customer's")

	tokens.answer.Store(nil)
	in.Attempt = 2
	require.Equal(t, deliver.AttemptSucceeded, s.attempt(in, uuid.New()).Outcome)
	require.Equal(t, "Bearer token-1", s.authorization())
}

func TestEachWorkerRenewsARefusedToken(t *testing.T) {
	s := setupAttempt(t)
	tokens := startTokens(t)
	s.authorize(s.hook.ID, delivery.WebhookAuth{Type: webhook.AuthOAuth2, User: "acme", TokenURL: tokens.URL})
	second := &deliver.Activities{ // another worker: its own client and places
		DB: s.DB, Box: s.Box, CircuitThreshold: 10, Endpoints: inflight.NewEndpoints(10, nil),
		Logger: slog.New(slog.DiscardHandler),
		Client: webhook.NewClient(webhook.ClientOptions{AllowHTTP: true, AllowLoopback: true}),
	}
	workers := []*deliver.Activities{s.Activities, second}
	for i, a := range workers {
		s.Activities = a
		s.attempt(deliver.AttemptInput{DeliveryID: s.delivery(), Attempt: 1}, uuid.New())
		require.Equal(t, fmt.Sprint("Bearer token-", i+1), s.authorization())
	}
	s.answer = func(w http.ResponseWriter) { // both tokens are revoked
		if token := s.authorization(); token == "Bearer token-1" || token == "Bearer token-2" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}
	for i, a := range workers {
		s.Activities = a
		res := s.attempt(deliver.AttemptInput{DeliveryID: s.delivery(), Attempt: 1}, uuid.New())
		require.Equal(t, deliver.AttemptSucceeded, res.Outcome)
		require.Equal(t, fmt.Sprint("Bearer token-", i+3), s.authorization())
	}
	require.Zero(t, s.number("SELECT count(*) FROM attempts WHERE outcome <> 'succeeded'"))
}

// TestAHangingTokenEndpointDelaysNoOtherWebhook: the attempts behind it hold their webhook's places alone.
func TestAHangingTokenEndpointDelaysNoOtherWebhook(t *testing.T) {
	s := setupAttempt(t)
	tokens, release := startTokens(t), make(chan struct{})
	arrived := make(chan struct{}, 100)
	hanging := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { arrived <- struct{}{}; <-release })
	tokens.answer.Store(&hanging)
	t.Cleanup(func() { close(release) })
	healthy := s.webhook(s.hook.URL)
	in := s.batch(10)
	s.exec("UPDATE webhooks SET timeout_ms = 5000")
	s.authorize(s.hook.ID, delivery.WebhookAuth{Type: webhook.AuthOAuth2, User: "acme", TokenURL: tokens.URL})
	done := make(chan deliver.BatchResult, 1)
	go func() { done <- s.attemptBatch(in, uuid.New()) }()
	within(t, arrived)
	require.Eventually(t, func() bool {
		return s.number("SELECT count(*) FROM deliveries WHERE webhook_id = ? AND status = 'succeeded'", healthy.ID) == 10
	}, 20*time.Second, 10*time.Millisecond)
	res := within(t, done)
	require.Equal(t, 10, res.Succeeded)
	require.Equal(t, 10, res.Failed+res.Left)
	require.Equal(t, res.Failed, s.number("SELECT count(*) FROM attempts WHERE error_kind = 'token'"))
}

package api_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/db"
)

const anEvent = `{"type":"job.created","data":{}}`

// TestRememberedKey changes a key that the API has read before: the very next request is judged by what it is now,
// whatever else is right or wrong with it, and nothing of a refused one is stored.
func TestRememberedKey(t *testing.T) {
	t.Parallel()
	b := setup(t)
	remembered := func() (key string, set func(string)) {
		plain, row := b.newKey(&b.company)
		for range 2 {
			b.as(plain, "POST", "/events", anEvent).is(202)
		}
		return plain, func(change string) {
			_, err := b.ExecContext(b.ctx, "UPDATE api_keys SET "+change+" WHERE id = ?", row.ID)
			require.NoError(t, err)
		}
	}
	for name, c := range map[string]struct {
		change string
		status int
		code   string
	}{
		"revoked":         {"revoked_at = now()", 401, "INVALID_API_KEY"},
		"suspended":       {"suspended_at = now()", 401, "API_KEY_SUSPENDED"},
		"expired":         {"expires_at = now() - interval '1 s'", 401, "INVALID_API_KEY"},
		"other_addresses": {"allowed_ips = '{10.0.0.0/8}'", 403, "IP_NOT_ALLOWED"},
		"fewer_scopes":    {"scopes = '{read:events}'", 403, "INSUFFICIENT_PERMISSIONS"},
		"another_secret":  {"hash = 'x' || hash", 401, "INVALID_API_KEY"},
	} {
		t.Run(name, func(t *testing.T) {
			for kind, body := range map[string]string{
				"valid": anEvent, "array": "[" + anEvent + "]", "empty": "", "unknown_type": `{"type":"nope","data":{}}`,
				"all_refused": `[{"type":"nope","data":{}}]`, "foreign": `{"type":"job.created","data":{},"companyId":"` + b.other.String() + `"}`,
			} {
				key, set := remembered()
				set(c.change)
				before := b.count("events")
				b.as(key, "POST", "/events", body).fails(c.status, c.code)
				b.as(key, "POST", "/events", body).fails(c.status, c.code)
				require.Equal(t, before, b.count("events"), kind)
			}
			key, set := remembered()
			set(c.change)
			b.as(key, "POST", "/v1/events", anEvent, "Idempotency-Key", name).fails(c.status, c.code)
		})
	}
	t.Run("a_lower_limit", func(t *testing.T) {
		key, set := remembered()
		set("rate_per_minute = 2")
		r := b.as(key, "POST", "/events", anEvent)
		require.Equal(t, 429, r.Status)
		require.Equal(t, "2", r.Header.Get("X-RateLimit-Limit-Minute"))
	})
	t.Run("a_higher_limit", func(t *testing.T) {
		key, set := remembered()
		set("rate_per_minute = 3")
		r := b.as(key, "POST", "/events", anEvent)
		r.is(202)
		require.Equal(t, "0", r.Header.Get("X-RateLimit-Remaining-Minute"), "a request that is judged twice counts once")
		require.Equal(t, 429, b.as(key, "POST", "/events", anEvent).Status)
		set("rate_per_minute = 100")
		b.as(key, "POST", "/events", anEvent).is(202)
	})
	t.Run("resumed", func(t *testing.T) {
		key, set := remembered()
		set("suspended_at = now()")
		b.as(key, "POST", "/events", anEvent).fails(401, "API_KEY_SUSPENDED")
		set("suspended_at = NULL")
		b.as(key, "POST", "/events", anEvent).is(202)
	})
	t.Run("a_change_of_nothing_that_matters", func(t *testing.T) {
		key, set := remembered()
		before := b.count("events")
		set("name = 'renamed'")
		for range 2 {
			b.as(key, "POST", "/events", anEvent).is(202)
		}
		require.Equal(t, before+2, b.count("events"), "stored once, though judged twice")
	})
	t.Run("another_company", func(t *testing.T) {
		key, set := remembered()
		before := b.count("events")
		set("company_id = '" + b.other.String() + "'")
		b.as(key, "POST", "/events", anEvent).fails(409, "CONFLICT")
		require.Equal(t, before, b.count("events"))
		id := b.as(key, "POST", "/events", anEvent).is(202)["id"].(string)
		b.as(b.otherKey, "GET", "/events/"+id, nil).is(200)
	})
	t.Run("expiry_by_the_clock", func(t *testing.T) {
		key, set := remembered()
		end := time.Now().Add(300 * time.Millisecond).UTC()
		set("expires_at = '" + end.Format(time.RFC3339Nano) + "'")
		b.as(key, "POST", "/events", anEvent)
		require.Eventually(t, func() bool { return time.Now().After(end) }, 5*time.Second, time.Millisecond)
		b.as(key, "POST", "/events", anEvent).fails(401, "INVALID_API_KEY")
	})
}

// TestRevocationUnderLoad revokes a key while 16 publishers use it: what begins after the revocation is refused.
func TestRevocationUnderLoad(t *testing.T) {
	t.Parallel()
	b := setup(t)
	key, row := b.newKey(&b.company)
	var accepted, refused atomic.Int64
	var revoked atomic.Bool
	var publishers sync.WaitGroup
	for range 16 {
		publishers.Go(func() {
			for refused.Load() < 200 {
				already := revoked.Load()
				switch r := b.as(key, "POST", "/events", anEvent); r.Status {
				case 202:
					accepted.Add(1)
					if already {
						t.Error("accepted after the revocation")
						return
					}
				case 401:
					refused.Add(1)
				default:
					t.Errorf("answered %d: %s", r.Status, r.Body)
					return
				}
			}
		})
	}
	require.Eventually(t, func() bool { return accepted.Load() > 200 }, 20*time.Second, time.Millisecond)
	b.tx(func(tx bun.Tx) error { return db.RevokeAPIKey(b.ctx, tx, row.ID, "test") })
	revoked.Store(true)
	publishers.Wait()
	require.EqualValues(t, accepted.Load(), b.count("events"))
}

func TestPlatformKeyPublishes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	to := func(company uuid.UUID) response {
		return b.as(b.platformKey, "POST", "/events?companyId="+company.String(), anEvent)
	}
	to(b.other).is(202)
	gone := b.newCompany("Gone")
	to(gone).is(202)
	_, err := b.ExecContext(b.ctx, "UPDATE companies SET deleted_at = now() WHERE id = ?", gone)
	require.NoError(t, err)
	for _, id := range []uuid.UUID{gone, uuid.New()} {
		to(id).fails(404, "RESOURCE_NOT_FOUND")
	}
	require.Equal(t, 2, b.count("events"))
}

// TestShutdownAnswersPublishers stops a server while publishers wait for a commit: all are answered, and what was is
// stored.
func TestShutdownAnswersPublishers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	srv := httptest.NewServer(b.handler)
	t.Cleanup(srv.Close)
	tx, err := b.BeginTx(b.ctx, nil)
	require.NoError(t, err)
	_, err = tx.ExecContext(b.ctx, "LOCK TABLE events IN ACCESS EXCLUSIVE MODE")
	require.NoError(t, err)
	var published sync.WaitGroup
	var begun, accepted atomic.Int64
	for range 20 {
		published.Go(func() {
			req, err := http.NewRequestWithContext(b.ctx, http.MethodPost, srv.URL+"/events", strings.NewReader(anEvent))
			if err != nil {
				t.Error(err)
				return
			}
			req.Header.Set("Authorization", "Bearer "+b.key)
			begun.Add(1)
			resp, err := srv.Client().Do(req)
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			if resp.StatusCode == http.StatusAccepted {
				accepted.Add(1)
			}
		})
	}
	require.Eventually(
		t,
		func() bool { return begun.Load() == 20 && b.blockedStatements() == 2 },
		20*time.Second,
		time.Millisecond,
	)
	stopped := make(chan error, 1)
	go func() { stopped <- srv.Config.Shutdown(b.ctx) }()
	require.NoError(t, tx.Rollback())
	published.Wait()
	require.NoError(t, <-stopped)
	require.EqualValues(t, 20, accepted.Load())
	require.Equal(t, 20, b.count("events"))
}

func (b *bundle) blockedStatements() (n int) {
	b.t.Helper()
	err := b.NewRaw(`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`).
		Scan(b.ctx, &n)
	require.NoError(b.t, err)
	return n
}

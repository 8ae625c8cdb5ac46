package e2e_test

import (
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/db"
	"greenroom/db/pg"
)

// TestABackupTakenUnderLoadRestores follows deploy/backup.md when only the dump of Greenroom's database is left, and
// Temporal's are empty: what the dump has is delivered, or its row says why not; only what the dump does not record as
// delivered may arrive again.
func TestABackupTakenUnderLoadRestores(t *testing.T) {
	tools := postgresClient(t)
	s := prepare(t)
	temporal := s.ownTemporal()
	stopAPI, stopWorker := s.serve(), s.work()

	fine := listen(t, nil)
	busy := s.webhook(fine, "instaview", 5)["id"]
	failing := listen(t, func(int, received) (int, http.Header) {
		return http.StatusServiceUnavailable, http.Header{"Retry-After": {"30"}}
	})
	retried := s.webhook(failing, "instaview", "analysis.completed")["id"]
	refusing := listen(t, status(http.StatusGone))
	refused := s.webhook(refusing, "standard", "interview.canceled")["id"]
	broken, paused := s.paused(12)
	s.publish("analysis.completed", 5)
	s.publish("interview.canceled", 1)
	s.eventually(func() bool { return s.statuses(retried)["retrying"] == 5 }, "some are retried")
	s.eventually(func() bool { return s.statuses(refused)["failed"] == 1 }, "one has failed for good")

	stopLoad, accepted := s.load()
	s.publishAtOnce("interview.started", 300)
	s.eventually(func() bool { return fine.count() > 50 }, "it is in the middle of it")
	dump := tools.dump(t, s.databaseURL)
	atDump := fine.count()
	s.eventually(func() bool { return fine.count() > atDump }, "the load goes on after it")
	stopLoad()
	stopWorker()
	stopAPI()
	require.NoError(t, temporal.Stop(t.Context()))
	require.Positive(t, accepted())

	s.restore(tools, dump)
	events := s.eventCount()
	restored := s.rows()
	count := map[string]int{}
	for _, d := range restored {
		count[d.Status]++
	}
	t.Logf("restored: %v", count)
	require.Positive(t, count["succeeded"])
	require.Equal(t, 5, s.statuses(retried)["retrying"])
	require.GreaterOrEqual(t, count["paused"], 12)
	before := fine.acceptances()
	failing.turn(nil)
	broken.turn(nil)
	s.ownTemporal() // a new one, which knows nothing
	s.serve()
	s.work()

	s.eventually(func() bool {
		n := s.statuses(busy)
		return n["succeeded"] > 0 && len(n) == 1
	}, "what waited is delivered: %v", s.statuses(busy))
	s.eventually(func() bool { return s.statuses(retried)["succeeded"] == 5 }, "and what was to be retried")
	require.Equal(t, 5, failing.accepts(), "once each")
	// Its circuit is the engineer's to reset, as before.
	require.NotNil(t, s.must(http.MethodGet, "/webhooks/"+paused.(string), nil)["circuitOpenedAt"])
	require.Equal(t, 0, broken.accepts())
	s.must(http.MethodPost, "/webhooks/"+paused.(string)+"/reset-circuit", nil)
	s.eventually(func() bool {
		n := s.statuses(paused)
		return n["succeeded"] > 0 && len(n) == 1
	}, "and what was paused: %v", s.statuses(paused))

	require.Equal(t, events, s.eventCount(), "no event is made or lost by it")
	s.eventually(func() bool { return s.readFeed() == events }, "a reader without a cursor gets all %d", events)
	s.publish("interview.started", 1)
	s.eventually(func() bool { return s.readFeed() == events+1 }, "and those that follow")

	after := fine.acceptances()
	again := 0
	for _, d := range restored {
		switch {
		case d.WebhookID == refused:
			assert.NotEmpty(t, d.LastError, "a delivery that failed says why")
			assert.Equal(t, "failed", d.Status)
		case d.WebhookID != busy:
		case d.Status == "succeeded":
			assert.Equal(t, before[d.ID], after[d.ID], "%s was recorded as delivered, and is not sent again", d.ID)
		default:
			assert.Equal(t, before[d.ID]+1, after[d.ID], "%s is sent once", d.ID)
			again += before[d.ID]
		}
	}
	t.Logf("%d deliveries arrived again: they succeeded after the dump", again)
	require.Equal(t, 1, refusing.count(), "what had failed for good is not tried again by itself")
}

// row is what the test reads of a delivery.
type row struct{ ID, WebhookID, Status, LastError string }

func (s *system) rows() (rows []row) {
	s.t.Helper()
	query := `SELECT id::text, webhook_id::text, status, COALESCE(last_error, last_status_code::text, '') AS last_error
		FROM deliveries`
	require.NoError(s.t, s.db.NewRaw(query).Scan(s.t.Context(), &rows))
	return rows
}

// eventCount counts the events that the test published: operational events, as of a circuit that closes, come later.
func (s *system) eventCount() (n int) {
	s.t.Helper()
	query := "SELECT count(*) FROM events WHERE type LIKE 'interview.%' OR type LIKE 'analysis.%'"
	require.NoError(s.t, s.db.NewRaw(query).Scan(s.t.Context(), &n))
	return n
}

// readFeed counts the events that GET /events shows from the beginning.
func (s *system) readFeed() (n int) {
	s.t.Helper()
	for path := "/events?limit=100&types=interview.*,analysis.*"; ; {
		a := s.do(http.MethodGet, path, nil)
		require.Equal(s.t, http.StatusOK, a.Status, "%+v", a.Error)
		page := a.object(s.t)
		events := page["data"].([]any)
		if len(events) == 0 {
			return n
		}
		n += len(events)
		path = "/events?limit=100&types=interview.*,analysis.*&after=" + url.QueryEscape(page["nextCursor"].(string))
	}
}

// acceptances returns how often each delivery was accepted.
func (rc *receiver) acceptances() map[string]int {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	n := make(map[string]int, len(rc.accepted))
	for id, times := range rc.accepted {
		n[id] = times
	}
	return n
}

// accepts returns the number of all acceptances.
func (rc *receiver) accepts() (n int) {
	for _, times := range rc.acceptances() {
		n += times
	}
	return n
}

// postgresTools is the directory of pg_dump and pg_restore; empty: they are on PATH.
type postgresTools string

// postgresClient finds the programs where devstack finds the server.
func postgresClient(t *testing.T) postgresTools {
	t.Helper()
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/libexec/postgresql*", "/opt/homebrew/opt/postgresql@*/bin",
		"/usr/local/opt/postgresql@*/bin",
	} {
		dirs, _ := filepath.Glob(pattern)
		for i := len(dirs) - 1; i >= 0; i-- { // the newest: pg_dump refuses a newer server
			if _, err := os.Stat(filepath.Join(dirs[i], "pg_dump")); err == nil {
				return postgresTools(dirs[i])
			}
		}
	}
	if _, err := exec.LookPath("pg_dump"); err != nil {
		t.Skip("pg_dump is not installed")
	}
	return ""
}

func (p postgresTools) run(t *testing.T, program string, args ...string) {
	t.Helper()
	out, err := exec.Command(filepath.Join(string(p), program), args...).CombinedOutput()
	require.NoError(t, err, "%s: %s", program, out)
}

// dump writes the database into a new file and returns its path.
func (p postgresTools) dump(t *testing.T, databaseURL string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "greenroom.dump")
	p.run(t, "pg_dump", "--format=custom", "--dbname="+databaseURL, "--file="+path)
	return path
}

// restore makes a new database from the dump, and the system's processes that start from now on use it.
func (s *system) restore(tools postgresTools, dump string) {
	s.t.Helper()
	name := "t_" + strings.ReplaceAll(uuid.NewString(), "-", "")
	old := s.db
	_, err := old.ExecContext(s.t.Context(), "CREATE DATABASE ? TEMPLATE template0", bun.Ident(name))
	require.NoError(s.t, err)
	u, err := url.Parse(s.databaseURL)
	require.NoError(s.t, err)
	u.Path = "/" + name
	tools.run(s.t, "pg_restore", "--exit-on-error", "--dbname="+u.String(), dump)
	restored, err := pg.Open(s.t.Context(), pg.Options{URL: u.String(), MaxConns: 20})
	require.NoError(s.t, err)
	_, err = db.Migrate(s.t.Context(), restored)
	require.NoError(s.t, err)
	s.t.Cleanup(func() {
		_ = restored.Close()
		_, _ = old.Exec("DROP DATABASE ? WITH (FORCE)", bun.Ident(name))
	})
	s.db, s.databaseURL, s.cfg.Database.URL = restored, u.String(), u.String()
}

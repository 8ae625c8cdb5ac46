package api_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"greenroom/db"
	"greenroom/db/token"
)

// made creates something with the company's key and returns what was answered.
func (b *bundle) made(path string, body object, more ...object) object {
	b.t.Helper()
	for _, m := range more {
		maps.Copy(body, m)
	}
	return b.do("POST", path, body).is(http.StatusCreated)
}

func (b *bundle) job(more ...object) object {
	b.t.Helper()
	return b.made("/jobs", object{"title": "Backend engineer", "description": "Builds"}, more...)
}

func (b *bundle) agent(kind string, more ...object) object {
	b.t.Helper()
	return b.made("/agents", object{"name": "Screening", "type": kind, "questions": []string{"Why?", "When?"}}, more...)
}

func (b *bundle) candidate(more ...object) object {
	b.t.Helper()
	return b.made("/candidates", object{
		"firstName": "Ada", "lastName": "Byron", "email": "ada@example.com", "phoneNumber": "+421900123456",
	}, more...)
}

// interview is one of a GENERIC agent, so that it needs no job.
func (b *bundle) interview(kind string) object {
	b.t.Helper()
	return b.made("/interviews", object{
		"candidateId": b.candidate()["id"], "agentId": b.agent(kind, object{"focus": "GENERIC"})["id"],
	})
}

func idOf(o object) string { return o["id"].(string) }

func uid(o object) uuid.UUID { return uuid.MustParse(idOf(o)) }

// firstCall is the id of a new PHONE interview's call attempt.
func firstCall(interview object) string {
	return interview["callAttempts"].([]any)[0].(object)["id"].(string)
}

func (b *bundle) get(path string) object {
	b.t.Helper()
	return b.do("GET", path, nil).is(http.StatusOK)
}

// events lists the company's event types in the order in which they were recorded.
func (b *bundle) events() []string {
	b.t.Helper()
	types := []string{}
	require.NoError(
		b.t,
		b.NewRaw("SELECT type FROM events WHERE company_id = ? ORDER BY id", b.company).Scan(b.ctx, &types),
	)
	return types
}

// lastEvent is the data of the newest event of a type.
func (b *bundle) lastEvent(eventType string) object {
	b.t.Helper()
	var data string
	require.NoError(
		b.t,
		b.NewRaw("SELECT data FROM events WHERE type = ? ORDER BY id DESC LIMIT 1", eventType).Scan(b.ctx, &data),
	)
	var o object
	require.NoError(b.t, json.Unmarshal([]byte(data), &o))
	return o
}

// rows counts everything that a refused request could have left behind.
func (b *bundle) rows() map[string]int {
	b.t.Helper()
	counts := map[string]int{}
	for _, table := range []string{
		"jobs", "candidates", "candidate_jobs", "agents", "interviews", "call_attempts", "analyses", "events", "commands",
	} {
		var n int
		require.NoError(b.t, b.NewRaw("SELECT count(*) FROM "+table).Scan(b.ctx, &n))
		counts[table] = n
	}
	return counts
}

// leaves asserts that fn leaves nothing behind.
func (b *bundle) leaves(fn func()) {
	b.t.Helper()
	before := b.rows()
	fn()
	require.Equal(b.t, before, b.rows(), "something was left behind")
}

// refuses posts bodies that must be refused as bad input, whatever they are, and leave nothing behind.
func (b *bundle) refuses(method, path string, bodies map[string]any) {
	b.t.Helper()
	b.leaves(func() {
		for name, body := range bodies {
			r := b.do(method, path, body)
			require.Contains(b.t, []int{400, 413}, r.Status, "%s %s %s: %s", method, path, name, r.Body)
			require.Contains(
				b.t,
				[]string{"VALIDATION_ERROR", "MISSING_REQUIRED_FIELD", "PAYLOAD_TOO_LARGE"},
				r.Error.Code,
				name,
			)
		}
	})
}

// at is a time in the answers' form.
func at(t *testing.T, v any) time.Time {
	t.Helper()
	parsed, err := time.Parse("2006-01-02T15:04:05.000Z", v.(string))
	require.NoError(t, err)
	return parsed
}

// callbackPath is the address that a provider was given.
func callbackPath(kind string, id uuid.UUID) string {
	return "/callbacks/" + kind + "/" + id.String() + "?token=" + token.For(testSecret, token.Callback, id)
}

// completed is a PHONE interview whose call is over, its analysis pending.
func (b *bundle) completed() object {
	b.t.Helper()
	i := b.interview("PHONE")
	call := uuid.MustParse(firstCall(i))
	require.Equal(b.t, 204, b.as("", "POST", callbackPath("calls", call), object{
		"status": "COMPLETED", "duration": 61, "transcript": []object{{"role": "agent", "content": "Why?"}},
	}).Status)
	return b.get("/interviews/" + idOf(i))
}

// setStatus brings an interview into a status that its tests do not care how it is reached.
func (b *bundle) setStatus(interview object, status db.InterviewStatus) {
	b.t.Helper()
	_, err := b.ExecContext(b.ctx, "UPDATE interviews SET status = ? WHERE id = ?", status, idOf(interview))
	require.NoError(b.t, err)
}

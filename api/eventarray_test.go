package api_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// published is the answer to an array.
type published struct {
	Accepted int `json:"accepted"`
	Refused  int `json:"refused"`
	Results  []struct {
		Success bool `json:"success"`
		Data    *struct {
			ID         uuid.UUID `json:"id"`
			Type       string    `json:"type"`
			Deliveries int       `json:"deliveries"`
		} `json:"data"`
		Error *struct {
			Code    string         `json:"code"`
			Message string         `json:"message"`
			Details map[string]any `json:"details"`
		} `json:"error"`
	} `json:"results"`
}

func (r response) published(status int) (p published) {
	r.t.Helper()
	r.into(status, &p)
	return p
}

func TestEventArray(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.newHook("INTERVIEW_STARTED")
	many := func(n int, element string) string { return "[" + strings.Repeat(element+",", n-1) + element + "]" }
	started := `{"type":"interview.started","data":{"n": 1.50}}`
	t.Run("a_result_for_each_in_order", func(t *testing.T) {
		p := b.do("POST", "/events", " [\n"+started+","+anEvent+"]").published(202)
		require.Equal(t, []int{2, 0, 2}, []int{p.Accepted, p.Refused, len(p.Results)})
		require.Equal(t, "interview.started", p.Results[0].Data.Type)
		require.Equal(t, 1, p.Results[0].Data.Deliveries)
		require.Equal(t, "job.created", p.Results[1].Data.Type)
		require.Zero(t, p.Results[1].Data.Deliveries)
		raw := b.do("GET", "/events/"+p.Results[0].Data.ID.String(), nil)
		require.Contains(t, string(raw.Body), `{"n":1.50}`)
	})
	t.Run("bad_ones_fail_alone_as_they_would_alone", func(t *testing.T) {
		bad := []string{
			`null`,
			`1`,
			`"x"`,
			`[]`,
			`{}`,
			`{"type":"nope","data":{}}`,
			`{"type":1,"data":{}}`,
			`{"type":"job.created"}`,
			`{"type":"job.created","data":[]}`,
			`{"type":"job.created","data":{"a":"\u0000"}}`,
			`{"type":"job.created","data":{"a":"\ud800"}}`,
			`{"type":"job.created","data":{"a":1,"a":2}}`,
			`{"type":"job.created","type":"job.created","data":{}}`,
			`{"type":"job.created","data":{},"x":1}`,
			`{"type":"job.created","data":{"a":1e999}}`,
			`{"type":"job.created","data":{},"companyId":"x"}`,
			`{"type":"job.created","data":{},"companyId":"` + b.other.String() + `"}`,
			`{"type":"job.created","data":` + strings.Repeat(`{"a":`, 70) + "1" + strings.Repeat("}", 71),
			`{"type":"job.created","data":{"a":"` + strings.Repeat("x", 1<<20) + `"}}`,
		}
		before, deliveries := b.count("events"), b.count("deliveries")
		p := b.do("POST", "/events", "["+started+","+strings.Join(bad, ",")+","+started+"]").published(207)
		require.Equal(t, []int{2, len(bad), len(bad) + 2}, []int{p.Accepted, p.Refused, len(p.Results)})
		require.Equal(t, before+2, b.count("events"))
		require.Equal(t, deliveries+2, b.count("deliveries"))
		for i, element := range bad {
			got := p.Results[i+1]
			require.False(t, got.Success)
			require.Nil(t, got.Data)
			alone := b.do("POST", "/events", element)
			require.GreaterOrEqual(t, alone.Status, 400)
			if element == "[]" {
				require.Equal(t, "The body must be a JSON object", got.Error.Message)
				continue
			}
			require.Equal(t, alone.Error, got.Error, element)
		}
		for _, i := range []int{0, len(bad) + 1} {
			require.True(t, p.Results[i].Success)
			require.Equal(t, 1, p.Results[i].Data.Deliveries)
		}
	})
	t.Run("all_refused_is_a_207_too", func(t *testing.T) {
		before := b.count("events")
		for range 2 { // the key is remembered the second time
			p := b.do("POST", "/events", `[{"type":"nope","data":{}},7]`).published(207)
			require.Equal(t, []int{0, 2}, []int{p.Accepted, p.Refused})
		}
		require.Equal(t, before, b.count("events"))
	})
	t.Run("one_to_a_thousand", func(t *testing.T) {
		before := b.count("events")
		b.do("POST", "/events", "[ ]").fails(400, "VALIDATION_ERROR")
		b.do("POST", "/events", many(1001, started)).fails(400, "VALIDATION_ERROR")
		require.Equal(t, before, b.count("events"))
		p := b.do("POST", "/events", many(1000, started)).published(202)
		ids := map[uuid.UUID]bool{}
		for _, r := range p.Results {
			ids[r.Data.ID] = true
		}
		require.Len(t, ids, 1000)
		require.Equal(t, before+1000, b.count("events"))
		var commits int
		require.NoError(
			t,
			b.NewRaw("SELECT count(DISTINCT xmin::text) FROM events WHERE id >= ?", p.Results[0].Data.ID).Scan(b.ctx, &commits),
		)
		require.Equal(t, 1, commits)
		b.do("POST", "/events", many(1, anEvent)).published(202)
	})
	t.Run("what_is_no_array_of_json_is_refused_whole", func(t *testing.T) {
		before := b.count("events")
		for _, body := range []string{"[" + anEvent, "[" + anEvent + ",]", "[" + anEvent + "]]", "[" + anEvent + ",\xff]", "[{'a':1}]"} {
			b.do("POST", "/events", body).fails(400, "VALIDATION_ERROR")
		}
		require.Equal(t, before, b.count("events"))
	})
	t.Run("at_most_4_mib_and_1_mib_each", func(t *testing.T) {
		half := fmt.Sprintf(`{"type":"job.created","data":{"a":%q}}`, strings.Repeat("x", 500<<10))
		b.do("POST", "/events", many(8, half)).published(202)
		b.do("POST", "/events", many(9, half)).fails(413, "PAYLOAD_TOO_LARGE")
		b.do("POST", "/events", anEvent+strings.Repeat(" ", 1<<20)).fails(413, "PAYLOAD_TOO_LARGE")
		e := b.do("POST", "/events", anEvent+strings.Repeat(" ", 1<<20)).Error
		require.EqualValues(t, 1<<20, e.Details["maxBytes"])
	})
	t.Run("a_platform_key_names_the_company_of_each", func(t *testing.T) {
		with := func(id uuid.UUID) object { return object{"type": "job.created", "data": object{}, "companyId": id} }
		unknown := uuid.New()
		body := []any{with(b.company), with(unknown), with(b.other), object{"type": "job.created", "data": object{}}}
		p := b.as(b.platformKey, "POST", "/events", body).published(207)
		require.Equal(t, 2, p.Accepted)
		require.Equal(t, "RESOURCE_NOT_FOUND", p.Results[1].Error.Code)
		require.Equal(t, unknown.String(), p.Results[1].Error.Details["resourceId"])
		require.Equal(t, "MISSING_REQUIRED_FIELD", p.Results[3].Error.Code)
		for i, company := range map[int]uuid.UUID{0: b.company, 2: b.other} {
			e := b.as(b.platformKey, "GET", "/events/"+p.Results[i].Data.ID.String(), nil).is(200)
			require.Equal(t, company.String(), e["companyId"])
		}
	})
	t.Run("idempotency_is_of_the_whole_array", func(t *testing.T) {
		before := b.count("events")
		mixed := "[" + started + ",1," + anEvent + "]"
		post := func(key, body string) response { return b.do("POST", "/events", body, "Idempotency-Key", key) }
		first := post("a1", mixed)
		first.published(207)
		again := post("a1", mixed)
		require.Equal(t, 207, again.Status)
		require.Equal(t, string(first.Body), string(again.Body))
		require.Equal(t, "true", again.Header.Get("Idempotency-Replayed"))
		require.Equal(t, before+2, b.count("events"))
		post("a1", many(1, started)).fails(409, "IDEMPOTENCY_CONFLICT")
		post("a2", "[1]").published(207)
		post("a2", many(1, started)).published(202) // nothing was stored, so no answer was kept
	})
}

// TestEventArrayNever500 throws what no client should send at the array.
func TestEventArrayNever500(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, element := range []any{
		nil, 1, true, "x",
		[]any{},
		[]any{[]any{}},
		object{},
		object{"type": nil},
		object{"type": object{}, "data": 1},
		object{"type": "ping", "data": object{}},
		object{"type": strings.Repeat("x", 5000), "data": object{}},
		object{"companyId": 1},
		object{"type": "job.created", "data": object{}, "companyId": uuid.Nil},
	} {
		raw, err := json.Marshal([]any{element, object{"type": "job.created", "data": object{}}})
		require.NoError(t, err)
		for _, key := range []string{b.key, b.platformKey} {
			r := b.as(key, "POST", "/events?companyId="+b.company.String(), raw)
			require.Equal(t, 207, r.Status, "%s: %s", raw, r.Body)
			require.Equal(t, 1, r.published(207).Accepted)
		}
	}
}

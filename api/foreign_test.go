package api_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"greenroom/api/apitest"
	"greenroom/db/token"
)

// TestForeignKey: a key of one company gets nothing of another's out of any route.
func TestForeignKey(t *testing.T) {
	t.Parallel()
	b := setup(t)
	f := b.planted()
	apitest.WalkForeign(t, b.Bundle, "greenroom", f)
	t.Run("filters_name_foreign_rows_and_find_nothing", func(t *testing.T) {
		for _, path := range []string{
			"/deliveries?webhookId=" + f.Rows["/webhooks/:id"], "/candidates?jobId=" + f.Rows["/jobs/:id"], "/webhooks?companyId=" + b.company.String(),
			"/interviews?candidateId=" + f.Rows["/candidates/:id"], "/interviews?agentId=" + f.Rows["/agents/:id"],
			"/jobs?companyId=" + b.company.String(), "/candidates?search=planted",
		} {
			require.Empty(t, b.as(b.otherKey, "GET", path, nil).items(), path)
			if path != "/webhooks?companyId="+b.company.String() {
				require.NotEmpty(t, b.do("GET", path, nil).items(), path)
			}
		}
	})
}

// planted makes a row of every kind, of the first company, with the marker in a text of it.
func (b *bundle) planted() apitest.Foreign {
	b.t.Helper()
	marked := object{"metadata": object{"note": apitest.Marker}}
	b.do("PATCH", "/companies/"+b.company.String(), object{"description": apitest.Marker}).is(200)
	hook := idOf(b.made("/webhooks", object{"url": hookURL, "events": []int{0, 3}, "name": apitest.Marker}))
	created := b.secrets("/webhooks/" + hook)[0]
	b.do("POST", "/webhooks/"+hook+"/rotate-secret", nil).is(200)
	job := idOf(b.job(object{"description": apitest.Marker}))
	candidate := idOf(b.candidate(object{"firstName": apitest.Marker, "jobId": job}))
	_, err := b.ExecContext(b.ctx, `INSERT INTO erasures (id, company_id, candidate_id, reason, needles, files)
		VALUES (gen_random_uuid(), ?, ?, 'requested', '{}', '{}')`, b.company, candidate) // the candidate itself must stay
	require.NoError(b.t, err)
	agent := idOf(b.agent("PHONE", object{"name": apitest.Marker, "focus": "GENERIC"}))
	phone := b.made("/interviews", object{"candidateId": candidate, "agentId": agent}, marked)
	online := uid(b.interview("ONLINE"))
	require.Equal(
		b.t,
		204,
		b.as("", "POST", callbackPath("calls", uuid.MustParse(firstCall(phone))), object{"status": "COMPLETED"}).Status,
	)
	b.do("POST", "/interviews/"+idOf(phone)+"/analysis", object{"general": object{"summary": apitest.Marker}}).is(201)
	event := b.do("POST", "/events", object{"type": "analysis.completed", "data": object{"note": apitest.Marker}}).is(202)["id"].(string)
	delivery := b.do("GET", "/deliveries?webhookId="+hook, nil).items()[0]["id"].(string)
	_, err = b.ExecContext(
		b.ctx,
		`INSERT INTO attempts (delivery_id, run_id, attempt, workflow_id, started_at, duration_ms,
		outcome, error) VALUES (?, gen_random_uuid(), 1, 'w', now(), 1, 'retry', ?)`,
		delivery,
		apitest.Marker,
	)
	require.NoError(b.t, err)
	_, err = b.ExecContext(
		b.ctx,
		`UPDATE deliveries SET last_error = ?0, body = convert_to(?0, 'UTF8') WHERE id = ?1`,
		apitest.Marker,
		delivery,
	)
	require.NoError(b.t, err)
	replay := b.do("POST", "/webhooks/"+hook+"/replays", object{"since": time.Now().Add(-time.Hour)}).is(202)["id"].(string)
	key := b.do("POST", "/api-keys", object{"name": apitest.Marker, "scopes": []string{"read:jobs"}}).is(201)["id"].(string)
	b.made(
		"/event-types",
		object{
			"name":        "order.shipped",
			"description": apitest.Marker,
			"schema":      object{"examples": []any{object{"note": apitest.Marker}}},
		},
	)
	sourcing, enrichment := b.sourcedRuns(apitest.Marker)
	return apitest.Foreign{
		Rows: map[string]string{
			"/sourcing/:id":                            sourcing.RequestID(),
			"/sourcing/enrich/:id":                     enrichment.RequestID(),
			"/sourcing/profiles/:id":                   "planted",
			"/callbacks/runs/:id":                      sourcing.ID.String(),
			"/companies/:id":                           b.company.String(),
			"/webhooks/:id":                            hook,
			"/webhooks/:id/replays/:rid":               replay,
			"/replays/:rid":                            replay,
			"/webhooks/:id/secrets/:fingerprint":       created,
			"/events/:id":                              event,
			"/deliveries/:id":                          delivery,
			"/api-keys/:id":                            key,
			"/jobs/:id":                                job,
			"/candidates/:id":                          candidate,
			"/agents/:id":                              agent,
			"/event-types/:name":                       "order.shipped",
			"/interviews/:id":                          idOf(phone),
			"/interviews/:id/call-attempts/:attemptId": firstCall(phone),
			"/callbacks/calls/:id":                     firstCall(phone),
			"/callbacks/analyses/:id":                  idOf(phone),
			"/i/:invite":                               online.String() + "." + token.For(testSecret, token.Invite, uuid.New()),
		},
		Open: []string{"/docs/:name", "/docs/guides/:name", "/openapi/:file"},
		Textless: []string{
			"/candidates/:id/erasure", "/webhooks/:id/replays", "/webhooks/:id/replays/:rid", "/replays/:rid",
			"/webhooks/:id/secrets",
		},
		Bodies: map[string]any{"PUT /event-types/:name": object{"schema": object{}}},
		Also: []apitest.Call{
			{Method: "POST", Target: "/candidates", Body: object{"firstName": "A", "lastName": "B", "jobId": job}},
			{Method: "POST", Target: "/interviews", Body: object{"candidateId": candidate, "agentId": agent}},
			{Method: "POST", Target: "/webhooks", Body: object{"url": hookURL, "events": []int{0}, "companyId": b.company}},
			{Method: "POST", Target: "/events", Body: object{"type": "job.created", "data": object{}, "companyId": b.company}},
			{Method: "POST", Target: "/api-keys", Body: object{"name": "x", "scopes": []string{"*"}, "companyId": b.company}},
		},
	}
}

package api_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"greenroom/db/delivery"
)

func TestEventSubject(t *testing.T) {
	t.Parallel()
	b := setup(t)
	publish := func(body object) object {
		t.Helper()
		body["type"] = "analysis.completed"
		return b.get("/events/" + idOf(b.do("POST", "/events", body).is(202)))
	}
	id := uuid.NewString()
	for want, body := range map[string]object{
		"invoice:42":      {"subject": "invoice:42", "data": object{"interviewId": id}},
		"interview:" + id: {"data": object{"interviewId": id, "candidateId": "c"}},
		"candidate:c-1":   {"data": object{"candidateId": "c-1", "jobId": "j"}},
		"job:7":           {"data": object{"jobId": "7", "interviewId": 3, "candidateId": "no id"}},
	} {
		first, second := publish(body), publish(body)
		require.Equal(t, want, first["subject"])
		require.Greater(t, second["sequence"], first["sequence"])
	}
	none := publish(object{"data": object{"interviewId": nil}})
	require.Nil(t, none["subject"])
	require.Nil(t, none["sequence"])
	for _, subject := range []any{"", "a b", "ann@example.com", strings.Repeat("x", 201), "ü", 7} {
		b.do("POST", "/events", object{"type": "analysis.completed", "subject": subject, "data": object{}}).
			fails(400, "VALIDATION_ERROR", "subject")
	}
	array := b.do("POST", "/events", []object{
		{"type": "analysis.completed", "subject": "a b", "data": object{}},
		{"type": "analysis.completed", "subject": "a:1", "data": object{}},
	})
	require.Contains(t, string(array.Body), "subject must be an id")
}

func TestWebhookOrdering(t *testing.T) {
	t.Parallel()
	b := setup(t)
	body := object{"url": hookURL, "events": []string{"analysis.completed"}}
	plain := b.do("POST", "/webhooks", body).is(201)
	require.Nil(t, plain["ordering"])
	body["ordering"], body["orderingOnFailure"] = "subject", "block"
	w := b.do("POST", "/webhooks", body).is(201)
	require.Equal(t, "subject", w["ordering"])
	require.Equal(t, "block", w["orderingOnFailure"])
	for field, value := range map[string]any{"ordering": "company", "orderingOnFailure": "stop"} {
		bad := object{"url": hookURL, "events": []string{"analysis.completed"}, field: value}
		b.do("POST", "/webhooks", bad).fails(400, "VALIDATION_ERROR", field)
		b.do("PATCH", "/webhooks/"+idOf(w), object{field: value}).fails(400, "VALIDATION_ERROR", field)
	}
	b.do("PATCH", "/webhooks/"+idOf(w), object{"orderingOnFailure": nil}).
		fails(400, "VALIDATION_ERROR", "orderingOnFailure")

	event := object{"type": "analysis.completed", "subject": "a:1", "data": object{}}
	b.do("POST", "/events", event).is(202)
	b.do("POST", "/events", event).is(202)
	waiting := b.do("GET", "/deliveries?webhookId="+idOf(w), nil).items()
	require.Len(t, waiting, 2)
	require.Equal(t, "a:1", waiting[0]["subject"])
	second := b.get("/deliveries/" + idOf(waiting[0]))
	require.Equal(t, "it waits for its turn among the events of a:1", second["explanation"].(map[string]any)["why"])
	lines := delivery.NewLines(b.DB)
	require.Eventually(t, func() bool {
		m, err := lines.Move(t.Context(), 10)
		require.NoError(t, err)
		return !m.Again
	}, time.Minute, time.Millisecond)
	second = b.get("/deliveries/" + idOf(waiting[0]))
	require.Contains(
		t,
		second["explanation"].(map[string]any)["why"],
		idOf(waiting[1])+" of an earlier event of a:1 has not ended",
	)

	got := b.do("PATCH", "/webhooks/"+idOf(w), object{"ordering": nil, "orderingOnFailure": "skip"}).is(200)
	require.Nil(t, got["ordering"])
	require.Equal(t, "skip", got["orderingOnFailure"])
}

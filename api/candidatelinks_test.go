package api_test

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestDeletedCandidateIsNotPublic: after a deletion no link, and no key, shows the person or the answers.
func TestDeletedCandidateIsNotPublic(t *testing.T) {
	t.Parallel()
	b := setup(t)
	person := object{"firstName": "Forget", "lastName": "Me", "email": "forget-me@example.org"}
	c := b.candidate(person)
	i := b.made("/interviews", object{
		"candidateId": c["id"], "agentId": b.agent("ONLINE", object{"focus": "GENERIC"})["id"],
	})
	invite := invitePath(i)
	b.as("", "POST", invite+"/start", nil).is(200)
	b.as("", "POST", invite+"/submit", object{"answers": []any{object{"question": "q", "answer": "private-4711"}}}).is(200)
	waiting := b.made("/interviews", object{"candidateId": c["id"], "agentId": i["agentId"]})
	running := b.made("/interviews", object{"candidateId": c["id"], "agentId": i["agentId"]})
	b.as("", "POST", invitePath(running)+"/start", nil).is(200)

	public, private := []string{}, []string{}
	for _, interview := range []object{i, waiting, running} {
		report := "/ai-interviews/report/" + strconv.Itoa(int(interview["number"].(float64)))
		var share struct {
			URL string `json:"signed_url"`
		}
		require.NoError(t, json.Unmarshal(b.As(b.key, "POST", report+"/share", nil).Body, &share))
		shared := strings.TrimPrefix(share.URL, "https://greenroom.test")
		public = append(public, invitePath(interview), shared, shared+"/download")
		private = append(private, report, report+"/download")
	}
	for _, path := range public {
		require.Equal(t, 200, b.As("", "GET", path, nil).Status, path)
	}
	require.Equal(t, 200, b.do("DELETE", "/candidates/"+idOf(c), nil).Status)
	for _, path := range public {
		require.Equal(t, 404, b.As("", "GET", path, nil).Status, path)
	}
	for _, path := range private {
		require.Equal(t, 404, b.As(b.key, "GET", path, nil).Status, path)
	}
	require.Equal(t, 404, b.As(b.key, "GET", "/interviews/"+idOf(i), nil).Status)
	b.as("", "POST", invitePath(running)+"/submit", object{"answers": []any{}}).fails(404, "RESOURCE_NOT_FOUND")
	require.Equal(t, "CANCELED", b.get("/interviews/" + idOf(waiting))["status"])
}

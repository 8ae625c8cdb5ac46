package wiseway_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"greenroom/api/apitest"
)

var allEvents = []string{
	"interview.completed",
	"interview.started",
	"candidate.invited",
	"candidate.created",
	"position.created",
	"position.updated",
}

// candidate opens its link and does something there.
func (b *bundle) candidate(c object, action string, body any) {
	b.T.Helper()
	path := strings.TrimPrefix(c["inviteUrl"].(string), apitest.PublicURL)
	r := b.As("", "POST", path+"/"+action, body)
	require.Equal(b.T, http.StatusOK, r.Status, "body: %s", r.Body)
}

// TestReferenceEvents is the table of 1.3: each event fires at its moment, and then alone.
func TestReferenceEvents(t *testing.T) {
	t.Parallel()
	holds(t, []row{
		{"interview_completed_when_a_candidate_finishes_the_interview", func(t *testing.T, b *bundle) {
			c := b.invited(b.position())
			b.candidate(c, "start", nil)
			b.webhook("https://example.com/hook", allEvents...)
			b.candidate(c, "submit", object{"answers": []object{}})
			require.Equal(t, []string{"interview.completed"}, b.sent())
		}},
		{"interview_started_when_a_candidate_begins_the_interview", func(t *testing.T, b *bundle) {
			c := b.invited(b.position())
			b.webhook("https://example.com/hook", allEvents...)
			b.candidate(c, "start", nil)
			require.Equal(t, []string{"interview.started"}, b.sent())
		}},
		{"candidate_invited_when_a_candidate_is_added_and_invited", func(t *testing.T, b *bundle) {
			p := b.position()
			b.webhook("https://example.com/hook", allEvents...)
			b.invited(p)
			require.Equal(t, []string{"candidate.invited"}, b.sent())
		}},
		{"candidate_created_when_a_candidate_is_created_without_an_invitation", func(t *testing.T, b *bundle) { // Part 3, 3
			p := b.position()
			b.webhook("https://example.com/hook", allEvents...)
			c := b.invited(p, object{"invite": false})
			require.Nil(t, c["interviewId"])
			require.Nil(t, c["inviteUrl"])
			require.Equal(t, []string{"candidate.created"}, b.sent())
		}},
		{"position_created_when_a_new_position_is_created", func(t *testing.T, b *bundle) {
			b.webhook("https://example.com/hook", allEvents...)
			b.position()
			require.Equal(t, []string{"position.created"}, b.sent())
		}},
		{"position_updated_when_a_position_is_modified", func(t *testing.T, b *bundle) {
			p := b.position()
			b.webhook("https://example.com/hook", allEvents...)
			b.Do("PUT", positions+"/"+idOf(p), object{"status": "closed"}).Is(http.StatusOK)
			require.Equal(t, []string{"position.updated"}, b.sent())
			b.Do("PUT", positions+"/"+idOf(p), object{}).Is(http.StatusOK)
			read := b.Do("GET", positions+"/"+idOf(p), nil).Is(http.StatusOK)
			require.Equal(t, read, b.Do("PUT", positions+"/"+idOf(p), read).Is(http.StatusOK))
			require.Len(t, b.sent(), 1, "nothing was modified")
		}},
		{"no_event_for_deleting_a_position_or_removing_a_candidate", func(t *testing.T, b *bundle) {
			p := b.position()
			c := b.invited(p)
			b.webhook("https://example.com/hook", allEvents...)
			require.Equal(t, http.StatusNoContent, b.Do("DELETE", candidatesOf(p)+"/"+idOf(c), nil).Status)
			require.Equal(t, http.StatusNoContent, b.Do("DELETE", positions+"/"+idOf(p), nil).Status)
			require.Empty(t, b.sent())
		}},
		{"only_the_events_that_a_webhook_asked_for", func(t *testing.T, b *bundle) {
			b.webhook("https://example.com/hook", "position.updated")
			b.invited(b.position())
			require.Empty(t, b.sent())
		}},
	})
}

// TestReferenceDelivery is 1.4, with the signature checked as the contract of the deliveries tells receivers to.
func TestReferenceDelivery(t *testing.T) {
	b := setup(t)
	url, got := receiver(t)
	w := b.webhook(url, "candidate.invited")
	p := b.position()
	c := b.invited(p)
	b.deliver()
	r := <-got
	body := r.json(t)
	t.Run("the_event_type", func(t *testing.T) { require.Equal(t, "candidate.invited", body["event"]) })
	t.Run("a_JSON_payload_with_candidate_details_position_info_timestamps", func(t *testing.T) {
		data := body["data"].(object)
		for _, field := range []string{"id", "name", "firstName", "lastName", "email", "phone", "status", "createdAt"} {
			require.Equal(t, c[field], data["candidate"].(object)[field], field)
		}
		for _, field := range []string{"id", "title", "description", "status", "createdAt"} {
			require.Equal(t, p[field], data["position"].(object)[field], field)
		}
		require.Equal(t, c["interviewId"], data["interview"].(object)["id"])
		require.Equal(t, c["invitationExpiresAt"], data["interview"].(object)["expiresAt"])
		require.NotEmpty(t, body["timestamp"])
		require.NotContains(t, string(r.body), c["inviteUrl"], "the link is the candidate's alone")
	})
	t.Run("a_signature_header_that_the_receiver_can_check", func(t *testing.T) {
		secret := w["secret"].(string)
		require.True(t, signedWith(secret, r), r.header)
		require.False(t, signedWith(strings.Repeat("0", 64), r))
		r.body = append(r.body, ' ')
		require.False(t, signedWith(secret, r), "every byte is signed")
	})
}

// signedWith is what a receiver does: X-WiseWay-Signature is "t=<unix seconds>,v1=<hex HMAC-SHA256 of <t>.<body>>",
// keyed with the secret as it was shown.
func signedWith(secret string, r received) bool {
	parts := strings.Split(r.header.Get("X-WiseWay-Signature"), ",")
	at := strings.TrimPrefix(parts[0], "t=")
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(at + "."))
	mac.Write(r.body)
	want := hex.EncodeToString(mac.Sum(nil))
	for _, p := range parts[1:] {
		if signature, is := strings.CutPrefix(p, "v1="); is && hmac.Equal([]byte(signature), []byte(want)) {
			return true
		}
	}
	return false
}

package api_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"greenroom/api"
	"greenroom/db/delivery"
)

// TestWebhooks_a_new_receiver_gets_no_old_credentials: headers are for the receiver that they were sent with.
func TestWebhooks_a_new_receiver_gets_no_old_credentials(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *api.Options) { o.SelfService = true })
	const from = "https://partner.example/hooks"
	for name, tt := range map[string]struct {
		to    string
		keeps bool
	}{
		"another_path":      {"https://partner.example/other?x=1", true},
		"the_same_in_words": {"HTTPS://Partner.Example:443/", true},
		"another_host":      {"https://attacker.example/hooks", false},
		"a_sub_domain":      {"https://a.partner.example/hooks", false},
		"another_port":      {"https://partner.example:8443/hooks", false},
	} {
		for _, profile := range []string{"instaview", "standard", "interview-suite", "wise", "wiseway"} {
			t.Run(name+"_"+profile, func(t *testing.T) {
				event := map[string]string{
					"wise": "MeetingStartedEvent", "interview-suite": "candidate_changed",
					"wiseway": "interview.completed",
				}[profile]
				if event == "" {
					event = "interview.started"
				}
				made := b.do("POST", "/webhooks", object{
					"url": from, "profile": profile, "events": []string{event},
					"headers": []object{{"name": "X-Session", "value": "sealed-4711"}},
				}).is(http.StatusCreated)
				before := b.row(made["id"])
				got := b.do("PATCH", "/webhooks/"+made["id"].(string), object{"url": tt.to}).is(http.StatusOK)
				after := b.row(made["id"])
				if tt.keeps {
					require.Equal(t, before.Headers, after.Headers)
					require.Equal(t, before.Secret, after.Secret)
					return
				}
				require.Empty(t, got["headers"])
				require.Empty(t, after.Headers)
				if profile != "wise" {
					require.Equal(t, before.Secret, after.Secret)
					require.NotContains(t, got, "signingSecret")
					return
				}
				require.NotEqual(t, made["signingSecret"], got["signingSecret"], "deliveries carry the secret as a key")
				plain, err := b.box.Open(after.Secret, after.ID, delivery.SecretField)
				require.NoError(t, err)
				require.Len(t, plain, 32)
			})
		}
	}
	t.Run("sent_again_they_stay", func(t *testing.T) {
		w, path := b.hook(object{"url": from, "headers": []object{{"name": "Authorization", "value": "old"}}})
		got := b.do("PATCH", path, object{
			"url": "https://other.example/", "headers": []object{{"name": "X-New", "value": "new"}},
		}).is(http.StatusOK)
		require.Len(t, got["headers"], 1)
		require.Equal(t, "X-New", b.row(w["id"]).Headers[0].Name)
	})
	t.Run("of_positions", func(t *testing.T) {
		made := b.do("POST", "/webhooks", object{
			"url": from, "profile": "wiseway", "events": []string{"interview.completed"},
			"headers": []object{{"name": "Authorization", "value": "old"}},
		}).is(http.StatusCreated)
		r := b.As(b.key, "PUT", "/api/app/webhooks/"+made["id"].(string), object{"url": "https://attacker.example/"})
		require.Equal(t, http.StatusOK, r.Status, "%s", r.Body)
		require.Empty(t, b.row(made["id"]).Headers)
	})
}

func TestWebhooks_what_the_platform_deactivates_only_the_platform_activates(t *testing.T) {
	t.Parallel()
	b := setup(t)
	made := b.do("POST", "/webhooks", object{
		"url": hookURL, "profile": "wiseway", "companyId": b.company,
		"events": []string{"interview.completed"},
	}).is(http.StatusCreated)
	id := made["id"].(string)
	path := "/webhooks/" + id
	b.as(b.platformKey, "PATCH", path, object{"isActive": false}).is(http.StatusOK)
	for _, off := range []bool{false, true} {
		if off { // a company that deactivates it too does not own the state
			b.do("PATCH", path, object{"isActive": false}).is(http.StatusOK)
		}
		b.do("PATCH", path, object{"isActive": true}).fails(http.StatusConflict, "INVALID_STATE")
		b.do("POST", path+"/reset-circuit", nil).fails(http.StatusConflict, "INVALID_STATE")
		r := b.As(b.key, "PUT", "/api/app/webhooks/"+id, object{"isActive": true})
		require.Equal(t, http.StatusConflict, r.Status, "%s", r.Body)
	}
	b.as(b.platformKey, "POST", path+"/reset-circuit", nil).is(http.StatusOK)
	b.do("PATCH", path, object{"isActive": false}).is(http.StatusOK)
	b.do("PATCH", path, object{"isActive": true}).is(http.StatusOK)
}

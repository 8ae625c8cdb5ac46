package admin_test

import (
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"greenroom/cmd/internal/admin"
	"greenroom/db/delivery"
)

var someID = uuid.MustParse("01890000-0000-7000-8000-000000000001")

func TestPrinter_one_row(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		print func(admin.Printer) error
		want  string
	}{
		"key": {
			func(p admin.Printer) error { return p.Key(admin.Key{ID: someID, State: "revoked"}) },
			"key  " + someID.String() + "  is revoked\n",
		},
		"webhook": {
			func(p admin.Printer) error { return p.Webhook(admin.Webhook{ID: someID, State: "circuit open"}) },
			"webhook  " + someID.String() + "  is circuit open\n",
		},
		"delivery": {
			func(p admin.Printer) error {
				return p.Delivery(admin.Delivery{ID: someID, Status: delivery.Pending, Generation: 3})
			},
			"delivery  " + someID.String() + "  is pending, generation 3\n",
		},
		"staff_user": {
			func(p admin.Printer) error {
				return p.StaffUser(admin.StaffUser{
					ID: someID, State: "active", Username: "eva", CompanyIdentifier: "acme", AccountType: "owner",
				})
			},
			"user      " + someID.String() + "  is active\nusername  eva\ncompany   acme\ntype      owner\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, tt.want, printed(t, false, tt.print))
		})
	}
}

func TestPrinter_a_canceled_delivery_can_still_succeed(t *testing.T) {
	t.Parallel()
	text := printed(t, false, func(p admin.Printer) error { return p.Delivery(admin.Delivery{Status: delivery.Canceled}) })
	assert.Contains(t, text, "an attempt in flight still counts")
}

func TestPrinter_secrets_are_shown_once(t *testing.T) {
	t.Parallel()
	w := admin.Webhook{ID: someID, SigningSecret: "aabb", SigningSecretWhsec: "whsec_qrs", AuthorizationKey: "Basic x"}
	text := printed(t, false, func(p admin.Printer) error { return p.NewWebhook(w) })
	for _, want := range []string{"aabb\n", "whsec_qrs\n", "Basic x\n", "Keep the secret now", "every company\n"} {
		assert.Contains(t, text, want)
	}
	w.AuthorizationKey = ""
	text = printed(t, false, func(p admin.Printer) error { return p.NewWebhook(w) })
	assert.NotContains(t, text, "Authorization", "the profile has no such header")
	for _, asJSON := range []bool{false, true} {
		text = printed(t, asJSON, func(p admin.Printer) error { return p.Keys([]admin.Key{{ID: someID, Prefix: "sk_a"}}) })
		assert.NotContains(t, text, `"key"`)
		assert.Contains(t, text, "sk_a")
	}
}

func TestPrinter_staff_tokens(t *testing.T) {
	t.Parallel()
	token := admin.StaffToken{Token: "t0ken", StaffID: someID, Username: "eva"}
	text := printed(t, false, func(p admin.Printer) error { return p.StaffToken(token) })
	assert.Regexp(t, `token +t0ken\n`, text)
	assert.Contains(t, text, "never; deleting the user ends it")
	token.IdleDays = 3
	text = printed(t, false, func(p admin.Printer) error { return p.StaffToken(token) })
	assert.Contains(t, text, "after 3 days without use")
	assert.NotContains(t, text, "never")
}

func TestPrinter_lists(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 4, 5, 6, 7, 800, time.FixedZone("", 3600))
	status, reason, email := 503, "connection refused", "eva@a.example"
	deliveries := []admin.Delivery{
		{ID: someID, EventType: "ping", Status: "failed", AttemptCount: 4, LastStatusCode: &status, NextAttemptAt: &at},
		{ID: someID, EventType: "ping", Status: "retrying", LastError: &reason, CreatedAt: at},
	}
	users := []admin.StaffUser{
		{ID: someID, Number: 7, Username: "eva", Email: &email, LastName: "Novák"},
		{ID: someID, Username: "adam", FirstName: "Adam"},
	}
	for name, tt := range map[string]struct {
		print func(admin.Printer) error
		want  []string
	}{
		"deliveries": {func(p admin.Printer) error { return p.Deliveries(deliveries) }, []string{
			someID.String() + " ping failed 4 HTTP 503 2026-03-04T04:06:07Z - " + uuid.Nil.String(),
			someID.String() + " ping retrying 0 connection refused - 2026-03-04T04:06:07Z " + uuid.Nil.String(),
		}},
		"staff_users": {func(p admin.Printer) error { return p.StaffUsers(users) }, []string{
			someID.String() + " 7 eva - - eva@a.example Novák -",
			someID.String() + " 0 adam - - - Adam -",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lines := strings.Split(strings.TrimSpace(printed(t, false, tt.print)), "\n")
			require.Len(t, lines, 1+len(tt.want), "a heading, then a line each")
			for i, want := range tt.want {
				assert.Equal(t, want, strings.Join(strings.Fields(lines[i+1]), " "))
			}
		})
	}
}

func TestPrinter_clips_a_response_by_characters(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		strings.Repeat("ž", 60): strings.Repeat("ž", 60) + "\n",
		strings.Repeat("ž", 61): strings.Repeat("ž", 60) + "…\n",
	} {
		d := admin.DeliveryDetail{Attempts: []admin.Attempt{{Response: &text}}}
		assert.Contains(t, printed(t, false, func(p admin.Printer) error { return p.DeliveryDetail(d) }), want)
	}
}

func TestPrinter_replaces_every_control_character(t *testing.T) {
	t.Parallel()
	name := "a\x00b\tc\nd\x7fe\u0085f\u009fg\u00a0h"
	text := printed(t, false, func(p admin.Printer) error { return p.Webhooks([]admin.Webhook{{Name: name}}) })
	assert.Contains(t, text, "a b c d e f g\u00a0h")
	assert.Equal(t, 2, strings.Count(text, "\n"))
}

func TestPrinter_json(t *testing.T) {
	t.Parallel()
	t.Run("keeps_the_characters_of_a_url", func(t *testing.T) {
		t.Parallel()
		w := admin.Webhook{URL: "https://a.example/?a=<1>&b=2"}
		assert.Contains(t, printed(t, true, func(p admin.Printer) error { return p.Webhook(w) }), `"`+w.URL+`"`)
	})
	t.Run("is_one_value_without_the_table", func(t *testing.T) {
		t.Parallel()
		for name, print := range map[string]func(admin.Printer) error{
			"key":      func(p admin.Printer) error { return p.NewKey(admin.Key{Plain: "x"}) },
			"webhook":  func(p admin.Printer) error { return p.NewWebhook(admin.Webhook{}) },
			"token":    func(p admin.Printer) error { return p.StaffToken(admin.StaffToken{}) },
			"delivery": func(p admin.Printer) error { return p.DeliveryDetail(admin.DeliveryDetail{}) },
			"replay":   func(p admin.Printer) error { return p.Replay(admin.Replay{}) },
			"secrets":  func(p admin.Printer) error { return p.Secrets(admin.Secrets{}) },
		} {
			decoder := json.NewDecoder(strings.NewReader(printed(t, true, print)))
			var value map[string]any
			require.NoError(t, decoder.Decode(&value), name)
			require.ErrorIs(t, decoder.Decode(&value), io.EOF, name)
		}
	})
	t.Run("has_the_body_of_a_delivery", func(t *testing.T) {
		t.Parallel()
		d := admin.DeliveryDetail{Body: json.RawMessage(`{"event":"ping"}`)}
		text := printed(t, true, func(p admin.Printer) error { return p.DeliveryDetail(d) })
		assert.Contains(t, text, `"event": "ping"`)
	})
}

func TestParseID(t *testing.T) {
	t.Parallel()
	id, err := admin.ParseID("webhook", someID.String())
	require.NoError(t, err)
	assert.Equal(t, someID, id)
	for _, bad := range []string{"", "5", "acme", "{" + someID.String() + "}", "urn:uuid:" + someID.String()} {
		_, err := admin.ParseID("webhook", bad)
		require.ErrorContains(t, err, "is not the id of a webhook: an id is a UUID, as the list shows it", bad)
	}
}

func TestPrinter_reports_a_failed_write(t *testing.T) {
	t.Parallel()
	for _, asJSON := range []bool{false, true} {
		p := admin.Printer{Out: brokenPipe{}, JSON: asJSON}
		require.ErrorIs(t, p.Key(admin.Key{}), io.ErrClosedPipe)
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

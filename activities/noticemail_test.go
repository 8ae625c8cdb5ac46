package activities_test

import (
	"context"
	"fmt"
	"log/slog"
	"mime"
	"net/mail"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/activities"
	"greenroom/db/catalog"
	"greenroom/db/dbtest"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// notified is a company with an address for mail, a webhook, and a real mail server.
type notified struct {
	*activities.NoticeMailer
	t       *testing.T
	ctx     context.Context
	office  *postOffice
	company uuid.UUID
	hook    *delivery.Webhook
}

func setupNotices(t *testing.T) *notified {
	t.Helper()
	n := &notified{t: t, ctx: t.Context(), office: &postOffice{}, company: pg.NewID()}
	n.NoticeMailer = &activities.NoticeMailer{
		DB: dbtest.New(t), Logger: slog.New(slog.DiscardHandler), Window: time.Minute,
		Mail:       activities.MailServer{URL: "smtp://" + n.office.open(t, nil), From: "Greenroom <ops@greenroom.test>"},
		ConsoleURL: "https://greenroom.test/console", PublicURL: "https://greenroom.test",
	}
	n.exec("INSERT INTO companies (id, name, notify_email) VALUES (?, 'Acme & Söhne', 'team@acme.test')", n.company)
	n.hook = &delivery.Webhook{
		ID: pg.NewID(), CompanyID: &n.company, OwnerCompanyID: &n.company, Profile: "standard",
		Name: "Payroll\r\nBcc: eve@mail.test <b>", URL: "https://receiver.test/secret?key=1", Events: []string{"*"},
		IsActive: true, Secret: []byte("sealed"), Headers: []delivery.WebhookHeader{},
		CreatedAt: time.Now(), UpdatedAt: time.Now(),
	}
	require.NoError(t, delivery.CreateWebhook(n.ctx, n.DB, n.hook))
	return n
}

func (n *notified) exec(query string, args ...any) {
	n.t.Helper()
	_, err := n.DB.ExecContext(n.ctx, query, args...)
	require.NoError(n.t, err)
}

// disable is a change of the webhook, which has settled.
func (n *notified) disable() {
	n.t.Helper()
	for _, active := range []bool{true, false} {
		require.NoError(n.t, pg.InTx(n.ctx, n.DB, func(ctx context.Context, tx bun.Tx) error {
			w := *n.hook
			w.IsActive = active
			return delivery.UpdateWebhook(ctx, tx, &w, "is_active")
		}))
	}
	n.settled()
}

func (n *notified) settled() {
	n.exec("UPDATE notices SET created_at = created_at - interval '1 minute'")
}

// exhaust adds what the engine records for deliveries that failed for good.
func (n *notified) exhaust(times int) {
	n.t.Helper()
	for i := range times {
		n.exec("INSERT INTO notices (event_id, webhook_id, type, data, created_at) VALUES (?, ?, ?, '{}', ?)",
			pg.NewID(), n.hook.ID, catalog.DeliveryExhausted, time.Date(2026, 11, 20, 12, 0, i, 0, time.UTC))
	}
}

func (n *notified) states() (states []string) {
	n.t.Helper()
	require.NoError(n.t, n.DB.NewRaw(`SELECT CASE WHEN sent_at IS NOT NULL THEN 'sent' WHEN next_at IS NULL THEN 'ended: '
		|| error ELSE 'waits: ' || COALESCE(error, '') END FROM notice_letters ORDER BY id`).Scan(n.ctx, &states))
	return states
}

func TestNoticeMail(t *testing.T) {
	t.Parallel()
	n := setupNotices(t)
	n.exhaust(2)
	n.disable()
	require.NoError(t, n.Run(n.ctx))
	require.NoError(t, n.Run(n.ctx))
	require.Equal(t, []string{"sent"}, n.states())
	require.Len(t, n.office.mails, 1)
	got := n.office.mails[0]
	require.Equal(t, "ops@greenroom.test", got.from)
	require.Equal(t, "team@acme.test", got.to)
	m, err := mail.ReadMessage(strings.NewReader(got.raw))
	require.NoError(t, err)
	require.Empty(t, m.Header.Get("Bcc"), "a name cannot inject a header")
	require.Equal(t, "auto-generated", m.Header.Get("Auto-Submitted"))
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	require.NoError(t, err)
	require.Equal(t, "Webhook Payroll Bcc: eve@mail.test <b> (https://receiver.test): disabled, and 1 more", subject)
	body := unfold(got.raw)
	require.Contains(t, body, "It was disabled: deactivated.")
	require.Contains(t, body, "2 deliveries failed for good, from 2026-11-20 11:59:00 UTC to 2026-11-20 11:59:01 UTC.")
	require.Contains(t, body, "Now: it is not active")
	require.Equal(t, 2, strings.Count(body, "https://greenroom.test/console/webhooks/"+n.hook.ID.String()), body)
	require.NotContains(t, body, "secret?key=1", "a path may be a credential")
	_, html, found := strings.Cut(body, "Content-Type: text/html")
	require.True(t, found)
	require.NotContains(t, html, "<b>", "escaped")
	require.NotContains(t, body, "curl")
}

func TestNoticeMail_without_a_console(t *testing.T) {
	t.Parallel()
	n := setupNotices(t)
	n.ConsoleURL = ""
	n.exhaust(1)
	n.exec("UPDATE webhooks SET circuit_opened_at = now() WHERE id = ?", n.hook.ID)
	n.settled()
	require.NoError(t, n.Run(n.ctx))
	require.Len(t, n.office.mails, 1)
	body := unfold(n.office.mails[0].raw)
	at := "https://greenroom.test/webhooks/" + n.hook.ID.String()
	require.Contains(t, body, `curl -H "Authorization: Bearer $GREENROOM_KEY" -X POST `+at+"/reset-circuit")
	require.Contains(t, body, `"status": ["failed"]}' `+at+"/replays")
	require.Contains(t, body, "1 delivery failed for good at ")
}

// TestNoticeMail_of_a_killed_process: the mail was accepted and nothing recorded. It is sent again, and can be
// recognised.
func TestNoticeMail_of_a_killed_process(t *testing.T) {
	t.Parallel()
	n := setupNotices(t)
	n.disable()
	require.NoError(t, n.Run(n.ctx))
	n.exec("UPDATE notice_letters SET sent_at = NULL, next_at = created_at, attempts = 0")
	require.NoError(t, n.Run(n.ctx))
	require.Len(t, n.office.mails, 2)
	var ids, dates, texts []string
	for _, l := range n.office.mails {
		m, err := mail.ReadMessage(strings.NewReader(l.raw))
		require.NoError(t, err)
		ids, dates = append(ids, m.Header.Get("Message-ID")), append(dates, m.Header.Get("Date"))
		text, _, found := strings.Cut(unfold(l.raw), "Content-Type: text/html")
		require.True(t, found)
		_, text, found = strings.Cut(text, "text/plain")
		require.True(t, found)
		text, _, _ = strings.Cut(text, "\r\n--")
		texts = append(texts, text)
	}
	require.Equal(t, ids[0], ids[1])
	require.Regexp(t, `^<notice\.[0-9a-f-]{36}@greenroom\.test>$`, ids[0])
	require.Equal(t, dates[0], dates[1])
	require.Equal(t, texts[0], texts[1])
}

func TestNoticeMail_refusals(t *testing.T) {
	t.Parallel()
	t.Run("temporary", func(t *testing.T) {
		t.Parallel()
		n := setupNotices(t)
		n.disable()
		n.office.refuse = []error{&smtp.SMTPError{Code: 451, Message: "later, please"}}
		err := n.Run(n.ctx)
		require.ErrorContains(t, err, "451")
		require.NotContains(t, err.Error(), "team@acme.test")
		require.NoError(t, n.Run(n.ctx), "it is not due")
		require.Len(t, n.states(), 1)
		require.Contains(t, n.states()[0], "waits: ")
		n.exec("UPDATE notice_letters SET next_at = now()")
		require.NoError(t, n.Run(n.ctx))
		require.Equal(t, []string{"sent"}, n.states())
		require.Len(t, n.office.mails, 1)
	})
	t.Run("for_good", func(t *testing.T) {
		t.Parallel()
		n := setupNotices(t)
		n.disable()
		n.office.refuse = []error{&smtp.SMTPError{Code: 550, Message: "no such mailbox"}}
		require.NoError(t, n.Run(n.ctx))
		require.NoError(t, n.Run(n.ctx))
		require.Len(t, n.states(), 1)
		require.Contains(t, n.states()[0], "no such mailbox")
		require.Empty(t, n.office.mails)
	})
	t.Run("one_address_does_not_hold_up_the_others", func(t *testing.T) {
		t.Parallel()
		n := setupNotices(t)
		n.disable()
		n.exec(
			"INSERT INTO notice_letters (id, email, company_id, content, next_at) VALUES (?, 'team@acme.test', ?, '[]', ?)",
			pg.NewID(),
			n.company,
			time.Now().Add(-time.Hour),
		)
		n.office.refuse = []error{&smtp.SMTPError{Code: 550, Message: "no such mailbox"}}
		n.exec("UPDATE notice_letters SET created_at = now() - interval '1 hour'")
		require.NoError(t, n.Run(n.ctx))
		require.Len(t, n.office.mails, 1)
	})
	t.Run("a_company_does_not_hold_up_the_others", func(t *testing.T) {
		t.Parallel()
		n := setupNotices(t)
		n.office.refuseTo = map[string]error{}
		letter := func(company uuid.UUID, email string, waits time.Duration) {
			n.exec(`INSERT INTO webhooks (id, company_id, profile, url, events, secret, max_retries, timeout_ms, notify_email)
				VALUES (?, ?, 'standard', 'https://r.test', '{}', '', 0, 1, ?)`, pg.NewID(), company, email)
			n.exec("INSERT INTO notice_letters (id, email, company_id, content, next_at) VALUES (?, ?, ?, '[]', ?)",
				pg.NewID(), email, company, time.Now().Add(-waits))
		}
		company := func() uuid.UUID {
			id := pg.NewID()
			n.exec("INSERT INTO companies (id, name) VALUES (?, 'Another')", id)
			return id
		}
		for i := range 4 { // companies, each of which has letters that the server does not take now
			id := company()
			for j := range 3 {
				bad := fmt.Sprintf("bad%d.%d@mail.test", i, j)
				n.office.refuseTo[bad] = &smtp.SMTPError{Code: 451, Message: "later, please"}
				letter(id, bad, time.Hour)
			}
			letter(id, fmt.Sprintf("good%d@mail.test", i), time.Minute)
		}
		letter(company(), "fine@mail.test", time.Second)
		tried := func() (n1 int) {
			require.NoError(t, n.DB.NewRaw("SELECT count(*) FROM notice_letters WHERE attempts > 0").Scan(n.ctx, &n1))
			return n1
		}
		require.ErrorContains(t, n.Run(n.ctx), "451")
		require.Equal(t, 3, tried(), "a round ends after three companies")
		require.ErrorContains(t, n.Run(n.ctx), "451")
		require.Len(t, n.office.mails, 1)
		require.Equal(t, "fine@mail.test", n.office.mails[0].to)
		for range 4 {
			_ = n.Run(n.ctx)
		}
		require.Len(t, n.office.mails, 5)
	})
	t.Run("no_server", func(t *testing.T) {
		t.Parallel()
		n := setupNotices(t)
		n.disable()
		n.Mail.URL = "smtp://127.0.0.1:1"
		require.Error(t, n.Run(n.ctx))
		require.Len(t, n.states(), 1)
		require.Contains(t, n.states()[0], "waits: ")
	})
	t.Run("unset_since", func(t *testing.T) {
		t.Parallel()
		n := setupNotices(t)
		n.disable()
		n.Mail.URL = "smtp://127.0.0.1:1"
		require.Error(t, n.Run(n.ctx))
		n.exec("UPDATE companies SET notify_email = NULL")
		n.exec("UPDATE notice_letters SET next_at = now()")
		require.NoError(t, n.Run(n.ctx))
		require.Equal(t, []string{"ended: the address is no longer set"}, n.states())
	})
}

// TestNoticeMail_names_every_change: each kind of change has a sentence of its own.
func TestNoticeMail_names_every_change(t *testing.T) {
	t.Parallel()
	n := setupNotices(t)
	const data = `{"failures": 10, "lastStatusCode": 503, "cause": "reset", "reason": "the receiver answered 410 Gone",
		"kind": "replay", "state": "completed", "replayed": 7, "previousUntil": "2026-11-30T00:00:00Z"}`
	for i, eventType := range catalog.Operational() {
		n.exec("INSERT INTO notices (event_id, webhook_id, type, data, created_at) VALUES (?, ?, ?, ?, ?)",
			pg.NewID(), n.hook.ID, eventType, data, time.Date(2026, 11, 20, 12, 0, i, 0, time.UTC))
	}
	require.NoError(t, n.Run(n.ctx))
	require.Len(t, n.office.mails, 1)
	body := unfold(n.office.mails[0].raw)
	for _, sentence := range []string{
		"It is failing: 10 attempts in a row failed; the last was answered 503.",
		"Its circuit opened: 10 attempts in a row failed; the last was answered 503.",
		"Its circuit closed by a reset; waiting deliveries are sent.",
		"It was disabled: the receiver answered 410 Gone.",
		"1 delivery failed for good at 2026-11-20 12:00:04 UTC.",
		"A replay ended as completed; it made 7 deliveries.",
		"Its signing secret was replaced; the one before ends at 2026-11-30 00:00:00 UTC.",
	} {
		require.Equal(t, 2, strings.Count(body, sentence), "%s in text and HTML: %s", sentence, body)
	}
	for _, eventType := range catalog.Operational() {
		require.NotContains(t, body, eventType, "said in words")
	}
}

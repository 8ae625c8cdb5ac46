package e2e_test

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/mail"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"greenroom/cmd/internal/config"
	"greenroom/db/catalog"
	"greenroom/db/delivery"
)

// postOffice is a real mail server. It counts the mail that it accepted, by Message-ID.
type postOffice struct {
	mu       sync.Mutex
	accepted map[string]int
	// inHand receives when a mail was read and is not answered yet, if anything waits for it.
	inHand chan struct{}
}

func (p *postOffice) NewSession(*smtp.Conn) (smtp.Session, error) { return &mailSession{p}, nil }

type mailSession struct{ office *postOffice }

func (*mailSession) Reset()                               {}
func (*mailSession) Logout() error                        { return nil }
func (*mailSession) Mail(string, *smtp.MailOptions) error { return nil }
func (*mailSession) Rcpt(string, *smtp.RcptOptions) error { return nil }

func (s *mailSession) Data(r io.Reader) error {
	m, err := mail.ReadMessage(r)
	if err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, m.Body); err != nil {
		return err
	}
	s.office.mu.Lock()
	s.office.accepted[m.Header.Get("Message-ID")]++
	s.office.mu.Unlock()
	select {
	case s.office.inHand <- struct{}{}:
		time.Sleep(time.Second) // the sender is killed without the answer
	default:
	}
	return nil
}

// openPostOffice serves mail until the test ends.
func openPostOffice(t *testing.T) (p *postOffice, address string) {
	t.Helper()
	p = &postOffice{accepted: map[string]int{}, inHand: make(chan struct{})}
	srv := smtp.NewServer(p)
	srv.Domain, srv.ReadTimeout, srv.WriteTimeout = "mail.test", time.Minute, time.Minute
	srv.ErrorLog = log.New(io.Discard, "", 0)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	go func() { _ = srv.Serve(ln) }()
	t.Cleanup(func() { _ = srv.Close() })
	return p, ln.Addr().String()
}

// letterState is a row of notice_letters.
type letterState struct {
	ID      uuid.UUID
	Content string
	Sent    bool
}

// TestMailOfAFlappingCircuitThroughKills: each change of a circuit that opens and closes again and again is in exactly
// one letter, although the worker is killed again and again, also while the mail server has a letter in hand.
func TestMailOfAFlappingCircuitThroughKills(t *testing.T) {
	const flaps = 4
	s := prepare(t, eachAlone, func(c *config.Config) {
		c.SMTP.From, c.Notify.Window, c.Circuit.Threshold = "ops@greenroom.test", time.Second, 6
	})
	office, address := openPostOffice(t)
	s.cfg.SMTP.URL = "smtp://" + address
	s.serve()
	var broken atomic.Bool
	r := listen(t, func(int, received) (int, http.Header) {
		if broken.Load() {
			return http.StatusInternalServerError, nil
		}
		return http.StatusOK, nil
	})
	w := s.must(http.MethodPost, "/webhooks", map[string]any{
		"url": r.URL, "events": []any{"interview.started"}, "profile": "standard", "circuitRecovery": "manual",
		"notifyEmail": "team@acme.test",
	})
	path := "/webhooks/" + w["id"].(string)
	isOpen := func() bool { return s.must(http.MethodGet, path, nil)["circuitOpenedAt"] != nil }
	worker := s.process()
	for i := range flaps {
		broken.Store(true)
		s.publish("interview.started", 8)
		s.eventually(isOpen, "the circuit opens")
		broken.Store(false)
		s.must(http.MethodPost, path+"/reset-circuit", nil)
		if i%2 == 1 {
			select {
			case <-office.inHand:
			case <-time.After(wait):
				t.Fatal("no letter arrives")
			}
		}
		require.NoError(t, worker.Process.Kill())
		_ = worker.Wait()
		worker = s.process()
	}
	s.eventually(func() bool {
		for _, d := range s.deliveries(w["id"]) {
			if d["status"] == "retrying" { // its next attempt may be due in five minutes
				s.do(http.MethodPost, fmt.Sprintf("/deliveries/%s/retry", d["id"]), nil)
			}
		}
		return s.statuses(w["id"])["succeeded"] == 8*flaps
	}, "everything is delivered")

	var letters []letterState
	var waiting int
	s.eventually(func() bool {
		require.NoError(t, s.db.NewRaw(`SELECT (SELECT count(*) FROM notices) +
			(SELECT count(*) FROM notice_letters WHERE sent_at IS NULL)`).Scan(t.Context(), &waiting))
		return waiting == 0
	}, "every change is mailed")
	require.NoError(t, s.db.NewRaw("SELECT id, content, sent_at IS NOT NULL AS sent FROM notice_letters ORDER BY id").
		Scan(t.Context(), &letters))
	told := map[uuid.UUID]int{}
	office.mu.Lock()
	defer office.mu.Unlock()
	for _, l := range letters {
		require.True(t, l.Sent)
		require.Positive(t, office.accepted["<notice."+l.ID.String()+"@greenroom.test>"])
		var content []delivery.NoticedWebhook
		require.NoError(t, json.Unmarshal([]byte(l.Content), &content))
		for _, hook := range content {
			require.Zero(t, hook.More)
			for _, c := range hook.Changes {
				told[c.EventID]++
			}
		}
	}
	require.Len(t, office.accepted, len(letters), "no mail without a letter")
	var changes []struct {
		ID   uuid.UUID
		Type string
	}
	require.NoError(t, s.db.NewRaw("SELECT id, type FROM events WHERE type LIKE 'webhook.%'").Scan(t.Context(), &changes))
	circuits := 0
	for _, c := range changes {
		require.Equal(t, 1, told[c.ID], c.Type)
		if c.Type == catalog.WebhookCircuitOpened || c.Type == catalog.WebhookCircuitClosed {
			circuits++
		}
	}
	require.Equal(t, 2*flaps, circuits)
	require.Len(t, told, len(changes))
	twice := 0
	for id, n := range office.accepted {
		require.True(t, strings.HasPrefix(id, "<notice."))
		twice += n - 1
	}
	t.Logf("%d letters about %d changes; %d were sent twice, under their Message-ID", len(letters), len(changes), twice)
}

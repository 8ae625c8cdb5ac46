package activities_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"mime"
	"net"
	"net/http/httptest"
	"net/mail"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/activities"
	"greenroom/db"
	"greenroom/db/pg"
	"greenroom/db/token"
)

// postOffice is a real mail server that records the mail it receives.
type postOffice struct {
	mu sync.Mutex
	// refuse lists the errors for the next recipients, one each.
	refuse []error
	// refuseTo are the errors for recipients by address, refuseFrom is that for every sender.
	refuseTo   map[string]error
	refuseFrom error
	mails      []letter
	// user is the last authenticated user.
	user string
	tls  bool
}

type letter struct {
	from, to string
	raw      string
}

func (p *postOffice) NewSession(c *smtp.Conn) (smtp.Session, error) {
	_, secure := c.TLSConnectionState()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tls = secure
	return &session{office: p}, nil
}

// session is one SMTP session.
type session struct {
	office *postOffice
	letter letter
}

func (*session) Reset()                   {}
func (*session) Logout() error            { return nil }
func (*session) AuthMechanisms() []string { return []string{sasl.Plain} }

func (c *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != "mailer" || password != "p@ss" {
			return errors.New("who are you")
		}
		c.office.user = user
		return nil
	}), nil
}

func (c *session) Mail(from string, _ *smtp.MailOptions) error {
	c.letter.from = from
	return c.office.refuseFrom
}

func (c *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	c.letter.to = to
	c.office.mu.Lock()
	defer c.office.mu.Unlock()
	if len(c.office.refuse) == 0 {
		return c.office.refuseTo[to]
	}
	err := c.office.refuse[0]
	c.office.refuse = c.office.refuse[1:]
	return err
}

func (c *session) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	c.letter.raw = string(raw)
	c.office.mu.Lock()
	defer c.office.mu.Unlock()
	c.office.mails = append(c.office.mails, c.letter)
	return err
}

// open serves until the test ends and returns host:port. With a config it uses implicit TLS.
func (p *postOffice) open(t *testing.T, config *tls.Config) string {
	t.Helper()
	return p.serve(t, config, nil)
}

// serve is open with a config for STARTTLS.
func (p *postOffice) serve(t *testing.T, config, startTLS *tls.Config) string {
	t.Helper()
	srv := smtp.NewServer(p)
	srv.Domain, srv.AllowInsecureAuth, srv.ReadTimeout, srv.WriteTimeout = "mail.test", true, time.Minute, time.Minute
	srv.ErrorLog, srv.TLSConfig = log.New(io.Discard, "", 0), startTLS
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	if config != nil {
		ln = tls.NewListener(ln, config)
	}
	go func() { _ = srv.Serve(ln) }()
	t.Cleanup(func() { _ = srv.Close() })
	return ln.Addr().String()
}

// invited creates an interview whose invitation is due.
func invited(t *testing.T) (*interviews, *postOffice) {
	t.Helper()
	b, office := setupInterview(t, db.Online), &postOffice{}
	b.Mail = activities.MailServer{URL: "smtp://" + office.open(t, nil), From: "Recruiting <jobs@acme.test>"}
	b.exec("UPDATE companies SET name = 'Acme & Söhne'")
	b.exec("UPDATE candidates SET email = 'ada@mail.test', first_name = 'Ada', last_name = E'Byron\r\nBcc: eve@mail.test'")
	b.exec("UPDATE interviews SET invite_mail = true, deadline_at = ?", time.Now().Add(48*time.Hour))
	return b, office
}

// sent returns the invitation's state in the row.
func (b *interviews) sent() (sent bool, refusal string) {
	b.t.Helper()
	var said *string
	require.NoError(
		b.t,
		b.NewRaw("SELECT invite_mailed_at IS NOT NULL, invite_mail_error FROM interviews WHERE id = ?", b.id).
			Scan(b.ctx, &sent, &said),
	)
	if said != nil {
		refusal = *said
	}
	return sent, refusal
}

func TestSendInvitation(t *testing.T) {
	t.Parallel()
	t.Run("sends_the_candidate_the_link_once", func(t *testing.T) {
		t.Parallel()
		b, office := invited(t)
		require.True(t, b.state().InvitationDue)
		version := b.state().Version
		require.NoError(t, b.SendInvitation(b.ctx, b.id))
		require.NoError(t, b.SendInvitation(b.ctx, b.id), "repeated, as after a crash")
		require.False(t, b.state().InvitationDue)
		require.Equal(t, version, b.state().Version, "sending does not make a decision stale")
		require.Len(t, office.mails, 1)
		got := office.mails[0]
		require.Equal(t, "jobs@acme.test", got.from)
		require.Equal(t, "ada@mail.test", got.to)
		m, err := mail.ReadMessage(strings.NewReader(got.raw))
		require.NoError(t, err)
		to, err := m.Header.AddressList("To")
		require.NoError(t, err)
		require.Len(t, to, 1, "a name cannot inject a header")
		require.Equal(t, "Ada Byron Bcc: eve@mail.test", to[0].Name)
		require.Empty(t, m.Header.Get("Bcc"))
		require.Equal(t, "<invitation."+b.id.String()+"@acme.test>", m.Header.Get("Message-ID"))
		subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
		require.NoError(t, err)
		require.Contains(t, subject, "Acme & Söhne")
		body := unfold(got.raw)
		require.Equal(
			t,
			4,
			strings.Count(body, "https://greenroom.test/i/"+b.id.String()+"."+token.For(b.Secret, token.Invite, b.id)),
			body,
		)
		require.Contains(t, body, "Please start before "+time.Now().Add(48*time.Hour).UTC().Format("Monday, 2 January 2006"))
		require.NotContains(t, body, "It is open from", "it is open now")
		sent, refusal := b.sent()
		require.True(t, sent)
		require.Empty(t, refusal)
	})
	t.Run("temporary_refusal_is_retried", func(t *testing.T) {
		t.Parallel()
		b, office := invited(t)
		office.refuse = []error{&smtp.SMTPError{Code: 451, Message: "later, please"}}
		err := b.SendInvitation(b.ctx, b.id)
		require.ErrorContains(t, err, "451")
		require.NotContains(t, err.Error(), "ada@mail.test", "no candidate's address in a history")
		sent, refusal := b.sent()
		require.False(t, sent)
		require.Empty(t, refusal)
		require.NoError(t, b.SendInvitation(b.ctx, b.id))
		require.Len(t, office.mails, 1)
	})
	t.Run("permanent_refusal_is_recorded", func(t *testing.T) {
		t.Parallel()
		b, office := invited(t)
		office.refuse = []error{&smtp.SMTPError{Code: 550, Message: "no such mailbox"}}
		require.NoError(t, b.SendInvitation(b.ctx, b.id))
		require.NoError(t, b.SendInvitation(b.ctx, b.id))
		require.Empty(t, office.mails)
		sent, refusal := b.sent()
		require.False(t, sent)
		require.Contains(t, refusal, "no such mailbox")
		require.False(t, b.state().InvitationDue)
	})
	t.Run("is_an_error_while_the_server_is_unavailable", func(t *testing.T) {
		t.Parallel()
		b, _ := invited(t)
		b.Mail.URL = "smtp://127.0.0.1:1"
		require.Error(t, b.SendInvitation(b.ctx, b.id))
		b.Mail.URL = ""
		require.EqualError(t, b.SendInvitation(b.ctx, b.id), "no mail server is configured (smtp.url)")
	})
	t.Run("records_an_invalid_address", func(t *testing.T) {
		t.Parallel()
		b, office := invited(t)
		b.exec("UPDATE candidates SET email = NULL")
		require.NoError(t, b.SendInvitation(b.ctx, b.id))
		_, refusal := b.sent()
		require.Equal(t, "the candidate has no e-mail address", refusal)
		require.Empty(t, office.mails)
	})
	t.Run("sends_nothing_once_the_candidate_has_started", func(t *testing.T) {
		t.Parallel()
		b, office := invited(t)
		b.exec("UPDATE interviews SET status = 'IN_PROGRESS'")
		require.NoError(t, b.SendInvitation(b.ctx, b.id))
		require.Empty(t, office.mails)
	})
}

// Credentials are sent over TLS only, to a server with a trusted certificate.
func TestSendInvitation_over_TLS(t *testing.T) {
	t.Parallel()
	b, office := invited(t)
	cert := httptest.NewTLSServer(nil)
	t.Cleanup(cert.Close)
	address := office.open(t, cert.TLS)
	b.Mail.URL = "smtps://mailer:p%40ss@" + address
	require.ErrorAs(t, b.SendInvitation(b.ctx, b.id), new(x509.UnknownAuthorityError))
	b.Mail.RootCAs = x509.NewCertPool()
	b.Mail.RootCAs.AddCert(cert.Certificate())
	require.NoError(t, b.SendInvitation(b.ctx, b.id))
	require.Len(t, office.mails, 1)
	require.True(t, office.tls)
	require.Equal(t, "mailer", office.user)
}

// The server is reached by Dial at the address of the URL, and STARTTLS needs a trusted certificate.
func TestSendInvitation_over_STARTTLS(t *testing.T) {
	t.Parallel()
	b, office := invited(t)
	cert := httptest.NewTLSServer(nil)
	t.Cleanup(cert.Close)
	address := office.serve(t, nil, cert.TLS)
	b.Mail.URL = "smtp://mailer:p%40ss@" + address
	var dialed []string
	b.Mail.Dial = func(ctx context.Context, network, to string) (net.Conn, error) {
		dialed = append(dialed, to)
		return new(net.Dialer).DialContext(ctx, network, to)
	}
	require.ErrorAs(t, b.SendInvitation(b.ctx, b.id), new(x509.UnknownAuthorityError))
	require.Empty(t, office.mails)
	require.Empty(t, office.user, "no password without a trusted certificate")
	b.Mail.RootCAs = x509.NewCertPool()
	b.Mail.RootCAs.AddCert(cert.Certificate())
	require.NoError(t, b.SendInvitation(b.ctx, b.id))
	require.Len(t, office.mails, 1)
	require.True(t, office.tls)
	require.Equal(t, "mailer", office.user)
	require.Equal(t, []string{address, address}, dialed)
}

func TestMailServer_Address(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"smtp://u:p@Mail.example": "mail.example:587", "smtps://mail.example": "mail.example:465",
		"smtp://mail.example:25": "mail.example:25", "smtps://[::1]:26": "[::1]:26",
	} {
		got, err := activities.MailServer{URL: url}.Address()
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	_, err := activities.MailServer{URL: "smtp://u:p%zz@mail.example"}.Address()
	require.EqualError(t, err, "smtp.url is not valid", "without the password")
}

// unfold decodes the parts of quoted-printable that the test needs.
func unfold(raw string) string {
	return strings.NewReplacer("=\r\n", "", "=3D", "=").Replace(raw)
}

func TestSendActivation(t *testing.T) {
	t.Parallel()
	invited := func(t *testing.T, office *postOffice) (*interviews, *db.Staff) {
		t.Helper()
		b := setupInterview(t, db.Online)
		b.Mail = activities.MailServer{URL: "smtp://" + office.open(t, nil), From: "Recruiting <jobs@acme.test>"}
		var company uuid.UUID
		require.NoError(t, b.NewRaw("SELECT id FROM companies LIMIT 1").Scan(b.ctx, &company))
		email := "eva@mail.test"
		user := &db.Staff{
			CompanyID: company, Username: "eva", Email: &email, FirstName: "Eva", LastName: "Nová\r\nBcc: x@mail.test",
			AccountType: db.Recruiter, IsActive: true,
		}
		require.NoError(t, pg.InTx(b.ctx, b.DB, func(ctx context.Context, tx bun.Tx) error {
			if err := db.CreateStaff(ctx, tx, user); err != nil {
				return err
			}
			return db.MailActivation(ctx, tx, user)
		}))
		return b, user
	}
	sent := func(b *interviews, user *db.Staff) (sent bool, refusal *string) {
		b.t.Helper()
		require.NoError(b.t, b.NewRaw("SELECT invite_mailed_at IS NOT NULL, invite_mail_error FROM staff WHERE id = ?",
			user.ID).Scan(b.ctx, &sent, &refusal))
		return sent, refusal
	}
	t.Run("once_with_the_link", func(t *testing.T) {
		t.Parallel()
		office := &postOffice{}
		b, user := invited(t, office)
		require.NoError(t, b.SendActivation(b.ctx, user.ID))
		require.NoError(t, b.SendActivation(b.ctx, user.ID), "repeated, as after a crash")
		require.Len(t, office.mails, 1)
		require.Equal(t, "eva@mail.test", office.mails[0].to)
		done, refusal := sent(b, user)
		require.True(t, done)
		require.Nil(t, refusal)
	})
	t.Run("not_once_the_password_is_set", func(t *testing.T) {
		t.Parallel()
		office := &postOffice{}
		b, user := invited(t, office)
		b.exec("UPDATE staff SET password_hash = 'x'")
		require.NoError(t, b.SendActivation(b.ctx, user.ID))
		require.Empty(t, office.mails)
	})
	t.Run("a_wrong_address_is_kept_and_not_tried_again", func(t *testing.T) {
		t.Parallel()
		office := &postOffice{}
		b, user := invited(t, office)
		b.exec("UPDATE staff SET email = 'no address'")
		require.NoError(t, b.SendActivation(b.ctx, user.ID))
		done, refusal := sent(b, user)
		require.False(t, done)
		require.Equal(t, "the user's e-mail address is not valid", *refusal)
		require.NoError(t, b.SendActivation(b.ctx, user.ID))
	})
	t.Run("is_tried_again_without_a_server", func(t *testing.T) {
		t.Parallel()
		b, user := invited(t, &postOffice{})
		b.Mail.URL = ""
		require.ErrorContains(t, b.SendActivation(b.ctx, user.ID), "smtp.url")
	})
}

// TestSendInvitation_with_a_sender_that_is_refused: smtp.from is wrong, for every recipient. The invitation waits for
// an operator to correct it.
func TestSendInvitation_with_a_sender_that_is_refused(t *testing.T) {
	t.Parallel()
	b, office := invited(t)
	office.refuseFrom = &smtp.SMTPError{Code: 550, Message: "sender not allowed"}
	require.ErrorContains(t, b.SendInvitation(b.ctx, b.id), "550")
	sent, refusal := b.sent()
	require.False(t, sent)
	require.Empty(t, refusal)
	office.refuseFrom = nil
	require.NoError(t, b.SendInvitation(b.ctx, b.id))
	sent, _ = b.sent()
	require.True(t, sent)
}

package activities

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"net"
	netmail "net/mail"
	"net/url"
	"strconv"
	"strings"
	texttemplate "text/template"
	"time"

	"github.com/google/uuid"
	"github.com/wneessen/go-mail"

	"greenroom/db"
	"greenroom/db/pg"
	"greenroom/db/token"
)

// MailServer is the SMTP server that sends invitations. Its address is an operator's setting, so the address guard for
// customers' URLs does not apply.
type MailServer struct {
	// URL is smtp://user:password@host:port (port 587 by default) or smtps://… (465); empty: no mail is sent.
	URL string
	// From is the sender's address, optionally with a name: "Recruiting <jobs@example.com>".
	From string
	// RootCAs are the trusted certificate authorities; nil means the system's.
	RootCAs *x509.CertPool
	// Dial connects to the server; nil means a plain dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// errNoMailURL is returned instead of the parser's error, which contains the password.
var errNoMailURL = errors.New("smtp.url is not valid")

// Address returns the host and port that URL names.
func (m MailServer) Address() (string, error) {
	u, port, err := m.parse()
	if err != nil {
		return "", err
	}
	return addressOf(u, port), nil
}

func addressOf(u *url.URL, port int) string {
	return strings.ToLower(net.JoinHostPort(u.Hostname(), strconv.Itoa(port)))
}

// parse returns the URL and its port, or the scheme's.
func (m MailServer) parse() (u *url.URL, port int, err error) {
	if u, err = url.Parse(m.URL); err != nil {
		return nil, 0, errNoMailURL
	}
	switch {
	case u.Port() != "":
		if port, err = strconv.Atoi(u.Port()); err != nil {
			return nil, 0, errNoMailURL
		}
	case u.Scheme == "smtps":
		port = 465
	default:
		port = 587
	}
	return u, port, nil
}

// mailTimeout bounds the connection attempt and the SMTP session, each. It is below askTimeout in package workflows.
const mailTimeout = 30 * time.Second

// SendInvitation mails the invitation of an interview to its candidate, unless it was sent or is no longer wanted. A
// permanent refusal (5xx) is stored with the interview and is not retried. Errors are retryable. If the worker crashes
// after the server accepted the mail and before that is recorded, the mail is sent again with the same Message-ID.
func (a *Activities) SendInvitation(ctx context.Context, interview uuid.UUID) error {
	letter, wanted, err := db.LoadInviteLetter(ctx, a.DB, interview)
	if err != nil || !wanted {
		return err
	}
	if a.Mail.URL == "" {
		return errors.New("no mail server is configured (smtp.url)")
	}
	msg, err := a.invitation(interview, letter)
	if err != nil {
		return db.InviteMailed(ctx, a.DB, interview, err.Error())
	}
	started := time.Now()
	refusal, err := a.mail(ctx, letter.CompanyID, msg)
	if err != nil {
		return fmt.Errorf("send invitation: %w", err)
	}
	a.Logger.InfoContext(ctx, "invitation sent", "interview_id", interview, "refused", refusal != "",
		"duration_ms", time.Since(started).Milliseconds())
	return db.InviteMailed(ctx, a.DB, interview, refusal)
}

// mail sends a mail in a place that the company has at the server. See MailServer.send.
func (a *Activities) mail(ctx context.Context, company uuid.UUID, msg *mail.Msg) (refusal string, err error) {
	leave, err := a.outside.enter(theMailServer, company)
	if err != nil {
		return "", err
	}
	defer leave()
	return a.Mail.send(ctx, msg)
}

// Check connects to the server, greets it, and logs in if URL has a user. It sends no mail.
func (m MailServer) Check(ctx context.Context) error {
	client, err := m.client()
	if err != nil {
		return err
	}
	if err := client.DialWithContext(ctx); err != nil {
		return err
	}
	return client.Close()
}

// client returns an SMTP client for one session. Credentials require TLS, except on loopback.
func (m MailServer) client() (*mail.Client, error) {
	u, port, err := m.parse()
	if err != nil {
		return nil, err
	}
	secure := &tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12, RootCAs: m.RootCAs}
	policy, dial := mail.TLSOpportunistic, m.dialer(addressOf(u, port))
	switch {
	case u.Scheme == "smtps": // the session is encrypted before the policy, which is for STARTTLS, applies
		dial = overTLS(dial, secure)
	case u.User != nil && !isLoopback(u.Hostname()):
		policy = mail.TLSMandatory
	}
	options := []mail.Option{
		mail.WithTimeout(mailTimeout), mail.WithPort(port), mail.WithDialContextFunc(dial), mail.WithTLSConfig(secure),
		mail.WithTLSPolicy(policy),
	}
	if u.User != nil {
		password, _ := u.User.Password()
		options = append(
			options,
			mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover),
			mail.WithUsername(u.User.Username()),
			mail.WithPassword(password),
		)
	}
	return mail.NewClient(u.Hostname(), options...)
}

// dialer returns what connects to address, however the library writes it.
func (m MailServer) dialer(address string) mail.DialContextFunc {
	dial := m.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	return func(ctx context.Context, network, _ string) (net.Conn, error) { return dial(ctx, network, address) }
}

// overTLS makes the handshake on each connection.
func overTLS(dial mail.DialContextFunc, config *tls.Config) mail.DialContextFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		raw, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		secure := tls.Client(raw, config)
		if err := secure.HandshakeContext(ctx); err != nil {
			_ = raw.Close()
			return nil, err
		}
		return secure, nil
	}
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// send sends a mail. refusal is the server's message of a permanent refusal of the recipient or the mail. The library's
// errors contain the recipient, which must not enter a workflow history, so err has only the step and the code.
func (m MailServer) send(ctx context.Context, msg *mail.Msg) (refusal string, err error) {
	client, err := m.client()
	if err != nil {
		return "", err
	}
	err = client.DialAndSendWithContext(ctx, msg)
	if err == nil || msg.IsDelivered() { // an error after the server accepted the mail does not matter
		return "", nil
	}
	var failed *mail.SendError
	switch {
	case !errors.As(err, &failed):
		return "", err
	case failed.ErrorCode() >= 500 && failed.Reason != mail.ErrSMTPMailFrom: // a refused sender is smtp.from, for all
		if said := pg.Text([]byte(truncate(failed.Error(), maxRefusal))); said != nil {
			return *said, nil
		}
		return fmt.Sprintf("refused with %d", failed.ErrorCode()), nil
	}
	return "", fmt.Errorf("%s: code %d", failed.Reason, failed.ErrorCode())
}

//go:embed letters
var letters embed.FS

var (
	invitationText = texttemplate.Must(texttemplate.ParseFS(letters, "letters/invitation.txt"))
	invitationHTML = template.Must(template.ParseFS(letters, "letters/invitation.html"))
	activationText = texttemplate.Must(texttemplate.ParseFS(letters, "letters/activation.txt"))
	activationHTML = template.Must(template.ParseFS(letters, "letters/activation.html"))
)

// invitation builds the mail. Its errors are permanent.
func (a *Activities) invitation(interview uuid.UUID, l *db.InviteLetter) (*mail.Msg, error) {
	words := a.letterWords(interview, l)
	msg, err := a.letter("candidate", l.Email, words.Name, words.subject(), fmt.Sprintf("invitation.%s", interview))
	if err != nil {
		return nil, err
	}
	if err := msg.SetBodyTextTemplate(invitationText, words); err != nil {
		return nil, fmt.Errorf("write invitation: %w", err)
	}
	return msg, wrap("write invitation", msg.AddAlternativeHTMLTemplate(invitationHTML, words))
}

// letter makes a mail without a body. whose is what errors call the recipient, id the left side of the Message-ID. Its
// errors are permanent.
func (a *Activities) letter(whose string, email *string, name, subject, id string) (*mail.Msg, error) {
	if email == nil {
		return nil, errors.New("the " + whose + " has no e-mail address")
	}
	to, err := netmail.ParseAddress(*email)
	if err != nil {
		return nil, errors.New("the " + whose + "'s e-mail address is not valid")
	}
	from, err := netmail.ParseAddress(a.Mail.From)
	if err != nil {
		return nil, errors.New("smtp.from is not an e-mail address")
	}
	to.Name = name
	msg := mail.NewMsg(mail.WithNoDefaultUserAgent())
	msg.FromMailAddress(from)
	msg.ToMailAddress(to)
	msg.Subject(subject)
	msg.SetDate()
	_, domain, _ := strings.Cut(from.Address, "@")
	msg.SetMessageIDWithValue(id + "@" + domain)
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: prevents out-of-office replies
	return msg, nil
}

// letterWords are the values of the templates.
type letterWords struct{ Name, Company, Job, Link, From, Until string }

func (a *Activities) letterWords(interview uuid.UUID, l *db.InviteLetter) letterWords {
	w := letterWords{
		Name: oneLine(l.FirstName + " " + l.LastName), Company: oneLine(l.Company), Job: oneLine(orZero(l.JobTitle)),
		Link: token.InviteURL(strings.TrimRight(a.PublicURL, "/"), a.Secret, interview),
	}
	if l.ScheduledAt.After(time.Now().Add(time.Minute)) {
		w.From = formatTime(l.ScheduledAt)
	}
	if l.DeadlineAt != nil {
		w.Until = formatTime(*l.DeadlineAt)
	}
	return w
}

func (w letterWords) subject() string {
	if w.Job == "" {
		return "Invitation to an interview with " + w.Company
	}
	return fmt.Sprintf("Invitation to an interview: %s, %s", w.Job, w.Company)
}

func formatTime(t time.Time) string { return t.UTC().Format("Monday, 2 January 2006, 15:04 UTC") }

// oneLine replaces line breaks in user input, which could otherwise inject headers or paragraphs.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

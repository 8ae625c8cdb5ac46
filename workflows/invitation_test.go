package workflows_test

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/activities"
	"greenroom/db"
)

// mailbox is a real mail server that tells of each mail and drops it.
type mailbox struct{ mails chan string }

func (m *mailbox) NewSession(*smtp.Conn) (smtp.Session, error) { return m, nil }
func (m *mailbox) Reset()                                      {}
func (m *mailbox) Logout() error                               { return nil }
func (m *mailbox) Mail(string, *smtp.MailOptions) error        { return nil }
func (m *mailbox) Rcpt(to string, _ *smtp.RcptOptions) error   { m.mails <- to; return nil }
func (m *mailbox) Data(r io.Reader) error                      { _, err := io.Copy(io.Discard, r); return err }

// mailing makes the interview one whose invitation is to be sent through a server that is away for that long.
func (i *interviewing) mailing(away time.Duration) *mailbox {
	i.t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(i.t, err)
	box := &mailbox{mails: make(chan string, 10)}
	srv := smtp.NewServer(box)
	i.t.Cleanup(func() { _ = srv.Close() })
	go func() { _ = srv.Serve(ln) }()
	i.real.Mail = activities.MailServer{URL: "smtp://127.0.0.1:1", From: "jobs@acme.test"}
	i.after(away, func() { i.real.Mail.URL = "smtp://" + ln.Addr().String() })
	for _, query := range []string{
		"UPDATE interviews SET invite_mail = true", "UPDATE candidates SET email = 'ada@mail.test'",
	} {
		_, err := i.db.ExecContext(i.ctx, query)
		require.NoError(i.t, err)
	}
	return box
}

func TestInvitationByMail(t *testing.T) {
	t.Parallel()
	t.Run("is_sent_once", func(t *testing.T) {
		t.Parallel()
		i := setupInterview(t, db.Online, 0)
		box := i.mailing(0)
		i.changeAfter(time.Hour, func(bun.Tx) error { return nil })
		i.changeAfter(2*time.Hour, i.finished)
		row := i.run()
		require.Equal(t, db.InterviewCompleted, row.Status)
		require.NotNil(t, row.InviteMailedAt)
		require.Len(t, box.mails, 1)
	})
	t.Run("waits_for_the_mail_server", func(t *testing.T) {
		t.Parallel()
		i := setupInterview(t, db.Online, 0)
		box := i.mailing(time.Minute)
		i.changeAfter(2*time.Hour, i.finished)
		require.NotNil(t, i.run().InviteMailedAt)
		require.Len(t, box.mails, 1)
	})
	t.Run("does_not_hold_up_the_interview", func(t *testing.T) {
		t.Parallel()
		i := setupInterview(t, db.Online, 0)
		box := i.mailing(100 * time.Hour)
		i.changeAfter(20*time.Second, i.finished)
		row := i.run()
		require.Equal(t, db.InterviewCompleted, row.Status)
		require.Equal(t, db.AnalysisCompleted, *row.AnalysisStatus)
		require.Less(t, i.elapsed(), time.Hour)
		require.Empty(t, box.mails)
	})
	t.Run("is_not_sent_unless_it_is_wanted", func(t *testing.T) {
		t.Parallel()
		i := setupInterview(t, db.Online, 0)
		box := i.mailing(0)
		_, err := i.db.ExecContext(i.ctx, "UPDATE interviews SET invite_mail = false")
		require.NoError(t, err)
		i.changeAfter(time.Hour, i.finished)
		require.Nil(t, i.run().InviteMailedAt)
		require.Empty(t, box.mails)
	})
}

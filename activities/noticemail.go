package activities

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	netmail "net/mail"
	"strings"
	texttemplate "text/template"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
	"github.com/wneessen/go-mail"

	"greenroom/db"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// NoticeMailer mails the changes of webhooks to the addresses that companies and webhooks have for them. One process at
// a time runs it, with PostgreSQL alone, so the mail goes out while Temporal is unavailable.
type NoticeMailer struct {
	DB     *bun.DB
	Mail   MailServer
	Logger *slog.Logger
	// ConsoleURL is that of the console, for links; "": the letters have commands for the API at PublicURL.
	ConsoleURL, PublicURL string
	// Window is the shortest time between two letters to an address about webhooks of a company.
	Window time.Duration
}

const (
	// lettersAtOnce bounds one round, failuresAtOnce the companies that fail one after the other: the server is away.
	lettersAtOnce, failuresAtOnce = 100, 3
	// sendLimit is longer than a connection attempt and an SMTP session may take.
	sendLimit = 2*mailTimeout + 10*time.Second
)

// Run writes the letters that are due and sends those that are written. Each change is in exactly one letter. A letter
// is sent in a transaction that has locked it, so by one process at a time; if that is killed after the server accepted
// the mail and before the commit, the letter is sent again with the same Message-ID and text. A letter that the server
// refuses for good (5xx) is not sent again. After another error the company's other letters wait for the next round,
// and after failuresAtOnce of them in a row all do.
func (m *NoticeMailer) Run(ctx context.Context) error {
	if _, err := delivery.WriteNoticeLetters(ctx, m.DB, m.Window); err != nil {
		return err
	}
	var faults []error
	var waiting []uuid.UUID
	inRow := 0
	for range lettersAtOnce {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		company, failed, err := m.sendNext(ctx, waiting)
		switch {
		case err != nil || company == nil:
			return errors.Join(append(faults, err)...)
		case failed == nil:
			inRow = 0
			continue
		}
		faults, waiting = append(faults, failed), append(waiting, *company)
		if inRow++; inRow == failuresAtOnce {
			break
		}
	}
	return errors.Join(faults...)
}

// sendNext sends one letter, of another company than those, and returns its company: uuid.Nil for the platform, nil for
// no letter. failed is why the letter must be tried again. A shutdown does not interrupt it: a mail that was sent must
// be recorded.
func (m *NoticeMailer) sendNext(ctx context.Context, except []uuid.UUID) (company *uuid.UUID, failed, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sendLimit)
	defer cancel()
	err = pg.InTx(ctx, m.DB, func(ctx context.Context, tx bun.Tx) error {
		idle := sendLimit.Milliseconds()
		if _, err := tx.ExecContext(ctx, "SET LOCAL idle_in_transaction_session_timeout = ?", idle); err != nil {
			return fmt.Errorf("set the time limit of the transaction: %w", err)
		}
		letter, wanted, found, err := delivery.TakeNoticeLetter(ctx, tx, except...)
		if err != nil || !found {
			return err
		}
		if company = letter.CompanyID; company == nil {
			company = &uuid.Nil
		}
		if !wanted {
			return delivery.NoticeLetterEnded(ctx, tx, letter.ID, "the address is no longer set")
		}
		failed, err = m.send(ctx, tx, letter)
		return err
	})
	return company, failed, err
}

// send sends a letter and records what became of it. failed is why it must be tried again.
func (m *NoticeMailer) send(ctx context.Context, tx bun.Tx, l *delivery.NoticeLetter) (failed, err error) {
	msg, err := m.letter(ctx, l)
	if err != nil {
		return nil, delivery.NoticeLetterEnded(ctx, tx, l.ID, err.Error())
	}
	started := time.Now()
	refusal, err := m.Mail.send(ctx, msg)
	log := m.Logger.With("letter_id", l.ID, "company_id", l.CompanyID, "attempt", l.Attempts+1)
	switch {
	case err != nil:
		ended, recorded := delivery.NoticeLetterFailed(ctx, tx, l, err.Error())
		if ended {
			log.WarnContext(ctx, "mail about webhooks was given up", "error", err)
		}
		return fmt.Errorf("send mail about webhooks: %w", err), recorded
	case refusal != "":
		log.WarnContext(ctx, "mail about webhooks was refused")
	default:
		log.InfoContext(ctx, "mail about webhooks sent", "duration_ms", time.Since(started).Milliseconds())
	}
	return nil, delivery.NoticeLetterEnded(ctx, tx, l.ID, refusal)
}

var (
	noticeText = texttemplate.Must(texttemplate.ParseFS(letters, "letters/notice.txt"))
	noticeHTML = template.Must(template.ParseFS(letters, "letters/notice.html"))
)

// letter builds the mail. Its errors are permanent.
func (m *NoticeMailer) letter(ctx context.Context, l *delivery.NoticeLetter) (*mail.Msg, error) {
	to, err := netmail.ParseAddress(l.Email)
	if err != nil {
		return nil, errors.New("the address is not valid")
	}
	from, err := netmail.ParseAddress(m.Mail.From)
	if err != nil {
		return nil, errors.New("smtp.from is not an e-mail address")
	}
	var content []delivery.NoticedWebhook
	if err := json.Unmarshal([]byte(l.Content), &content); err != nil {
		return nil, fmt.Errorf("read letter: %w", err)
	}
	words := noticeWords{}
	if l.CompanyID != nil {
		if co, err := db.GetCompany(ctx, m.DB, *l.CompanyID); err == nil {
			words.Company = oneLine(co.Name)
		}
	}
	for i := range content {
		words.Webhooks = append(words.Webhooks, m.aboutWebhook(&content[i]))
	}
	msg := mail.NewMsg(mail.WithNoDefaultUserAgent())
	msg.FromMailAddress(from)
	msg.ToMailAddress(to)
	msg.Subject(noticeSubject(content))
	msg.SetDateWithValue(l.CreatedAt)
	_, domain, _ := strings.Cut(from.Address, "@")
	msg.SetMessageIDWithValue(fmt.Sprintf("notice.%s@%s", l.ID, domain))
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: prevents out-of-office replies
	if err := msg.SetBodyTextTemplate(noticeText, words); err != nil {
		return nil, fmt.Errorf("write letter: %w", err)
	}
	return msg, wrap("write letter", msg.AddAlternativeHTMLTemplate(noticeHTML, words))
}

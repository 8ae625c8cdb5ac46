package db

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/catalog"
	"greenroom/db/pg"
)

// ErrExhausted means that the company has no invitations left.
var ErrExhausted = errors.New("invites exhausted")

// TakeInvite takes one of a company's invitations, when they are limited. It holds a lock on the company until tx
// ends, so that of two callers at once one finds what the other did: no candidate is made twice, and the last
// invitation is given once.
func TakeInvite(ctx context.Context, tx bun.Tx, company uuid.UUID) error {
	if err := LockCompany(ctx, tx, company); err != nil {
		return err
	}
	var left *int
	if err := tx.NewRaw("SELECT invites_left FROM companies WHERE id = ?", company).Scan(ctx, &left); err != nil {
		return fmt.Errorf("take invite: %w", pg.Translate(err))
	}
	switch {
	case left == nil: // nothing to write: who invites without a limit leaves the company's row alone
		return nil
	case *left <= 0:
		return ErrExhausted
	}
	if _, err := tx.ExecContext(
		ctx,
		"UPDATE companies SET invites_left = invites_left - 1 WHERE id = ?",
		company,
	); err != nil {
		return fmt.Errorf("take invite: %w", err)
	}
	return nil
}

// CandidateByEmail returns the company's newest candidate with that address, whatever its case: the database folds
// both sides, for beyond ASCII its locale may know other letters than we do.
func CandidateByEmail(ctx context.Context, db bun.IDB, company uuid.UUID, email string) (*Candidate, error) {
	c := new(Candidate)
	err := db.NewSelect().
		Model(c).
		Where("c.company_id = ? AND lower(c.email) = lower(?) AND c.deleted_at IS NULL", company, email).
		Order("c.id DESC").
		Limit(1).
		Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("find candidate: %w", pg.Translate(err))
	}
	return c, nil
}

// Invited is one line of the list of a job's invitations.
type Invited struct {
	Number       int64
	Candidate    int64
	Status       InterviewStatus
	StatusReason *string
	UpdatedAt    time.Time
}

// InvitedTo lists at most limit ONLINE interviews of a job, newest first: with before set, those that are older than
// the response of that number.
func InvitedTo(ctx context.Context, db bun.IDB, job uuid.UUID, before, limit int64) ([]Invited, error) {
	is := []Invited{}
	err := db.NewRaw(`SELECT i.number, c.number AS candidate, i.status, i.status_reason, i.updated_at
		FROM interviews i JOIN candidates c ON c.id = i.candidate_id
		WHERE i.job_id = ?0 AND i.type = 'ONLINE' AND i.deleted_at IS NULL
			AND (?1 = 0 OR i.id < (SELECT b.id FROM interviews b WHERE b.number = ?1 AND b.job_id = ?0))
		ORDER BY i.id DESC LIMIT ?2`, job, before, limit).Scan(ctx, &is)
	if err != nil {
		return nil, fmt.Errorf("list invitations: %w", err)
	}
	return is, nil
}

// InterviewByCustomField returns a company's newest interview that the client gave this id of its own.
func InterviewByCustomField(ctx context.Context, db bun.IDB, company uuid.UUID, value string) (*Interview, error) {
	i := new(Interview)
	err := db.NewSelect().
		Model(i).
		Where("i.company_id = ? AND i.custom_field = ? AND i.deleted_at IS NULL", company, value).
		Order("i.id DESC").
		Limit(1).
		Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("find interview: %w", pg.Translate(err))
	}
	return i, nil
}

// InterviewContext is what an event about the interview would be told to be about now.
func InterviewContext(ctx context.Context, db bun.IDB, i *Interview) (*catalog.Context, error) {
	var about string
	var none *uuid.UUID
	err := pg.Direct(db).
		QueryRowContext(ctx, contextSQL, i.CompanyID, none, none, i.ID, none, none, none, none, none, []string(nil)).
		Scan(&about)
	if err != nil {
		return nil, fmt.Errorf("read interview's context: %w", pg.Translate(err))
	}
	c := new(catalog.Context)
	if err := json.Unmarshal([]byte(about), c); err != nil {
		return nil, fmt.Errorf("read interview's context: %w", err)
	}
	return c, nil
}

// AnswerVideoFile is the name under which the store of media keeps an answer video, and its type.
func AnswerVideoFile(ctx context.Context, db bun.IDB, video uuid.UUID) (name, contentType string, err error) {
	err = db.NewRaw("SELECT file, content_type FROM answer_videos WHERE id = ? AND deleted_at IS NULL", video).
		Scan(ctx, &name, &contentType)
	if err != nil {
		return "", "", fmt.Errorf("get answer video: %w", pg.Translate(err))
	}
	return name, contentType, nil
}

// InviteLetter is what an invitation by e-mail says.
type InviteLetter struct {
	Company, FirstName, LastName string
	Email                        *string
	JobTitle                     *string
	ScheduledAt                  time.Time
	DeadlineAt                   *time.Time
}

// LoadInviteLetter reads what the candidate shall be sent. found is false when nothing is to be sent, or nothing any
// more: it was sent, the candidate has begun, the interview has ended, or the person was deleted.
func LoadInviteLetter(ctx context.Context, db bun.IDB, interview uuid.UUID) (l *InviteLetter, found bool, err error) {
	l = new(InviteLetter)
	err = pg.Translate(
		db.NewRaw(`SELECT co.name AS company, c.first_name, c.last_name, c.email, j.title AS job_title, i.scheduled_at, i.deadline_at
		FROM interviews i JOIN companies co ON co.id = i.company_id JOIN candidates c ON c.id = i.candidate_id AND c.deleted_at IS NULL
			LEFT JOIN jobs j ON j.id = i.job_id
		WHERE i.id = ? AND i.invite_mail AND i.invite_mailed_at IS NULL AND i.invite_mail_error IS NULL AND i.status = 'SCHEDULED'
			AND i.deleted_at IS NULL AND (i.deadline_at IS NULL OR i.deadline_at > now())`, interview).
			Scan(ctx, l),
	)
	if errors.Is(err, pg.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("load invitation: %w", err)
	}
	return l, true, nil
}

// InviteMailed keeps what became of an invitation by e-mail: refusal "" means that the mail server has taken it. It
// is no change that the interview's workflow decides on, so updated_at stays.
func InviteMailed(ctx context.Context, db bun.IDB, interview uuid.UUID, refusal string) error {
	set := "invite_mailed_at = now()"
	if refusal != "" {
		set = "invite_mail_error = ?1"
	}
	if err := pg.One(db.ExecContext(ctx, "UPDATE interviews SET "+set+" WHERE id = ?0", interview, refusal)); err != nil {
		return fmt.Errorf("keep what became of the invitation: %w", err)
	}
	return nil
}

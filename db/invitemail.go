package db

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/pg"
)

// InviteLetter is the content of an invitation e-mail.
type InviteLetter struct {
	CompanyID                    uuid.UUID
	Company, FirstName, LastName string
	Email                        *string
	JobTitle                     *string
	ScheduledAt                  time.Time
	DeadlineAt                   *time.Time
}

// LoadInviteLetter reads the content of the e-mail. found is false when there is nothing to send (any more): it was
// sent, the interview has started or ended, or the candidate was deleted.
func LoadInviteLetter(ctx context.Context, db bun.IDB, interview uuid.UUID) (l *InviteLetter, found bool, err error) {
	l = new(InviteLetter)
	err = pg.Translate(
		db.NewRaw(`SELECT co.id AS company_id, co.name AS company, c.first_name, c.last_name, c.email,
			j.title AS job_title, i.scheduled_at, i.deadline_at
		FROM interviews i JOIN companies co ON co.id = i.company_id JOIN candidates c ON c.id = i.candidate_id AND
		c.deleted_at IS NULL
			LEFT JOIN jobs j ON j.id = i.job_id
		WHERE i.id = ? AND i.invite_mail AND i.invite_mailed_at IS NULL AND i.invite_mail_error IS NULL AND i.status =
		'SCHEDULED'
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

// InviteMailed records the outcome of an invitation e-mail; an empty refusal means that the mail server accepted it. It
// does not change updated_at, because the interview's workflow does not decide on it.
func InviteMailed(ctx context.Context, db bun.IDB, interview uuid.UUID, refusal string) error {
	set := "invite_mailed_at = now()"
	if refusal != "" {
		set = "invite_mail_error = ?1"
	}
	if err := pg.One(
		db.ExecContext(ctx, "UPDATE interviews SET "+set+" WHERE id = ?0 AND invite_mail", interview, refusal),
	); err != nil {
		return fmt.Errorf("keep what became of the invitation: %w", err)
	}
	return nil
}

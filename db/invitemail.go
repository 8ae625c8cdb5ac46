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

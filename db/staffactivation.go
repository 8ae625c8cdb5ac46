package db

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// StaffInvited is the command to start the workflow that mails a staff user's activation. The subject is the user.
const StaffInvited delivery.CommandKind = "staff.invited"

// ReconciledActivations are the staff users whose activation is still to be mailed.
var ReconciledActivations = delivery.Reconciled{Kind: "activation", Table: "staff", Look: activationsDueSQL}

const activationsDueSQL = `
SELECT st.id, true AS needed, false AS overdue, 0 AS since_ms
FROM staff st WHERE ` + activationDue + ` < now() - ?0 * interval '1 ms' ORDER BY ` + activationDue + ` LIMIT ?1`

// activationDue is the expression of the index staff_due.
const activationDue = `(CASE WHEN st.invite_mail AND st.invite_mailed_at IS NULL AND st.invite_mail_error IS NULL AND
  st.is_active AND st.password_hash IS NULL AND st.deleted_at IS NULL
  THEN GREATEST(st.reconcile_at, st.created_at) END)`

// Activatable reports whether the user can set a first password with an activation key.
func (m *Staff) Activatable() bool { return m.PasswordHash == nil && m.IsActive && m.DeletedAt == nil }

// MailActivation has the activation of a new user mailed when tx commits.
func MailActivation(ctx context.Context, tx bun.Tx, m *Staff) error {
	if _, err := tx.ExecContext(ctx, "UPDATE staff SET invite_mail = true WHERE id = ?", m.ID); err != nil {
		return fmt.Errorf("invite staff user: %w", err)
	}
	return delivery.AddCommand(ctx, tx, StaffInvited, m.ID, nil)
}

// StaffLetter is the content of an activation e-mail.
type StaffLetter struct {
	CompanyID                              uuid.UUID
	Number                                 int64
	Company, FirstName, LastName, Username string
	Email                                  *string
}

// LoadStaffLetter reads the content of the e-mail. found is false when there is nothing to send (any more).
func LoadStaffLetter(ctx context.Context, db bun.IDB, staff uuid.UUID) (l *StaffLetter, found bool, err error) {
	l = new(StaffLetter)
	err = pg.Translate(
		db.NewRaw(`SELECT st.number, co.id AS company_id, co.name AS company, st.first_name, st.last_name,
			st.username, st.email
		FROM staff st JOIN companies co ON co.id = st.company_id AND co.deleted_at IS NULL
		WHERE st.id = ? AND `+activationDue+` IS NOT NULL`, staff).
			Scan(ctx, l),
	)
	if errors.Is(err, pg.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("load activation: %w", err)
	}
	return l, true, nil
}

// ActivationMailed records the outcome of an activation e-mail; an empty refusal means that the server accepted it.
func ActivationMailed(ctx context.Context, db bun.IDB, staff uuid.UUID, refusal string) error {
	set := "invite_mailed_at = now()"
	if refusal != "" {
		set = "invite_mail_error = ?1"
	}
	err := pg.One(db.ExecContext(ctx, "UPDATE staff SET "+set+" WHERE id = ?0 AND invite_mail", staff, refusal))
	if err != nil {
		return fmt.Errorf("keep what became of the activation: %w", err)
	}
	return nil
}

// StaffByNumberUnscoped returns a user of any company by its number.
func StaffByNumberUnscoped(ctx context.Context, db bun.IDB, number int64) (*Staff, error) {
	m := new(Staff)
	if err := db.NewSelect().Model(m).Where("st.number = ? AND st.deleted_at IS NULL", number).Scan(ctx); err != nil {
		return nil, fmt.Errorf("get staff user: %w", pg.Translate(err))
	}
	return m, nil
}

// ActivateStaff sets the first password of a user, with an entry of the user's own in the audit log. A user who has
// one, or is not active, is ErrNotFound.
func ActivateStaff(ctx context.Context, tx bun.Tx, id uuid.UUID, passwordHash string) error {
	m := new(Staff)
	err := tx.NewSelect().Model(m).Where("st.id = ? AND st.password_hash IS NULL AND st.is_active", id).
		Where("st.deleted_at IS NULL").For("NO KEY UPDATE").Scan(ctx)
	if err != nil {
		return fmt.Errorf("lock staff user: %w", pg.Translate(err))
	}
	m.PasswordHash = &passwordHash
	return UpdateStaff(ctx, tx, m, "staff:"+id.String(), "password_hash")
}

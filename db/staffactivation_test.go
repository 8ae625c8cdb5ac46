package db_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/db"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// TestReconciledActivations: the reconciler finds the users whose activation waits to be mailed, and no others.
func TestReconciledActivations(t *testing.T) {
	t.Parallel()
	b := setup(t)
	users := map[string]*db.Staff{}
	for _, name := range []string{"due", "mailed", "refused", "has_a_password", "inactive", "deleted", "not_wanted"} {
		u := &db.Staff{CompanyID: b.company, Username: name, AccountType: db.Recruiter, IsActive: true}
		b.tx(func(tx bun.Tx) error {
			if err := db.CreateStaff(b.ctx, tx, u); err != nil || name == "not_wanted" {
				return err
			}
			return db.MailActivation(b.ctx, tx, u)
		})
		users[name] = u
	}
	require.NoError(t, db.ActivationMailed(b.ctx, b, users["mailed"].ID, ""))
	require.NoError(t, db.ActivationMailed(b.ctx, b, users["refused"].ID, "550 no such mailbox"))
	require.ErrorIs(t, db.ActivationMailed(b.ctx, b, users["not_wanted"].ID, ""), pg.ErrNotFound)
	b.tx(func(tx bun.Tx) error { return db.ActivateStaff(b.ctx, tx, users["has_a_password"].ID, "hash") })
	for name, set := range map[string]string{"inactive": "is_active = false", "deleted": "deleted_at = now()"} {
		b.exec("UPDATE staff SET "+set+" WHERE id = ?", users[name].ID)
	}
	due, err := delivery.LookForDue(b.ctx, b.DB, db.ReconciledActivations, 0, 10)
	require.NoError(t, err)
	require.Len(t, due, 1)
	require.Equal(t, users["due"].ID, due[0].ID)
	for name, u := range users {
		_, found, err := db.LoadStaffLetter(b.ctx, b, u.ID)
		require.NoError(t, err)
		require.Equal(t, name == "due", found, name)
	}
	for _, name := range []string{"has_a_password", "inactive", "deleted"} {
		err := pg.InTx(b.ctx, b.DB, func(ctx context.Context, tx bun.Tx) error {
			return db.ActivateStaff(ctx, tx, users[name].ID, "hash")
		})
		require.ErrorIs(t, err, pg.ErrNotFound, name)
	}
}

package admin_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"greenroom/cmd/internal/admin"
	"greenroom/db"
	"greenroom/db/pg"
)

func TestStaff(t *testing.T) {
	t.Parallel()
	b := setup(t)
	made, err := b.CreateStaff(b.ctx, admin.StaffRequest{
		Company: "Acme", Username: "eva", Email: "eva@a.example", Password: "long enough", AccountType: "owner",
	})
	require.NoError(t, err)
	require.Equal(t, []string{"acme", "owner", "active"}, []string{made.CompanyIdentifier, made.AccountType, made.State})

	t.Run("can_log_in", func(t *testing.T) {
		m, err := db.FindStaff(b.ctx, b.DB, made.CompanyIdentifier, "eva")
		require.NoError(t, err)
		require.True(t, m.PasswordIs("long enough"))
	})
	t.Run("is_listed", func(t *testing.T) {
		silent, err := b.CreateStaff(b.ctx, admin.StaffRequest{Company: b.co.ID.String(), Username: "adam"})
		require.NoError(t, err)
		require.Equal(t, []string{"recruiter", "without password"}, []string{silent.AccountType, silent.State})
		users, err := b.ListStaff(b.ctx, "Acme")
		require.NoError(t, err)
		require.Len(t, users, 2)
		require.Equal(t, made.ID, users[0].ID)
	})
	t.Run("refuses_in_one_sentence", func(t *testing.T) {
		for want, r := range map[string]admin.StaffRequest{
			"--company NAME_OR_ID is required":       {Username: "x"},
			"--username is required":                 {Company: "Acme"},
			`there is no company named "Nobody"`:     {Company: "Nobody", Username: "x"},
			`Acme already has a user named "EVA"`:    {Company: "Acme", Username: "EVA"},
			"--type must be one of hiring-manager":   {Company: "Acme", Username: "x", AccountType: "boss"},
			"the password must be 8 to 72 bytes":     {Company: "Acme", Username: "x", Password: "short"},
			"--username must be text of at most 255": {Company: "Acme", Username: "x\x00"},
			"--first-name must be text":              {Company: "Acme", Username: "x", FirstName: strings.Repeat("x", 256)},
		} {
			_, err := b.CreateStaff(b.ctx, r)
			require.ErrorContains(t, err, want)
		}
	})
	t.Run("does_not_name_a_flag_that_it_does_not_have", func(t *testing.T) {
		_, err := b.CreateStaff(b.ctx, admin.StaffRequest{Company: "Nobody", Username: "x"})
		require.EqualError(t, err, `there is no company named "Nobody"`)
	})
	t.Run("tokens_expire_or_are_permanent", func(t *testing.T) {
		for days, ends := range map[int]bool{0: false, 3: true} {
			made, err := b.CreateToken(b.ctx, made.ID, days)
			require.NoError(t, err)
			row, err := db.FindAPIKey(b.ctx, b.DB, db.HashKey(b.Secret, made.Token))
			require.NoError(t, err)
			require.Equal(t, ends, row.ExpiresAt != nil)
			require.Equal(t, []int{60, 2000}, []int{row.RatePerMinute, row.RatePerHour})
		}
		_, err := b.CreateToken(b.ctx, made.ID, 31)
		require.ErrorContains(t, err, "--idle-days must be 1 to 30")
		_, err = b.CreateToken(b.ctx, pg.NewID(), 1)
		require.ErrorContains(t, err, "there is no staff user")
	})
	t.Run("deleted_ends_its_tokens", func(t *testing.T) {
		token, err := b.CreateToken(b.ctx, made.ID, 0)
		require.NoError(t, err)
		gone, err := b.DeleteStaff(b.ctx, made.ID)
		require.NoError(t, err)
		require.Equal(t, "deleted", gone.State)
		row, err := db.FindAPIKey(b.ctx, b.DB, db.HashKey(b.Secret, token.Token))
		require.NoError(t, err)
		require.False(t, row.Usable(time.Now()))
		_, err = b.DeleteStaff(b.ctx, made.ID)
		require.ErrorContains(t, err, "there is no staff user")
	})
}

package admin_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"greenroom/cmd/internal/admin"
	"greenroom/db"
)

func TestCreateKey(t *testing.T) {
	t.Parallel()
	b := setup(t)
	t.Run("opens_with_the_plain_key_and_has_the_default_limits", func(t *testing.T) {
		k, err := b.CreateKey(b.ctx, admin.KeyRequest{Company: "Acme", Name: "ci"})
		require.NoError(t, err)
		row, err := db.FindAPIKey(b.ctx, b.DB, db.HashKey(b.Secret, k.Plain))
		require.NoError(t, err)
		require.Equal(t, b.co.ID, *row.CompanyID)
		require.Equal(t, []string{"*"}, row.Scopes)
		require.Equal(t, []int{60, 2000}, []int{row.RatePerMinute, row.RatePerHour})
		require.Nil(t, row.ExpiresAt)
	})
	t.Run("stores_the_requested_values", func(t *testing.T) {
		expires := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
		k, err := b.CreateKey(b.ctx, admin.KeyRequest{
			Company: b.co.ID.String(), Scopes: []string{"read:jobs"}, AllowedIPs: []string{"192.0.2.1", "2001:db8::/32"},
			Expires: expires, PerMinute: 7, PerHour: 70,
		})
		require.NoError(t, err)
		row, err := db.GetAPIKey(b.ctx, b.DB, k.ID)
		require.NoError(t, err)
		require.Equal(t, []string{"read:jobs"}, row.Scopes)
		require.Equal(t, []string{"192.0.2.1", "2001:db8::/32"}, row.AllowedIPs)
		require.Equal(t, []int{7, 70}, []int{row.RatePerMinute, row.RatePerHour})
		require.True(t, expires.Equal(*row.ExpiresAt))
	})
	t.Run("platform_keys_have_no_company", func(t *testing.T) {
		k, err := b.CreateKey(b.ctx, admin.KeyRequest{Platform: true})
		require.NoError(t, err)
		require.Nil(t, k.CompanyID)
	})
	t.Run("makes_the_company_once", func(t *testing.T) {
		r := admin.KeyRequest{Company: "New", CreateCompany: true}
		first, err := b.CreateKey(b.ctx, r)
		require.NoError(t, err)
		second, err := b.CreateKey(b.ctx, r)
		require.NoError(t, err)
		require.Equal(t, first.CompanyID, second.CompanyID)
		require.NotEqual(t, first.Plain, second.Plain)
	})
	t.Run("a_name_that_two_companies_have_is_refused", func(t *testing.T) {
		for range 2 {
			require.NoError(t, db.CreateCompany(b.ctx, b.DB, &db.Company{Name: "Twin"}))
		}
		_, err := b.CreateKey(b.ctx, admin.KeyRequest{Company: "Twin"})
		require.ErrorContains(t, err, "there are 2 companies named \"Twin\", give the id: ")
	})
}

func TestCreateKey_refuses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	unknown, manyIPs := uuid.NewString(), slices.Repeat([]string{"192.0.2.1"}, 101)
	for want, r := range map[string]admin.KeyRequest{
		`named "Nobody"; --create-company creates it`:      {Company: "Nobody"},
		"there is no company " + unknown:                   {Company: unknown, CreateCompany: true},
		"--platform creates a key for every company":       {Company: "Acme", Platform: true},
		"--company NAME_OR_ID is required":                 {},
		"--expires must be in the future":                  {Company: "Acme", Expires: time.Now()},
		"--per-minute and --per-hour must be positive":     {Company: "Acme", PerHour: -1},
		`such as 192.0.2.0/24, not "fe80::1%eth0"`:         {Company: "Acme", AllowedIPs: []string{"fe80::1%eth0"}},
		`not "read:everything"`:                            {Company: "Acme", Scopes: []string{"read:everything"}},
		"name must be at most 255 characters":              {Company: "Acme", Name: strings.Repeat("n", 256)},
		"ratePerMinute must be at most 10000000":           {Company: "Acme", PerMinute: 10_000_001},
		"allowedIPs must have at most 100 items":           {Company: "Acme", AllowedIPs: manyIPs},
		"--company: name must be at least 2 characters":    {Company: "A", CreateCompany: true},
		`--allow-ip must be an address or a range such as`: {Company: "Acme", AllowedIPs: []string{"example.org"}},
	} {
		_, err := b.CreateKey(b.ctx, r)
		require.ErrorContains(t, err, want)
	}
	keys, err := b.ListKeys(b.ctx, "", 100)
	require.NoError(t, err)
	require.Empty(t, keys, "a refused key is not stored")
}

func TestKeyLifecycle(t *testing.T) {
	t.Parallel()
	b := setup(t)
	k, err := b.CreateKey(b.ctx, admin.KeyRequest{Company: "Acme"})
	require.NoError(t, err)
	require.Equal(t, db.KeyActive, k.State)

	_, err = b.ResumeKey(b.ctx, k.ID)
	require.ErrorContains(t, err, "is not suspended")
	_, err = b.SuspendKey(b.ctx, k.ID, strings.Repeat("x", 1001))
	require.EqualError(t, err, "suspendedReason must be at most 1000 characters")
	k, err = b.SuspendKey(b.ctx, k.ID, "leaked")
	require.NoError(t, err)
	require.Equal(t, db.KeySuspended, k.State)
	require.Equal(t, "leaked", *k.SuspendedReason)
	k, err = b.ResumeKey(b.ctx, k.ID)
	require.NoError(t, err)
	require.Equal(t, db.KeyActive, k.State)
	require.Nil(t, k.SuspendedReason)
	k, err = b.RevokeKey(b.ctx, k.ID)
	require.NoError(t, err)
	require.Equal(t, db.KeyRevoked, k.State)
	_, err = b.RevokeKey(b.ctx, k.ID)
	require.ErrorContains(t, err, "cannot be undone")
	_, err = b.ResumeKey(b.ctx, k.ID)
	require.ErrorContains(t, err, "cannot be undone")
	unknown := uuid.New()
	_, err = b.RevokeKey(b.ctx, unknown)
	require.EqualError(t, err, "there is no key "+unknown.String())

	var actions []string
	require.NoError(
		t,
		b.DB.NewRaw("SELECT action FROM audit_log WHERE target_id = ? AND actor = 'cli' ORDER BY id", k.ID).
			Scan(b.ctx, &actions),
	)
	require.Equal(t, []string{"created", "suspended", "resumed", "revoked"}, actions)
}

func TestListKeys(t *testing.T) {
	t.Parallel()
	b := setup(t)
	own, err := b.CreateKey(b.ctx, admin.KeyRequest{Company: "Acme"})
	require.NoError(t, err)
	platform, err := b.CreateKey(b.ctx, admin.KeyRequest{Platform: true})
	require.NoError(t, err)
	ids := func(company string, limit int64) (ids []uuid.UUID) {
		keys, err := b.ListKeys(b.ctx, company, limit)
		require.NoError(t, err)
		for _, k := range keys {
			require.Empty(t, k.Plain)
			ids = append(ids, k.ID)
		}
		return ids
	}
	require.Equal(t, []uuid.UUID{platform.ID, own.ID}, ids("", 100))
	require.Equal(t, []uuid.UUID{platform.ID}, ids("", 1))
	require.Equal(t, []uuid.UUID{own.ID}, ids("Acme", 100))
	_, err = b.ListKeys(b.ctx, "Nobody", 100)
	require.ErrorContains(t, err, "there is no company named")
}

package db_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/db"
	"greenroom/db/pg"
)

var tokenSecret = []byte(strings.Repeat("s", 32))

func (b *bundle) staff(username string, kind db.AccountType) *db.Staff {
	b.t.Helper()
	email := username + "@example.test"
	m := &db.Staff{CompanyID: b.company, Username: username, Email: &email, AccountType: kind, IsActive: true}
	require.NoError(b.t, db.CreateStaff(b.ctx, b, m))
	return m
}

func (b *bundle) token(m *db.Staff, idleDays int) *db.APIKey {
	b.t.Helper()
	var plain string
	b.tx(func(tx bun.Tx) (err error) {
		plain, err = db.CreateToken(b.ctx, tx, db.TokenRequest{
			Staff: m.ID, Secret: tokenSecret, IdleDays: idleDays, RatePerMinute: 60, RatePerHour: 2000, Actor: "test",
		})
		return err
	})
	require.Regexp(b.t, "^[0-9a-f]{40}$", plain)
	k, err := db.FindAPIKey(b.ctx, b, db.HashKey(tokenSecret, plain))
	require.NoError(b.t, err)
	return k
}

func (b *bundle) usable(k *db.APIKey) bool {
	b.t.Helper()
	k, err := db.GetAPIKey(b.ctx, b, k.ID)
	require.NoError(b.t, err)
	return k.Usable(time.Now())
}

func (b *bundle) updateStaff(m *db.Staff, columns ...string) {
	b.t.Helper()
	b.tx(func(tx bun.Tx) error { return db.UpdateStaff(b.ctx, tx, m, "test", columns...) })
}

func TestStaff(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ada := b.staff("Ada", db.Recruiter)

	t.Run("username_is_unique_whatever_its_case", func(t *testing.T) {
		other := &db.Staff{CompanyID: b.company, Username: "aDA", AccountType: db.Owner}
		require.ErrorIs(t, db.CreateStaff(b.ctx, b, other), pg.ErrDuplicate)
		elsewhere := &db.Company{Name: "Other"}
		require.NoError(t, db.CreateCompany(b.ctx, b, elsewhere))
		other.CompanyID = elsewhere.ID
		require.NoError(t, db.CreateStaff(b.ctx, b, other))
		_, err := db.StaffByNumber(b.ctx, b, b.company, other.Number)
		require.ErrorIs(t, err, pg.ErrNotFound, "another company's")
		known, err := db.KnownStaff(b.ctx, b, b.company, []int64{ada.Number, other.Number})
		require.NoError(t, err)
		require.Equal(t, []int64{ada.Number}, known)
	})
	t.Run("lists_oldest_first_by_username_and_page", func(t *testing.T) {
		bob := b.staff("bob", db.HiringManager)
		all, total, err := db.ListStaff(b.ctx, b, b.company, "", page)
		require.NoError(t, err)
		require.EqualValues(t, 2, total)
		require.Equal(t, []uuid.UUID{ada.ID, bob.ID}, []uuid.UUID{all[0].ID, all[1].ID})
		some, total, err := db.ListStaff(b.ctx, b, b.company, "BOB", page)
		require.NoError(t, err)
		require.EqualValues(t, 1, total)
		require.Equal(t, bob.ID, some[0].ID)
	})
	t.Run("deleted_is_gone_and_its_name_is_free", func(t *testing.T) {
		gone := b.staff("gone", db.Admin)
		k := b.token(gone, 14)
		b.tx(func(tx bun.Tx) error { return db.DeleteStaff(b.ctx, tx, gone.ID, "test") })
		require.False(t, b.usable(k), "the token ends with its user")
		_, err := db.GetStaff(b.ctx, b, gone.ID)
		require.ErrorIs(t, err, pg.ErrNotFound)
		numbers, err := db.StaffNumbers(b.ctx, b, []uuid.UUID{gone.ID})
		require.NoError(t, err)
		require.Equal(t, map[uuid.UUID]int64{gone.ID: gone.Number}, numbers, "what it wrote can still name it")
		b.staff("gone", db.Admin)
	})
}

func TestFindStaff(t *testing.T) {
	t.Parallel()
	b := setup(t)
	company := &db.Company{Name: "Jäger & Söhne"}
	require.NoError(t, db.CreateCompany(b.ctx, b, company))
	b.company = company.ID
	ada, shared := b.staff("ada", db.Owner), "team@example.test"
	for _, name := range []string{"one", "two"} {
		m := b.staff(name, db.Recruiter)
		m.Email = &shared
		b.updateStaff(m, "email")
	}
	for name, c := range map[string]struct {
		company, login string
		found          bool
	}{
		"username":                {"jager-sohne", "ADA", true},
		"e-mail":                  {"jager-sohne", "Ada@Example.test", true},
		"e-mail of two":           {"jager-sohne", shared, false},
		"nobody":                  {"jager-sohne", "eve", false},
		"of another company":      {"acme", "ada", false},
		"a pattern is not a name": {"jager-sohne", "a%", false},
	} {
		m, err := db.FindStaff(b.ctx, b, c.company, c.login)
		if !c.found {
			require.ErrorIs(t, err, pg.ErrNotFound, name)
			continue
		}
		require.NoError(t, err, name)
		require.Equal(t, ada.ID, m.ID, name)
	}
}

func TestPasswords(t *testing.T) {
	t.Parallel()
	for name, plain := range map[string]string{"short": "1234567", "long": strings.Repeat("x", 73), "not text": "1234567\xff\xff"} {
		_, err := db.HashPassword(plain)
		require.ErrorIs(t, err, db.ErrPassword, name)
	}
	longest := strings.Repeat("x", 72)
	hash, err := db.HashPassword(longest)
	require.NoError(t, err)
	m := &db.Staff{PasswordHash: &hash}
	require.True(t, m.PasswordIs(longest))
	require.False(t, m.PasswordIs(longest+"x"), "a longer one that begins like it")
	require.False(t, m.PasswordIs(""))
	require.False(t, (*db.Staff)(nil).PasswordIs(longest))
	require.False(t, (&db.Staff{}).PasswordIs(longest))
}

func TestTokens(t *testing.T) {
	t.Parallel()
	b := setup(t)
	m := b.staff("ada", db.Recruiter)
	k := b.token(m, 14)

	t.Run("is_a_key_of_the_company_and_the_user", func(t *testing.T) {
		require.Equal(t, &b.company, k.CompanyID)
		require.Equal(t, &m.ID, k.StaffID)
		require.Equal(t, db.Recruiter.Scopes(), k.Scopes)
		require.WithinDuration(t, time.Now().AddDate(0, 0, 14), *k.ExpiresAt, time.Minute)
		for _, kind := range db.AccountTypes() {
			for _, scope := range kind.Scopes() {
				require.True(t, db.KnownScope(scope), scope)
			}
		}
	})
	t.Run("permanent_does_not_end", func(t *testing.T) {
		forever := b.token(m, 0)
		require.Nil(t, forever.ExpiresAt)
		require.NoError(t, db.KeepToken(b.ctx, b, forever, 0))
		require.True(t, b.usable(forever))
	})
	t.Run("use_moves_its_end_once_a_tenth_has_passed", func(t *testing.T) {
		before, err := db.FindAPIKey(b.ctx, b, k.Hash)
		require.NoError(t, err)
		require.NoError(t, db.KeepToken(b.ctx, b, before, 0))
		same, err := db.FindAPIKey(b.ctx, b, k.Hash)
		require.NoError(t, err)
		require.Equal(t, before.Version, same.Version, "a fresh token is not written")

		b.endsIn(k, 12*24*time.Hour)
		stale, err := db.GetAPIKey(b.ctx, b, k.ID)
		require.NoError(t, err)
		require.NoError(t, db.KeepToken(b.ctx, b, stale, 0))
		moved, err := db.GetAPIKey(b.ctx, b, k.ID)
		require.NoError(t, err)
		require.WithinDuration(t, time.Now().AddDate(0, 0, 14), *moved.ExpiresAt, time.Minute)
	})
	t.Run("a_dead_one_stays_dead", func(t *testing.T) {
		dead := b.token(m, 1)
		b.endsIn(dead, -time.Second)
		seen, err := db.GetAPIKey(b.ctx, b, dead.ID)
		require.NoError(t, err)
		require.NoError(t, db.KeepToken(b.ctx, b, seen, 0))
		require.False(t, b.usable(dead))
	})
	t.Run("follows_the_account_type", func(t *testing.T) {
		m.AccountType = db.HiringManager
		b.updateStaff(m, "account_type")
		now, err := db.GetAPIKey(b.ctx, b, k.ID)
		require.NoError(t, err)
		require.Equal(t, db.HiringManager.Scopes(), now.Scopes)
	})
	t.Run("ends_with_the_password_and_with_the_account", func(t *testing.T) {
		hash := "x"
		m.PasswordHash = &hash
		b.updateStaff(m, "password_hash")
		require.False(t, b.usable(k))
		second := b.token(m, 14)
		m.IsActive = false
		b.updateStaff(m, "is_active")
		require.False(t, b.usable(second))
		err := pg.InTx(b.ctx, b, func(ctx context.Context, tx bun.Tx) error {
			_, err := db.CreateToken(ctx, tx, db.TokenRequest{Staff: m.ID, Secret: tokenSecret, Actor: "test"})
			return err
		})
		require.ErrorIs(t, err, pg.ErrNotFound, "nobody logs in to an inactive account")
	})
}

func (b *bundle) endsIn(k *db.APIKey, d time.Duration) {
	b.t.Helper()
	_, err := b.ExecContext(b.ctx, "UPDATE api_keys SET expires_at = ? WHERE id = ?", time.Now().Add(d), k.ID)
	require.NoError(b.t, err)
}

func TestTokensOfOneUserAreBounded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	m := b.staff("ada", db.Recruiter)
	permanent, first := b.token(m, 0), b.token(m, 1)
	for range 100 {
		b.token(m, 14)
	}
	require.False(t, b.usable(first))
	require.True(t, b.usable(permanent))
	var live int
	require.NoError(
		t,
		b.NewRaw("SELECT count(*) FROM api_keys WHERE staff_id = ? AND revoked_at IS NULL AND idle_days > 0", m.ID).
			Scan(b.ctx, &live),
	)
	require.Equal(t, 100, live)

	_, err := b.ExecContext(b.ctx, "UPDATE api_keys SET revoked_at = now() - interval '31 days' WHERE id = ?", first.ID)
	require.NoError(t, err)
	b.token(m, 14)
	_, err = db.GetAPIKey(b.ctx, b, first.ID)
	require.ErrorIs(t, err, pg.ErrNotFound, "one that ended long ago is removed")
}

func TestCompanyIdentifiers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	create := func(name string) *db.Company {
		c := &db.Company{Name: name}
		require.NoError(t, db.CreateCompany(b.ctx, b, c))
		return c
	}
	require.Equal(t, "kosice-sohne", create(" Košice & Söhne!").Identifier)
	require.Equal(t, "company", create("日本").Identifier)
	require.LessOrEqual(t, len(create(strings.Repeat("long ", 50)).Identifier), 63)
	second := create("Kosice-Sohne")
	require.Equal(t, fmt.Sprintf("kosice-sohne-%d", second.Number), second.Identifier)
	got, err := db.CompanyByIdentifier(b.ctx, b, second.Identifier)
	require.NoError(t, err)
	require.Equal(t, second.ID, got.ID)
	require.Equal(t, "chosen", func() string {
		c := &db.Company{Name: "X", Identifier: "chosen"}
		require.NoError(t, db.CreateCompany(b.ctx, b, c))
		return c.Identifier
	}())

	t.Run("of_many_at_once_differ", func(t *testing.T) {
		var wg sync.WaitGroup
		names := make(chan string, 16)
		for range 16 {
			wg.Go(func() {
				c := &db.Company{Name: "Rush"}
				if err := db.CreateCompany(b.ctx, b, c); err == nil {
					names <- c.Identifier
				}
			})
		}
		wg.Wait()
		close(names)
		seen := map[string]bool{}
		for n := range names {
			seen[n] = true
		}
		require.Len(t, seen, 16)
		require.True(t, seen["rush"])
	})
}

package db_test

import (
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"pgregory.net/rapid"

	"greenroom/db"
	"greenroom/db/pg"
)

func (b *bundle) key(company *uuid.UUID) *db.APIKey {
	b.t.Helper()
	_, hash, prefix := db.GenerateKey([]byte("s"))
	k := &db.APIKey{
		CompanyID:     company,
		Name:          "n",
		Hash:          hash,
		Prefix:        prefix,
		Scopes:        []string{"*"},
		RatePerMinute: 1,
		RatePerHour:   1,
	}
	b.tx(func(tx bun.Tx) error { return db.CreateAPIKey(b.ctx, tx, k, "cli") })
	return k
}

func TestAPIKeyUsable(t *testing.T) {
	t.Parallel()
	now := time.Now()
	at := func(d time.Duration) *time.Time { x := now.Add(d); return &x }
	for name, c := range map[string]struct {
		key  db.APIKey
		want bool
	}{
		"without an end":              {db.APIKey{}, true},
		"before its end":              {db.APIKey{ExpiresAt: at(1)}, true},
		"at its end":                  {db.APIKey{ExpiresAt: at(0)}, false},
		"after its end":               {db.APIKey{ExpiresAt: at(-1)}, false},
		"revoked":                     {db.APIKey{RevokedAt: at(0), ExpiresAt: at(1)}, false},
		"suspended is another matter": {db.APIKey{SuspendedAt: at(-1)}, true},
	} {
		require.Equal(t, c.want, c.key.Usable(now), name)
	}
}

func TestAPIKeyChanges(t *testing.T) {
	t.Parallel()
	b := setup(t)
	mine, platform := b.key(&b.company), b.key(nil)

	t.Run("lists_by_scope_newest_first", func(t *testing.T) {
		list, total, err := db.ListAPIKeys(b.ctx, b, pg.Scope{}, page)
		require.NoError(t, err)
		require.EqualValues(t, 2, total)
		require.Equal(t, []uuid.UUID{platform.ID, mine.ID}, []uuid.UUID{list[0].ID, list[1].ID})
		list, total, err = db.ListAPIKeys(b.ctx, b, pg.Scope{Company: &b.company}, page)
		require.NoError(t, err)
		require.EqualValues(t, 1, total)
		require.Equal(t, mine.ID, list[0].ID, "a company does not see keys of the platform")
		_, total, err = db.ListAPIKeys(b.ctx, b, elsewhere(), page)
		require.NoError(t, err)
		require.Zero(t, total)
	})
	t.Run("change_writes_named_columns_and_the_audit_log", func(t *testing.T) {
		before, err := db.FindAPIKey(b.ctx, b, mine.Hash)
		require.NoError(t, err)
		changed := *mine
		now := time.Now().UTC()
		changed.Name, changed.SuspendedAt = "not written", &now
		b.tx(func(tx bun.Tx) error {
			return db.UpdateAPIKey(b.ctx, tx, &changed, db.AuditSuspended, "key:1", "suspended_at")
		})
		got, err := db.FindAPIKey(b.ctx, b, mine.Hash)
		require.NoError(t, err)
		require.Equal(t, "n", got.Name)
		require.NotNil(t, got.SuspendedAt)
		require.NotEqual(t, before.Version, got.Version, "a submission that saw the old row is refused")
		require.Equal(t, 1, b.count("SELECT count(*) FROM audit_log WHERE action = 'suspended' AND actor = 'key:1'"))
	})
	t.Run("revoked_key_is_final", func(t *testing.T) {
		b.tx(func(tx bun.Tx) error { return db.RevokeAPIKey(b.ctx, tx, mine.ID, "cli") })
		audits := b.count("SELECT count(*) FROM audit_log")
		require.ErrorIs(t, b.try(func(tx bun.Tx) error { return db.RevokeAPIKey(b.ctx, tx, mine.ID, "cli") }), pg.ErrNotFound)
		require.ErrorIs(t, b.try(func(tx bun.Tx) error {
			return db.UpdateAPIKey(b.ctx, tx, mine, db.AuditResumed, "cli", "suspended_at")
		}), pg.ErrNotFound)
		require.Equal(t, audits, b.count("SELECT count(*) FROM audit_log"))
	})
	t.Run("hash_is_unique", func(t *testing.T) {
		twice := *platform
		twice.ID = pg.NewID()
		err := b.try(func(tx bun.Tx) error { return db.CreateAPIKey(b.ctx, tx, &twice, "cli") })
		require.ErrorIs(t, err, pg.ErrDuplicate)
	})
	t.Run("no_key_was_seen", func(t *testing.T) {
		require.Nil(t, (*db.APIKey)(nil).Seen())
	})
}

func TestDeriveKey(t *testing.T) {
	t.Parallel()
	derive := func(secret, label string) string {
		plain, hash, prefix := db.DeriveKey([]byte(secret), label)
		require.Regexp(t, `^sk_[0-9A-Za-z]{43}$`, plain)
		require.Equal(t, db.HashKey([]byte(secret), plain), hash)
		require.Equal(t, plain[:9], prefix)
		return plain
	}
	key := derive("s", "demo")
	require.Equal(t, key, derive("s", "demo"))
	require.NotEqual(t, key, derive("s", "other"))
	require.NotEqual(t, key, derive("t", "demo"))
}

// A slug is a valid label of a host name, also with the number of a company, and is its own slug.
func TestSlug(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"Acme": "acme", "": "company", "---": "company", "a--b": "a-b", "-a-": "a", "Übér": "uber",
		"a\x00b": "a-b", "\xff\xfe": "company", "Straße": "stra-e", "ﬁne": "fine",
	} {
		require.Equal(t, want, db.Slug(name), "%q", name)
	}
	rapid.Check(t, func(t *rapid.T) {
		slug := db.Slug(rapid.String().Draw(t, "name"))
		require.Regexp(t, `^[a-z0-9]+(-[a-z0-9]+)*$`, slug)
		require.LessOrEqual(t, len(slug)+len("-9223372036854775807"), 63)
		require.Equal(t, slug, db.Slug(slug))
	})
}

func TestTextsAreStoredAsTheyAre(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for name, text := range map[string]string{
		"quotes":     `O'Neill "x" \' ?0 ? $1 %s`,
		"four bytes": "😀 \U0010FFFF",
		"long":       strings.Repeat("é", 200_000),
		"controls":   "\x01\t\r\n\x7f\u2028",
		"combining":  "e\u0301 is not é",
	} {
		require.True(t, utf8.ValidString(text))
		c := b.candidate(text, "Byron", "a@example.com")
		got, err := db.GetCandidate(b.ctx, b, c.ID)
		require.NoError(t, err, name)
		require.Equal(t, text, got.FirstName, name)
	}
	t.Run("invalid_utf8_is_replaced", func(t *testing.T) {
		c := b.candidate("a\xffb", "Byron", "a@example.com")
		got, err := db.GetCandidate(b.ctx, b, c.ID)
		require.NoError(t, err)
		require.Equal(t, "a\uFFFDb", got.FirstName)
	})
	t.Run("nul_is_refused_and_changes_nothing", func(t *testing.T) {
		rows := b.count("SELECT count(*) FROM candidates")
		err := b.try(func(tx bun.Tx) error {
			c := &db.Candidate{CompanyID: b.company, FirstName: "a\x00', 'b'); SELECT 1; --"}
			return db.CreateCandidate(b.ctx, tx, c, false)
		})
		require.Error(t, err)
		require.False(t, pg.IsUnavailable(err), "a retry would fail again: %v", err)
		require.Equal(t, rows, b.count("SELECT count(*) FROM candidates"))
	})
}

func TestQuestionsAreBounded(t *testing.T) {
	t.Parallel()
	s := setupSuite(t)
	create := func(q *db.Question) error {
		return s.try(func(tx bun.Tx) error { return db.CreateQuestion(s.ctx, tx, s.job, q) })
	}
	last := &db.Question{Text: "last", Position: 10_000}
	require.NoError(t, create(last))
	after := &db.Question{Text: "after the last"}
	require.NoError(t, create(after))
	require.Equal(t, 10_000, after.Position, "the last position is shared")
	for s.count("SELECT count(*) FROM questions WHERE job_id = ?", s.job.ID) < db.MaxQuestions-1 {
		s.question("another")
	}
	// Two at once, with one place left.
	errs := make(chan error, 2)
	var wg sync.WaitGroup
	for range cap(errs) {
		wg.Go(func() { errs <- create(&db.Question{Text: "the fiftieth"}) })
	}
	wg.Wait()
	first, second := <-errs, <-errs
	if first == nil {
		first, second = second, first
	}
	require.ErrorIs(t, first, db.ErrQuestions)
	require.NoError(t, second)
	s.tx(func(tx bun.Tx) error { return db.DeleteQuestion(s.ctx, tx, s.job, after.ID) })
	require.NoError(t, create(&db.Question{Text: "in the place of a deleted one"}))
	err := s.try(func(tx bun.Tx) error { return db.UpdateQuestion(s.ctx, tx, s.job, after, "text") })
	require.ErrorIs(t, err, pg.ErrNotFound, "a deleted question does not change")
}

func TestReservedFileBoundaries(t *testing.T) {
	t.Parallel()
	s := setupSuite(t)
	put := func(file string) error {
		v := s.answer(s.why)
		v.File = file
		return s.try(func(tx bun.Tx) error { _, err := db.PutAnswerVideo(s.ctx, tx, v); return err })
	}
	due := func(d time.Duration) string {
		file := s.reserved()
		s.exec("UPDATE stray_files SET due_at = now() + ? * interval '1 ms' WHERE file = ?", d.Milliseconds(), file)
		return file
	}
	listed := func(file string) int { return s.count("SELECT count(*) FROM stray_files WHERE file = ?", file) }

	t.Run("claims_only_what_is_due_later_than_in_a_minute", func(t *testing.T) {
		soon := due(time.Minute - 100*time.Millisecond)
		require.ErrorIs(t, put(soon), pg.ErrConflict)
		require.Equal(t, 1, listed(soon))
		later := due(time.Minute + 30*time.Second)
		require.NoError(t, put(later))
		require.Zero(t, listed(later))
		require.ErrorIs(t, put(later), pg.ErrConflict, "a file belongs to one row")
		require.ErrorIs(t, put("never reserved"), pg.ErrConflict)
	})
	t.Run("renews_only_before_the_due_time", func(t *testing.T) {
		under, over := due(time.Minute), due(-time.Millisecond)
		for _, file := range []string{under, over} {
			require.NoError(t, db.RenewFile(s.ctx, s, file, time.Now().Add(time.Hour)))
			require.NoError(t, db.RenewFile(s.ctx, s, file, time.Now().Add(time.Second)))
		}
		require.NoError(t, put(under), "a renewal does not shorten")
		require.ErrorIs(t, put(over), pg.ErrConflict)
	})
	t.Run("reserves_a_name_once", func(t *testing.T) {
		err := db.ReserveFile(s.ctx, s, due(time.Hour), time.Now())
		require.ErrorIs(t, err, pg.ErrDuplicate)
	})
	t.Run("postpones_longer_each_time_up_to_a_day", func(t *testing.T) {
		file := due(-time.Second)
		require.Contains(t, s.strays(), file)
		var waits []int
		for range 16 {
			require.NoError(t, db.PostponeFile(s.ctx, s, file, "locked"))
			waits = append(
				waits,
				s.count("SELECT round(extract(epoch FROM not_before - now())) FROM stray_files WHERE file = ?", file),
			)
		}
		require.Equal(t, []int{10, 20, 40, 80}, waits[:4])
		require.Equal(t, []int{81920, 86400, 86400}, waits[13:])
		require.NotContains(t, s.strays(), file)
		s.exec("UPDATE stray_files SET attempts = 2000000 WHERE file = ?", file)
		require.NoError(t, db.PostponeFile(s.ctx, s, file, "locked"), "no number of tries overflows")
		require.NoError(t, db.ForgetFile(s.ctx, s, file))
		require.Zero(t, listed(file))
	})
}

func TestLeaveJob(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first, second := b.position("First", ""), b.position("Second", "")
	c, agent := b.candidate("Ada", "Byron", "a@example.com", first.ID, second.ID), b.agent(db.Phone)
	here, there := b.interviewOf(c, agent, &first.ID), b.interviewOf(c, agent, &second.ID)
	leave := func(job *db.Job) error {
		return b.try(func(tx bun.Tx) error { return db.LeaveJob(b.ctx, tx, job.ID, c.ID) })
	}
	join := func() (added bool, err error) {
		err = b.try(func(tx bun.Tx) error { added, err = db.JoinJob(b.ctx, tx, first.ID, c.ID); return err })
		return added, err
	}
	added, err := join()
	require.NoError(t, err)
	require.False(t, added, "it has the job")
	require.NoError(t, leave(first))
	require.Equal(t, db.InterviewCanceled, b.get(here.ID).Status)
	require.Equal(t, db.ReasonCanceledByClient, *b.get(here.ID).StatusReason)
	require.Equal(t, db.InterviewScheduled, b.get(there.ID).Status, "the interview for another job stays")
	require.ErrorIs(t, leave(first), pg.ErrNotFound)
	got, err := db.GetCandidate(b.ctx, b, c.ID)
	require.NoError(t, err)
	require.Equal(t, []uuid.UUID{second.ID}, got.JobIDs)

	added, err = join()
	require.NoError(t, err)
	require.True(t, added)
	require.NoError(t, leave(first))
	require.NoError(t, leave(second))
	_, err = db.GetCandidate(b.ctx, b, c.ID)
	require.ErrorIs(t, err, pg.ErrNotFound, "a candidate without a job is deleted")
	_, err = join()
	require.ErrorIs(t, err, pg.ErrConflict)
}

func TestNewestInterviews(t *testing.T) {
	t.Parallel()
	b := setup(t)
	job, other := b.position("Job", ""), b.position("Other", "")
	ada, grace := b.candidate("Ada", "B", "a@example.com", job.ID), b.candidate("Grace", "H", "g@example.com", job.ID)
	agent := b.agent(db.Online)
	b.interviewOf(ada, agent, &job.ID)
	newest := b.interviewOf(ada, agent, &job.ID)
	b.interviewOf(ada, agent, &other.ID)
	deleted := b.interviewOf(ada, agent, &job.ID)
	b.tx(func(tx bun.Tx) error { return db.DeleteInterview(b.ctx, tx, pg.Scope{}, deleted.ID) })
	got, err := db.NewestInterviews(b.ctx, b, job.ID, []db.Candidate{*ada, *grace})
	require.NoError(t, err)
	require.Len(t, got, 1)
	require.Equal(t, newest.ID, got[ada.ID].ID)
}

func TestCompanyLookups(t *testing.T) {
	t.Parallel()
	b := setup(t)
	gone := &db.Company{Name: "Acme"}
	require.NoError(t, db.CreateCompany(b.ctx, b, gone))
	b.exec("UPDATE companies SET deleted_at = now() WHERE id = ?", gone.ID)
	existing, err := db.ExistingCompanies(b.ctx, b, []uuid.UUID{gone.ID, b.company, pg.NewID()})
	require.NoError(t, err)
	require.Equal(t, []uuid.UUID{b.company}, existing)
	named, err := db.CompaniesNamed(b.ctx, b, "Acme")
	require.NoError(t, err)
	require.Len(t, named, 1, "without the deleted one")
	require.Equal(t, b.company, named[0].ID)
	named, err = db.CompaniesNamed(b.ctx, b, "acme")
	require.NoError(t, err)
	require.Empty(t, named)
	for _, id := range []uuid.UUID{gone.ID, pg.NewID()} {
		exists, err := db.CompanyExists(b.ctx, b, id)
		require.NoError(t, err)
		require.False(t, exists)
		_, err = db.GetCompany(b.ctx, b, id)
		require.ErrorIs(t, err, pg.ErrNotFound)
		require.ErrorIs(t, db.UpdateCompany(b.ctx, b, &db.Company{ID: id}, "industry"), pg.ErrNotFound)
	}
	_, total, err := db.ListCompanies(b.ctx, b, elsewhere(), page)
	require.NoError(t, err)
	require.Zero(t, total)
	list, total, err := db.ListCompanies(b.ctx, b, pg.Scope{Company: &b.company}, pg.Page{Limit: 1, Offset: 1})
	require.NoError(t, err)
	require.EqualValues(t, 1, total)
	require.Empty(t, list, "behind the last page")
}

// Pages by offset show each row once and in the same order, whatever their size, while no row is added.
func TestPagesShowEachRowOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var want []uuid.UUID
	for range 13 {
		want = append([]uuid.UUID{b.position("Job", "").ID}, want...)
	}
	for size := range int64(15) {
		var got []uuid.UUID
		for offset := int64(0); size > 0 && offset < 13+size; offset += size {
			jobs, total, err := db.ListJobs(b.ctx, b, pg.Scope{}, db.JobFilter{}, pg.Page{Limit: size, Offset: offset})
			require.NoError(t, err)
			require.EqualValues(t, 13, total, "also behind the last page")
			for _, j := range jobs {
				got = append(got, j.ID)
			}
		}
		if size > 0 {
			require.Equal(t, want, got, "pages of %d", size)
		}
	}
}

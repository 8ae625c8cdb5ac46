package db_test

import (
	"context"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/db"
	"greenroom/db/pg"
)

func (b *bundle) jobAgent(p *db.Job) *db.Agent {
	b.t.Helper()
	var a *db.Agent
	b.tx(func(tx bun.Tx) (err error) { a, err = db.EnsureJobAgent(b.ctx, tx, p); return err })
	return a
}

func (b *bundle) question(p *db.Job, position int, text string) {
	b.t.Helper()
	_, err := b.ExecContext(b.ctx, "INSERT INTO questions (id, company_id, job_id, position, text) VALUES (?, ?, ?, ?, ?)",
		pg.NewID(), b.company, p.ID, position, text)
	require.NoError(b.t, err)
}

func TestJobAgent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.position("Engineer", db.JobOpen)
	b.question(p, 2, "Second?")
	b.question(p, 1, "First?")
	first := b.jobAgent(p)

	t.Run("is_named_after_the_job_and_asks_its_questions", func(t *testing.T) {
		require.Equal(t, "Engineer", first.Name)
		require.Equal(t, db.Online, first.Type)
		require.Equal(t, []string{"First?", "Second?"}, first.Questions)
		require.Equal(t, &first.ID, p.AgentID)
		got, err := db.GetJob(b.ctx, b, p.ID)
		require.NoError(t, err)
		require.Equal(t, &first.ID, got.AgentID)
	})
	t.Run("is_made_once", func(t *testing.T) {
		other := b.position("Other", db.JobOpen)
		ids := make([]uuid.UUID, 8)
		var wg sync.WaitGroup
		for i := range ids {
			wg.Go(func() {
				_ = pg.InTx(b.ctx, b, func(ctx context.Context, tx bun.Tx) error {
					mine := *other
					a, err := db.EnsureJobAgent(ctx, tx, &mine)
					if err == nil {
						ids[i] = a.ID
					}
					return err
				})
			})
		}
		wg.Wait()
		for _, id := range ids {
			require.NotEqual(t, uuid.Nil, id)
			require.Equal(t, ids[0], id)
		}
	})
	t.Run("is_none_of_a_deleted_job", func(t *testing.T) {
		gone := b.position("Gone", db.JobOpen)
		require.NoError(t, db.DeleteJob(b.ctx, b, gone.ID))
		require.ErrorIs(t, pg.InTx(b.ctx, b, func(ctx context.Context, tx bun.Tx) error {
			_, err := db.EnsureJobAgent(ctx, tx, gone)
			return err
		}), pg.ErrNotFound)
	})
	t.Run("follows_the_questions", func(t *testing.T) {
		b.question(p, 3, `Thi"rd?`)
		b.tx(func(tx bun.Tx) error { return db.SyncAgentQuestions(b.ctx, tx, p) })
		got, err := db.GetAgent(b.ctx, b, first.ID)
		require.NoError(t, err)
		require.Equal(t, []string{"First?", "Second?", `Thi"rd?`}, got.Questions)
		_, err = b.ExecContext(b.ctx, "UPDATE questions SET deleted_at = now()")
		require.NoError(t, err)
		b.tx(func(tx bun.Tx) error { return db.SyncAgentQuestions(b.ctx, tx, p) })
		got, err = db.GetAgent(b.ctx, b, first.ID)
		require.NoError(t, err)
		require.Equal(t, []string{}, got.Questions)
	})
	t.Run("is_made_again_when_it_cannot_interview_online", func(t *testing.T) {
		first.Type = db.Phone
		require.NoError(t, db.UpdateAgent(b.ctx, b, first, "type"))
		second := b.jobAgent(p)
		require.NotEqual(t, first.ID, second.ID)
		require.NoError(t, db.DeleteAgent(b.ctx, b, second.ID))
		require.NotEqual(t, second.ID, b.jobAgent(p).ID)
	})
	t.Run("of_a_job_that_is_not_there", func(t *testing.T) {
		err := pg.InTx(b.ctx, b, func(ctx context.Context, tx bun.Tx) error {
			_, err := db.EnsureJobAgent(ctx, tx, &db.Job{ID: pg.NewID(), CompanyID: b.company})
			return err
		})
		require.ErrorIs(t, err, pg.ErrNotFound)
	})
}

func TestLookupsByNumber(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.position("Engineer", db.JobOpen)
	c := b.candidate("Ada", "Lovelace", "ada@example.test", p.ID)
	i := b.interviewOf(c, b.agent(db.Online), &p.ID)
	other := &db.Company{Name: "Other"}
	require.NoError(t, db.CreateCompany(b.ctx, b, other))

	company, err := db.CompanyByNumber(b.ctx, b, other.Number)
	require.NoError(t, err)
	require.Equal(t, other.ID, company.ID)
	_, err = db.CompanyByNumber(b.ctx, b, other.Number+1)
	require.ErrorIs(t, err, pg.ErrNotFound)

	for name, find := range map[string]func(company uuid.UUID, delta int64) (uuid.UUID, error){
		"job": func(company uuid.UUID, delta int64) (uuid.UUID, error) {
			got, err := db.JobByNumber(b.ctx, b, company, p.Number+delta)
			if err != nil {
				return uuid.Nil, err
			}
			return got.ID, nil
		},
		"candidate": func(company uuid.UUID, delta int64) (uuid.UUID, error) {
			got, err := db.CandidateByNumber(b.ctx, b, company, c.Number+delta)
			if err != nil {
				return uuid.Nil, err
			}
			require.Equal(t, []uuid.UUID{p.ID}, got.JobIDs)
			require.Equal(t, 1, got.InterviewCount)
			return got.ID, nil
		},
		"interview": func(company uuid.UUID, delta int64) (uuid.UUID, error) {
			got, err := db.InterviewByNumber(b.ctx, b, company, i.Number+delta)
			if err != nil {
				return uuid.Nil, err
			}
			return got.ID, nil
		},
	} {
		id, err := find(b.company, 0)
		require.NoError(t, err, name)
		require.Contains(t, []uuid.UUID{p.ID, c.ID, i.ID}, id, name)
		_, err = find(other.ID, 0)
		require.ErrorIs(t, err, pg.ErrNotFound, "%s of another company", name)
		_, err = find(b.company, 1)
		require.ErrorIs(t, err, pg.ErrNotFound, "no such %s", name)
	}
}

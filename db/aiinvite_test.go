package db_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/db"
	"greenroom/db/pg"
)

func TestInvitedTo_and_custom_field(t *testing.T) {
	t.Parallel()
	b := setup(t)
	job, c := b.position("Engineer", ""), b.candidate("Ada", "Byron", "ada@mail.test")
	first, second := b.interviewOf(c, b.agent(db.Online), &job.ID), b.interviewOf(c, b.agent(db.Online), &job.ID)
	b.interviewOf(c, b.agent(db.Phone), &job.ID)
	_, err := b.ExecContext(b.ctx, "UPDATE interviews SET custom_field = 'mine'")
	require.NoError(t, err)
	list, err := db.InvitedTo(b.ctx, b, job.ID, 0, 10)
	require.NoError(t, err)
	require.Len(t, list, 2, "PHONE interviews have no invitation")
	require.Equal(t, []int64{second.Number, first.Number}, []int64{list[0].Number, list[1].Number})
	require.Equal(t, c.Number, list[0].Candidate)
	newest, err := db.InvitedTo(b.ctx, b, job.ID, 0, 1)
	require.NoError(t, err)
	require.Equal(t, list[:1], newest)
	older, err := db.InvitedTo(b.ctx, b, job.ID, second.Number, 10)
	require.NoError(t, err)
	require.Equal(t, list[1:], older)

	b.tx(func(tx bun.Tx) error { return db.DeleteInterview(b.ctx, tx, pg.Scope{}, second.ID) })
	_, err = b.ExecContext(b.ctx, "UPDATE interviews SET custom_field = NULL WHERE type = 'PHONE'")
	require.NoError(t, err)
	found, err := db.InterviewByCustomField(b.ctx, b, b.company, "mine")
	require.NoError(t, err)
	require.Equal(t, first.ID, found.ID)
	_, err = db.InterviewByCustomField(b.ctx, b, pg.NewID(), "mine")
	require.ErrorIs(t, err, pg.ErrNotFound)

	about, err := db.InterviewContext(b.ctx, b.DB, found)
	require.NoError(t, err)
	require.Equal(t, first.Number, about.Interview.Number)
	require.Equal(t, job.Number, about.Job.Number)
	require.Nil(t, about.Analysis)
}

func TestGeneralSettings(t *testing.T) {
	t.Parallel()
	b := setup(t)
	before := b.position("Before", "")
	change := func(everywhere bool, fn func(*db.AIGeneral) error) (g db.AIGeneral, err error) {
		err = pg.InTx(b.ctx, b, func(ctx context.Context, tx bun.Tx) error {
			g, err = db.ChangeCompanyGeneral(ctx, tx, b.company, fn, everywhere)
			return err
		})
		return g, err
	}
	of := func(job *db.Job) db.AIGeneral {
		g, err := db.JobGeneral(b.ctx, b, job.ID)
		require.NoError(t, err)
		return g
	}
	most, language := 40, "Slovak"
	_, err := change(false, func(g *db.AIGeneral) error { g.MaxMinutes = &most; return nil })
	require.NoError(t, err)
	after := b.position("After", "")
	require.Equal(t, db.AIGeneral{}, of(before))
	require.Equal(t, db.AIGeneral{MaxMinutes: &most}, of(after), "a new job takes over what the company has")
	g, err := change(true, func(g *db.AIGeneral) error { g.Language = &language; return nil })
	require.NoError(t, err)
	require.Equal(t, db.AIGeneral{MaxMinutes: &most, Language: &language}, g)
	require.Equal(t, g, of(before))
	no := errors.New("no")
	_, err = change(true, func(g *db.AIGeneral) error { g.Language = nil; return no })
	require.ErrorIs(t, err, no)
	require.Equal(t, g, of(before))

	a, code, voice := b.agent(db.Online), "SK", "v"
	b.tx(func(tx bun.Tx) error { return g.ApplyTo(b.ctx, tx, a, &code, &voice) })
	a, err = db.GetAgent(b.ctx, b, a.ID)
	require.NoError(t, err)
	require.Equal(t, []any{"SK", "v", 40}, []any{a.Language, *a.VoiceID, a.DurationMinutes})
	b.tx(func(tx bun.Tx) error { return db.AIGeneral{}.ApplyTo(b.ctx, tx, a, nil, nil) })
	require.Equal(t, "SK", a.Language)
}

package db_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/db"
	"greenroom/db/pg"
)

func TestTakeInvite(t *testing.T) {
	t.Parallel()
	b := setup(t)
	take := func() error {
		return pg.InTx(b.ctx, b, func(ctx context.Context, tx bun.Tx) error { return db.TakeInvite(ctx, tx, b.company) })
	}
	left := func() *int {
		c, err := db.GetCompany(b.ctx, b, b.company)
		require.NoError(t, err)
		return c.InvitesLeft
	}
	require.NoError(t, take())
	require.Nil(t, left(), "no limit stays no limit")

	_, err := b.ExecContext(b.ctx, "UPDATE companies SET invites_left = 3")
	require.NoError(t, err)
	const callers = 8
	errs := make(chan error)
	for range callers {
		go func() { errs <- take() }()
	}
	refused := 0
	for range callers {
		if err := <-errs; err != nil {
			require.ErrorIs(t, err, db.ErrExhausted)
			refused++
		}
	}
	require.Equal(t, callers-3, refused)
	require.Equal(t, 0, *left(), "a refused one takes none")
}

func TestCandidateByEmail(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.candidate("Old", "One", "ada@mail.test")
	newest := b.candidate("New", "One", "Ada@Mail.test")
	found, err := db.CandidateByEmail(b.ctx, b, b.company, "ADA@mail.TEST")
	require.NoError(t, err)
	require.Equal(t, newest.ID, found.ID)
	_, err = db.CandidateByEmail(b.ctx, b, pg.NewID(), "ada@mail.test")
	require.ErrorIs(t, err, pg.ErrNotFound, "another company's")
}

func TestInviteLetter(t *testing.T) {
	t.Parallel()
	b := setup(t)
	job := b.position("Engineer", "")
	mailed := func(flag bool, deadline time.Duration) *db.Interview {
		c, at := b.candidate("Ada", "Byron", "ada@mail.test"), time.Now().Add(deadline).UTC()
		i := b.interviewOf(c, b.agent(db.Online), &job.ID)
		_, err := b.ExecContext(b.ctx, "UPDATE interviews SET invite_mail = ?, deadline_at = ? WHERE id = ?", flag, at, i.ID)
		require.NoError(t, err)
		return i
	}
	due := func(i *db.Interview) bool {
		l, found, err := db.LoadInviteLetter(b.ctx, b, i.ID)
		require.NoError(t, err)
		require.Equal(t, found, l != nil)
		return found
	}
	wanted, sent, refused, begun := mailed(
		true,
		time.Hour,
	), mailed(
		true,
		time.Hour,
	), mailed(
		true,
		time.Hour,
	), mailed(
		true,
		time.Hour,
	)
	require.NoError(t, db.InviteMailed(b.ctx, b, sent.ID, ""))
	require.NoError(t, db.InviteMailed(b.ctx, b, refused.ID, "550 no such mailbox"))
	b.tx(func(tx bun.Tx) error { _, err := db.StartInterview(b.ctx, tx, begun.ID); return err })
	require.True(t, due(wanted))
	for name, i := range map[string]*db.Interview{
		"already sent": sent, "refused": refused, "begun": begun, "not wanted": mailed(false, time.Hour), "too late": mailed(true, -time.Second),
	} {
		require.False(t, due(i), name)
	}
	l, _, err := db.LoadInviteLetter(b.ctx, b, wanted.ID)
	require.NoError(t, err)
	require.Equal(t, "Acme", l.Company)
	require.Equal(t, "ada@mail.test", *l.Email)
	require.Equal(t, "Engineer", *l.JobTitle)
	require.ErrorIs(t, db.InviteMailed(b.ctx, b, pg.NewID(), ""), pg.ErrNotFound)
}

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

package db_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/db"
	"greenroom/db/pg"
)

func TestInviteLetter(t *testing.T) {
	t.Parallel()
	b := setup(t)
	job := b.position("Engineer", "")
	mailed := func(flag bool, deadline time.Duration) *db.Interview {
		c, at := b.candidate("Ada", "Byron", "ada@mail.test"), time.Now().Add(deadline).UTC()
		i := b.interviewOf(c, b.agent(db.Online), &job.ID)
		b.exec("UPDATE interviews SET invite_mail = ?, deadline_at = ? WHERE id = ?", flag, at, i.ID)
		return i
	}
	due := func(i *db.Interview) bool {
		l, found, err := db.LoadInviteLetter(b.ctx, b, i.ID)
		require.NoError(t, err)
		require.Equal(t, found, l != nil)
		return found
	}
	wanted, sent := mailed(true, time.Hour), mailed(true, time.Hour)
	refused, begun := mailed(true, time.Hour), mailed(true, time.Hour)
	require.NoError(t, db.InviteMailed(b.ctx, b, sent.ID, ""))
	require.NoError(t, db.InviteMailed(b.ctx, b, refused.ID, "550 no such mailbox"))
	b.tx(func(tx bun.Tx) error { _, err := db.StartInterview(b.ctx, tx, begun.ID); return err })
	require.True(t, due(wanted))
	for name, i := range map[string]*db.Interview{
		"already sent": sent, "refused": refused, "begun": begun,
		"not wanted": mailed(false, time.Hour), "too late": mailed(true, -time.Second),
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

package db_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/db"
	"greenroom/db/delivery"
)

func (b *bundle) due(r delivery.Reconciled) map[uuid.UUID]delivery.Due {
	b.t.Helper()
	due, err := delivery.LookForDue(b.ctx, b, r, time.Minute, 100)
	require.NoError(b.t, err)
	byID := map[uuid.UUID]delivery.Due{}
	for _, d := range due {
		byID[d.ID] = d
	}
	require.Len(b.t, byID, len(due))
	return byID
}

// looked notes that all that is due was looked at, so that nothing is.
func (b *bundle) looked(r delivery.Reconciled) {
	b.t.Helper()
	due, err := delivery.LookForDue(b.ctx, b, r, time.Minute, 100)
	require.NoError(b.t, err)
	require.NotEmpty(b.t, due)
	require.NoError(b.t, delivery.NoteLooked(b.ctx, b, r, due))
	require.Empty(b.t, b.due(r))
}

// looksWithinAMinute: what needs its workflow at any time has one again within a minute after it was lost, however
// old the row is.
func (b *bundle) looksWithinAMinute(table string, id uuid.UUID) {
	b.t.Helper()
	var soon bool
	require.NoError(
		b.t,
		b.NewRaw("SELECT reconcile_at < now() + interval '31 seconds' FROM ? WHERE id = ?", bun.Ident(table), id).
			Scan(b.ctx, &soon),
	)
	require.True(b.t, soon)
}

func TestInterviewsThatAreDue(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const past, future = "now() - interval '2 minutes'", "now() + interval '1 hour'"
	cases := map[string]struct {
		kind            db.InterviewType
		set, call       string
		overdue, needed bool
		none            bool
	}{
		"a call to be placed": {
			kind:    db.Phone,
			set:     "scheduled_at = " + past,
			call:    "scheduled_at = " + past,
			overdue: true,
		},
		"a call of tomorrow": {kind: db.Phone, set: "scheduled_at = " + future, none: true},
		"a call that rings":  {kind: db.Phone, set: "scheduled_at = " + past, call: "placed_at = " + past},
		"a call that rang too long": {
			kind:    db.Phone,
			set:     "scheduled_at = " + past,
			call:    "placed_at = now() - interval '5 hours'",
			overdue: true,
		},
		"nobody answered": {
			kind:    db.Phone,
			set:     "scheduled_at = " + past,
			call:    "status = 'FAILED', reason_code = 'NO_ANSWER', updated_at = " + past,
			overdue: true,
		},
		"no call to come":             {kind: db.Phone, set: "scheduled_at = " + past, call: "status = 'CANCELLED'"},
		"an invitation that ran out":  {kind: db.Online, set: "deadline_at = " + past, overdue: true},
		"an invitation that stands":   {kind: db.Online, set: "deadline_at = " + future, none: true},
		"an invitation without limit": {kind: db.Online, set: "deadline_at = NULL", none: true},
		"an invitation to be mailed": {
			kind:   db.Online,
			set:    "invite_mail = true, deadline_at = " + future + ", created_at = now() - interval '5 hours'",
			needed: true,
		},
		"an interview under way": {kind: db.Online, set: "status = 'IN_PROGRESS', started_at = " + past},
		"an interview that went on": {
			kind:    db.Online,
			set:     "status = 'IN_PROGRESS', started_at = now() - interval '5 hours'",
			overdue: true,
		},
		"an analysis to be asked for": {
			kind:   db.Online,
			set:    "status = 'COMPLETED', analysis_status = 'PENDING', finished_at = " + past + ", analysis_due_at = " + future,
			needed: true,
		},
		"an analysis that is too late": {
			kind:    db.Online,
			set:     "status = 'COMPLETED', analysis_status = 'PENDING', finished_at = " + past + ", analysis_due_at = " + past,
			needed:  true,
			overdue: true,
		},
		"analysed": {
			kind: db.Online,
			set:  "status = 'COMPLETED', analysis_status = 'COMPLETED', finished_at = " + past,
			none: true,
		},
		"canceled": {kind: db.Phone, set: "status = 'CANCELED', scheduled_at = " + past, none: true},
	}
	ids := map[string]uuid.UUID{}
	for name, c := range cases {
		i := b.interview(c.kind)
		ids[name] = i.ID
		b.exec("UPDATE interviews SET "+c.set+" WHERE id = ?", i.ID)
		if c.call != "" {
			b.exec("UPDATE call_attempts SET "+c.call+" WHERE interview_id = ?", i.ID)
		}
	}
	due := b.due(db.ReconciledInterviews)
	for name, c := range cases {
		d, found := due[ids[name]]
		require.Equal(t, !c.none, found, name)
		require.Equal(t, c.overdue, d.Overdue, name)
		require.Equal(t, c.needed, d.Needed, name)
	}
	b.looked(db.ReconciledInterviews)
	b.looksWithinAMinute("interviews", ids["an invitation to be mailed"])
}

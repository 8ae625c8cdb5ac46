package aiinterviews_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/api/apitest"
	"greenroom/db"
)

// One person who is invited at the same time here and in the positions API is one candidate.
func TestInvite_on_two_surfaces_at_once(t *testing.T) {
	t.Parallel()
	b := setup(t)
	jobs := []*db.Job{b.job, b.newJob("Cook")} // invitations to one job alone wait for each other at the job
	calls := make(chan apitest.Response, 12)
	for i := range cap(calls) {
		go func() {
			if i%2 == 0 {
				calls <- b.post(path("/invite"), b.invitation(object{"candidate_email": "ADA@mail.test", "ai_interview_id": jobs[i/2%2].Number}))
				return
			}
			calls <- b.Do(http.MethodPost, "/api/app/positions/"+jobs[i/2%2].ID.String()+"/candidates", object{"name": "Ada King", "email": "ada@mail.test"})
		}()
	}
	for range cap(calls) {
		r := <-calls
		require.Contains(t, []int{http.StatusOK, http.StatusCreated}, r.Status, "%s", r.Body)
	}
	for table, want := range map[string]int64{"candidates": 1, "agents": 2, "candidate_jobs": 2} {
		n, err := b.NewSelect().Table(table).Count(b.Ctx)
		require.NoError(t, err)
		require.Equal(t, want, n, table)
	}
}

// Settings are written while candidates are invited and begin: there is no deadlock, every webhook is as its set says,
// and every start is sent once.
func TestSettings_while_interviews_go_on(t *testing.T) {
	t.Parallel()
	b := setup(t)
	jobs := []*db.Job{b.job, b.newJob("Cook")}
	b.post(settings, seed)
	const writers, rounds = 4, 6
	var all sync.WaitGroup
	answers := make(chan apitest.Response, writers*rounds*4)
	for w := range writers {
		all.Go(func() {
			for n := range rounds {
				target := fmt.Sprintf(
					`{"webhooks":{"start":{"status":true,"url":"https://example.com/%d/%d"}},"updateAll":%t}`,
					w,
					n,
					n%2 == 0,
				)
				answers <- b.post(settings, target)
				answers <- b.Do(http.MethodPut, path("/settings/webhooks/%d", jobs[w%2].Number), target)
			}
		})
		all.Go(func() {
			for n := range rounds {
				answers <- b.post(path("/settings/general"), object{"general": object{"duration": object{"max": 10 + n}}, "updateAll": true})
				r := b.post(path("/invite"), b.invitation(object{
					"ai_interview_id": jobs[n%2].Number, "candidate_email": fmt.Sprintf("c%d@mail.test", n),
				}))
				link, _ := r.Is(http.StatusOK)["invite_link"].(string)
				answers <- b.As("", http.MethodPost, strings.TrimPrefix(link, "https://greenroom.test")+"/start", nil)
			}
		})
	}
	all.Wait()
	close(answers)
	for r := range answers {
		require.Equal(t, http.StatusOK, r.Status, "%s", r.Body)
	}
	var torn, told, started int
	require.NoError(t, b.NewRaw(`SELECT count(*) FROM webhooks w JOIN webhook_sets s ON s.id = w.set_id
		WHERE w.deleted_at IS NULL AND w.events @> ARRAY['interview.started'] AND w.url <> s.start_url`).Scan(b.Ctx, &torn))
	require.Zero(t, torn)
	require.NoError(t, b.NewRaw("SELECT count(*) FROM interviews WHERE started_at IS NOT NULL").Scan(b.Ctx, &started))
	require.NoError(
		t,
		b.NewRaw("SELECT count(*) FROM deliveries WHERE event_type = 'interview.started'").Scan(b.Ctx, &told),
	)
	require.Equal(t, []int{writers * rounds, writers * rounds}, []int{started, told})
}

// awaitLock returns when a session waits for a lock.
func (b *bundle) awaitLock() {
	b.T.Helper()
	require.Eventually(b.T, func() bool {
		var waits bool
		err := b.NewRaw("SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')").
			Scan(b.Ctx, &waits)
		return err == nil && waits
	}, 10*time.Second, 5*time.Millisecond)
}

// An AI interview that comes about while all are given settings is given them too.
func TestSettings_for_all_wait_for_what_is_being_made(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := &db.Job{CompanyID: b.Company, Title: "Made meanwhile"}
	answer := make(chan apitest.Response, 1)
	b.Tx(func(tx bun.Tx) error {
		if err := db.CreateJob(b.Ctx, tx, p); err != nil {
			return err
		}
		go func() { answer <- b.post(settings, seed) }()
		b.awaitLock()
		return nil
	})
	(<-answer).Is(http.StatusOK)
	require.JSONEq(t, seedAnswer, string(b.get(path("/settings/webhooks/%d", p.Number)).Body))
}

// An AI interview that is deleted during an invitation gets no candidate, and the invitation is not used up.
func TestInvite_to_a_deleted_interview(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec("UPDATE companies SET invites_left = 1 WHERE id = ?", b.Company)
	answer := make(chan apitest.Response, 1)
	b.Tx(func(tx bun.Tx) error {
		if err := db.DeleteJob(b.Ctx, tx, b.job.ID); err != nil {
			return err
		}
		go func() { answer <- b.post(path("/invite"), b.invitation(nil)) }()
		b.awaitLock()
		return nil
	})
	b.fails(<-answer, http.StatusNotFound, fmt.Sprintf("AI interview with ID %d not found", b.job.Number))
	var left int
	require.NoError(t, b.NewRaw("SELECT invites_left FROM companies WHERE id = ?", b.Company).Scan(b.Ctx, &left))
	require.Equal(t, 1, left)
}

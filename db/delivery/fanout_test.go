package delivery_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"

	"greenroom/db/catalog"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// anotherCompany adds a company without webhooks.
func (b *bundle) anotherCompany() uuid.UUID {
	b.t.Helper()
	id := pg.NewID()
	b.exec("INSERT INTO companies (id, name) VALUES (?, 'Other')", id)
	return id
}

// hooks adds n webhooks of the company for an event type.
func (b *bundle) hooks(n int, eventType string) {
	b.t.Helper()
	b.exec(`INSERT INTO webhooks (id, company_id, owner_company_id, profile, url, events, max_retries, timeout_ms, secret)
		SELECT uuid_v7(), ?0, ?0, 'standard', 'https://x.test', ARRAY[?1], 3, 1000, '' FROM generate_series(1, ?2)`,
		b.company, eventType, n)
}

// filterHooks gives all webhooks for job.created a filter of n conditions that nothing matches.
func (b *bundle) filterHooks(n int) {
	b.t.Helper()
	conditions := make([]string, n)
	for i := range conditions {
		conditions[i] = fmt.Sprintf(`{"data": {"field%d": "no"}}`, i)
	}
	path, err := delivery.CompileFilter(json.RawMessage(`{"$or": [` + strings.Join(conditions, ", ") + `]}`))
	require.NoError(b.t, err)
	b.exec(
		"UPDATE webhooks SET filter_path = ?::jsonpath WHERE events = ?",
		path,
		pgdialect.Array([]string{catalog.JobCreated}),
	)
}

// withText gives an event a text of so many bytes.
func withText(bytes int) func(*delivery.Submission) {
	return func(s *delivery.Submission) {
		s.Events[0].Data = json.RawMessage(`{"text": "` + strings.Repeat("x", bytes) + `"}`)
	}
}

// of makes the events of a submission n events of that company and of the type job.created.
func of(company uuid.UUID, n int) func(*delivery.Submission) {
	return func(s *delivery.Submission) {
		s.Events = nil
		for range n {
			s.Events = append(s.Events, &delivery.Event{CompanyID: &company, Type: catalog.JobCreated, Data: []byte("{}")})
		}
	}
}

func (b *groupBundle) large(running, waiting int) {
	b.t.Helper()
	b.until(func() bool {
		r, w := b.Large()
		return r == running && w == waiting
	})
}

// finished requires all events of a submission to be stored with so many deliveries each.
func (b *groupBundle) finished(c <-chan answer, deliveries int) {
	b.t.Helper()
	a := <-c
	require.NoError(b.t, a.err)
	require.Equal(b.t, deliveries, a.deliveries)
	require.True(b.t, b.stored(a.event))
}

func TestLargeSubmissionsDoNotShareGroups(t *testing.T) {
	t.Parallel()
	t.Run("of_many_events", func(t *testing.T) {
		t.Parallel()
		b := groupSetup(t)
		second, third := b.anotherCompany(), b.anotherCompany()
		release := b.slowly()
		var large []<-chan answer
		for i, company := range []uuid.UUID{b.company, b.company, second, third} {
			large = append(large, b.start(b.ctx, of(company, 300)))
			b.large([]int{1, 1, 2, 2}[i], []int{0, 1, 1, 2}[i])
		}
		for range 10 {
			b.ok(b.start(b.ctx)) // also of the company whose large submissions wait
		}
		b.large(2, 2)
		release()
		for _, c := range large {
			b.finished(c, 0)
		}
		b.large(0, 0)
		require.Equal(t, []int{300, 300, 300, 300}, b.commits()[:4])
	})
	t.Run("of_an_event_that_is_known_to_have_many_deliveries", func(t *testing.T) {
		t.Parallel()
		b := groupSetup(t)
		b.hooks(101, catalog.JobCreated)
		b.finished(b.start(b.ctx, jobCreated), 101)
		release := b.slowly()
		wide := []<-chan answer{b.start(b.ctx, jobCreated), b.start(b.ctx, jobCreated)}
		b.large(1, 1)
		b.ok(b.start(b.ctx), b.start(b.ctx))
		release()
		for _, c := range wide {
			b.finished(c, 101)
		}
	})
	t.Run("of_some_events_that_have_many_deliveries", func(t *testing.T) {
		t.Parallel()
		b := groupSetup(t)
		b.hooks(60, catalog.JobCreated)
		release := b.slowly()
		wide := b.start(b.ctx, of(b.company, 2))
		b.large(1, 0)
		b.ok(b.start(b.ctx))
		release()
		b.finished(wide, 60)
	})
	t.Run("of_much_data_with_filters", func(t *testing.T) {
		t.Parallel()
		b := groupSetup(t)
		b.hooks(20, catalog.JobCreated)
		b.filterHooks(10)
		release := b.slowly()
		long := b.start(b.ctx, jobCreated, withText(8<<10))
		b.large(1, 0)
		b.ok(b.start(b.ctx))
		release()
		b.finished(long, 0)
	})
	t.Run("of_little_data_with_filters_that_were_slow", func(t *testing.T) {
		t.Parallel()
		b := groupSetup(t)
		b.hooks(60, catalog.JobCreated)
		b.filterHooks(20)
		release := b.slowly()
		first := b.start(b.ctx, jobCreated, withText(1<<10))
		b.until(func() bool { return b.blocked() == 1 })
		b.large(0, 0)
		time.Sleep(300 * time.Millisecond) // more than slowGroup
		release()
		b.finished(first, 0)
		b.exec("DROP TRIGGER wait ON events; DROP FUNCTION wait_for_7")
		release = b.slowly()
		second := b.start(b.ctx, jobCreated, withText(1<<10))
		b.large(1, 0)
		b.ok(b.start(b.ctx))
		release()
		b.finished(second, 0)
	})
	t.Run("nor_wait_for_too_long", func(t *testing.T) {
		t.Parallel()
		b := groupSetup(t)
		b.SetLargeWait(-time.Second)
		a := <-b.start(b.ctx, of(b.company, 300))
		require.ErrorIs(t, a.err, context.DeadlineExceeded)
		require.False(t, b.stored(a.event))
		b.large(0, 0)
		b.ok(b.start(b.ctx))
	})
	t.Run("all_events_or_none", func(t *testing.T) {
		t.Parallel()
		b := groupSetup(t)
		apiKey := pg.NewID()
		a := <-b.start(b.ctx, of(b.company, 300), once(apiKey, "k"), func(s *delivery.Submission) {
			s.Events[299].Data = []byte("{\x00}")
		})
		require.ErrorContains(t, a.err, "22021")
		require.Zero(t, b.number("SELECT count(*) FROM events"))
		b.requireAnswer(apiKey, "k", <-b.start(b.ctx, of(b.company, 300), once(apiKey, "k")))
		require.Equal(t, []int{300}, b.commits())
	})
}

func TestGroupsAreBoundedInDeliveries(t *testing.T) {
	t.Parallel()
	b := groupSetup(t)
	b.hooks(50, catalog.JobCreated)
	var waiting []<-chan answer
	stuck := b.held(func() {
		for range 60 {
			waiting = append(waiting, b.start(b.ctx, jobCreated))
		}
		b.until(func() bool { return b.Waiting() == 60 })
	})
	b.ok(stuck...)
	for _, c := range waiting {
		b.finished(c, 50)
	}
	require.LessOrEqual(t, b.commits()[0], 20, "20 times 50 deliveries")
}

// TestEstimateEqualsDeliveries: the look-up finds the webhooks that get a delivery.
func TestEstimateEqualsDeliveries(t *testing.T) {
	t.Parallel()
	b := groupSetup(t)
	b.hooks(3, catalog.JobCreated)
	other := b.anotherCompany()
	set := func(change string) {
		b.exec("UPDATE webhooks SET "+change+" WHERE id = ?", b.webhook(catalog.JobCreated, catalog.InterviewStarted).ID)
	}
	for _, change := range []string{
		"company_id = NULL", "company_id = NULL, owner_company_id = NULL", "is_active = false", "deleted_at = now()",
		"company_id = NULL, owner_company_id = NULL, is_active = false", "events = '{ping}'",
		fmt.Sprintf("company_id = '%s', owner_company_id = '%[1]s'", other),
	} {
		set(change)
	}
	events := func() (all []*delivery.Event) {
		for _, company := range []uuid.UUID{b.company, other} {
			for _, eventType := range []string{catalog.JobCreated, catalog.InterviewStarted, catalog.InterviewCompleted} {
				all = append(all, &delivery.Event{CompanyID: &company, Type: eventType, Data: []byte("{}")})
			}
		}
		return append(all, all[0])
	}
	looked := events()
	ns, err := delivery.NewEventGroup(b.DB).Record(b.ctx, delivery.Submission{Events: events()[:6]})
	require.NoError(t, err)
	require.Equal(t, []int{5, 3, 1, 2, 2, 0}, ns)
	estimated, err := b.Estimate(b.ctx, looked)
	require.NoError(t, err)
	require.Equal(t, 5+3+1+2+2+0+5, estimated)
	require.Zero(t, b.Filtered(looked))
	b.filterHooks(10)
	again := delivery.NewEventGroup(b.DB)
	_, err = again.Estimate(b.ctx, looked)
	require.NoError(t, err)
	require.InDelta(
		t,
		3*11,
		again.Filtered([]*delivery.Event{{CompanyID: &b.company, Type: catalog.JobCreated, Data: []byte("x")}}),
		3*4,
		"each of the three reads it once, and once for each condition",
	)
}

// TestWildcards: a webhook of job.* gets all types with that first word, in each way that finds its events.
func TestWildcards(t *testing.T) {
	t.Parallel()
	b := setup(t)
	wild := b.webhook("job.*", catalog.InterviewFailed)
	both := b.webhook("job.*", catalog.JobCreated)
	for eventType, want := range map[string]int{
		catalog.JobCreated: 2, catalog.JobUpdated: 2, "job.offer.sent": 2, catalog.InterviewFailed: 1, "jobs.created": 0,
	} {
		t.Run(eventType, func(t *testing.T) {
			_, n := b.publish(eventType)
			require.Equal(t, want, n)
			estimated, err := delivery.NewEventGroup(b.DB).Estimate(b.ctx, []*delivery.Event{
				{CompanyID: &b.company, Type: eventType}, {CompanyID: &b.company, Type: eventType},
			})
			require.NoError(t, err)
			require.Equal(t, 2*want, estimated)
		})
	}
	late := b.webhook("job.*")
	require.Eventually(t, func() bool { // transactions of other tests' databases may be open
		n, _, err := delivery.CountMissed(b.ctx, b.DB, late.ID, time.Now().Add(-time.Hour))
		require.NoError(t, err)
		return n == 3
	}, time.Minute, 10*time.Millisecond)
	b.exec("UPDATE deliveries SET status = 'failed'")
	for _, w := range []*delivery.Webhook{wild, both} {
		r := &delivery.Replay{
			WebhookID: w.ID, Since: time.Now().Add(-time.Hour), Until: time.Now().Add(time.Hour),
			Statuses: []string{"failed"}, Events: []string{"job.*"},
		}
		b.tx(func(tx bun.Tx) error { return delivery.CreateReplay(b.ctx, tx, r) })
		p, err := delivery.ReplayPage(b.ctx, b, r.ID, 100)
		require.NoError(t, err)
		require.Equal(t, 3, p.Requeued)
	}
}

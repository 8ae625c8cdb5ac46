package delivery_test

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/db/catalog"
	"greenroom/db/dbtest"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// limit sets the rate limit of the bundle's webhook.
func (b *bundle) limit(rate int) {
	b.t.Helper()
	b.exec("UPDATE webhooks SET rate_limit = ? WHERE id = ?", rate, b.hook.ID)
}

// setupClock is setup with a database whose clock stands still: what the rate limits see is only what pass adds.
func setupClock(t *testing.T) *bundle {
	t.Helper()
	d, url := dbtest.NewURL(t)
	for _, q := range []string{
		"CREATE SCHEMA still", "CREATE TABLE still.clock (at timestamptz)", "INSERT INTO still.clock VALUES (now())",
		"CREATE FUNCTION still.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS 'SELECT at FROM still.clock'",
	} {
		_, err := d.ExecContext(t.Context(), q)
		require.NoError(t, err)
	}
	url += cmp.Or(map[bool]string{true: "&"}[strings.Contains(url, "?")], "?") + "search_path=still,pg_catalog,public"
	still, err := pg.Open(t.Context(), pg.Options{URL: url, Engine: true})
	require.NoError(t, err)
	t.Cleanup(func() { _ = still.Close() })
	b := &bundle{DB: still, t: t, ctx: t.Context(), company: pg.NewID()}
	b.exec("INSERT INTO companies (id, name) VALUES (?, 'Acme')", b.company)
	b.hook = b.webhook(catalog.InterviewStarted, catalog.InterviewCompleted, catalog.Ping)
	return b
}

// pass sets the clock forward.
func (b *bundle) pass(d time.Duration) {
	b.t.Helper()
	b.exec("UPDATE still.clock SET at = at + ? * interval '1 us'", d.Microseconds())
}

// deal takes tokens for the bundle's webhook.
func (b *bundle) deal(dealer uuid.UUID, room int) delivery.Deal {
	b.t.Helper()
	deals, err := delivery.DealTokens(b.ctx, b.DB, dealer, []delivery.TokenRequest{{Webhook: b.hook.ID, Room: room}})
	require.NoError(b.t, err)
	require.Len(b.t, deals, 1)
	return deals[0]
}

var tokensLapse = time.Now().Add(time.Hour)

func (b *bundle) takeDealt(deals ...delivery.Deal) (t delivery.TakeResult) {
	b.t.Helper()
	b.tx(func(tx bun.Tx) (err error) {
		t, err = delivery.TakeDealt(b.ctx, tx, deals, tokensLapse, false)
		return err
	})
	return t
}

func (b *bundle) token(rate int, turn *time.Time) delivery.Token {
	b.t.Helper()
	token, err := delivery.TakeToken(b.ctx, b.DB, b.hook.ID, rate, turn)
	require.NoError(b.t, err)
	return token
}

func (b *bundle) publishMany(n int) {
	b.t.Helper()
	for range n {
		b.publish(catalog.InterviewStarted)
	}
}

func TestDealTokens(t *testing.T) {
	t.Parallel()
	t.Run("as_many_as_the_limit_allows", func(t *testing.T) {
		t.Parallel()
		b, me := setupClock(t), uuid.New()
		b.limit(10)
		b.publishMany(20)
		other := b.webhook(catalog.InterviewStarted)
		b.publishMany(1)
		taken := b.takeWith(tenOfEach)
		require.Len(t, taken.Ready, 1)
		require.Equal(t, other.ID, taken.Ready[0].WebhookID)
		require.Equal(t, 1, taken.Taken)
		require.Equal(t, []delivery.LimitedWebhook{{ID: b.hook.ID}}, taken.Limited, "its deliveries need tokens")

		d := b.deal(me, 500)
		require.Len(t, d.Queued, 5, "half a second's worth")
		require.True(t, d.Left)
		require.InDelta(t, 0.1, d.Next.Seconds(), 0.01)
		require.Equal(t, 21, b.number("SELECT count(*) FROM delivery_queue"), "nothing is taken yet")
		got := b.takeDealt(d)
		require.Len(t, got.Ready, 5)
		require.Equal(t, tokensLapse, got.Ready[0].TokenUntil)
		require.Equal(t, 10, got.Ready[0].RateLimit)

		require.Empty(t, b.deal(me, 500).Queued)
		b.pass(300 * time.Millisecond)
		require.Len(t, b.deal(me, 500).Queued, 3)
		b.pass(time.Hour)
		require.Len(t, b.deal(me, 2).Queued, 2, "the room of the endpoint")
		require.Len(t, b.deal(me, 500).Queued, 3, "tokens without room stay")
	})
	t.Run("no_more_than_wait", func(t *testing.T) {
		t.Parallel()
		b, me := setupClock(t), uuid.New()
		b.limit(10)
		b.publishMany(2)
		d := b.deal(me, 500)
		require.Len(t, d.Queued, 2)
		require.False(t, d.Left)
		require.Len(t, b.takeDealt(d).Ready, 2)
		b.publishMany(5)
		require.Len(t, b.deal(me, 500).Queued, 3)
	})
	t.Run("a_slow_rate", func(t *testing.T) {
		t.Parallel()
		b, me := setupClock(t), uuid.New()
		b.limit(1)
		b.publishMany(3)
		require.Len(t, b.deal(me, 500).Queued, 1)
		d := b.deal(me, 500)
		require.Empty(t, d.Queued)
		require.InDelta(t, 1, d.Next.Seconds(), 0.1)
		b.pass(time.Second)
		require.Len(t, b.deal(me, 500).Queued, 1)
	})
	t.Run("one_dispatcher_at_a_time", func(t *testing.T) {
		t.Parallel()
		b, me, other := setupClock(t), uuid.New(), uuid.New()
		b.limit(10)
		b.publishMany(20)
		require.Len(t, b.deal(me, 2).Queued, 2)
		refused := b.deal(other, 500)
		require.Empty(t, refused.Queued)
		require.True(t, refused.Left)
		require.InDelta(t, 3, refused.Next.Seconds(), 0.2)
		b.pass(3100 * time.Millisecond)
		require.Len(t, b.deal(other, 500).Queued, 5, "the first one was killed")
		require.Empty(t, b.deal(me, 500).Queued)
	})
	t.Run("companies_in_turn", func(t *testing.T) {
		t.Parallel()
		b, me := setupClock(t), uuid.New()
		b.limit(4) // two tokens are kept
		companies := []uuid.UUID{uuid.Nil, b.company, pg.NewID(), pg.NewID(), pg.NewID()}
		for _, c := range companies {
			b.exec(`INSERT INTO delivery_queue (webhook_id, company_id, delivery_id)
				SELECT ?, ?, uuid_v7() FROM generate_series(1, 3)`, b.hook.ID, c)
		}
		var got []uuid.UUID
		for range 5 {
			d := b.deal(me, 500)
			require.Len(t, d.Queued, 2)
			for _, k := range d.Queued {
				got = append(got, k.Flow.Company)
				b.exec("DELETE FROM delivery_queue WHERE delivery_id = ?", k.Delivery)
			}
			b.pass(time.Second)
		}
		slices.SortFunc(companies, func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) })
		require.Equal(t, companies, got[:5])
		counts := map[uuid.UUID]int{}
		for _, c := range got {
			counts[c]++
		}
		for _, c := range companies {
			require.GreaterOrEqual(t, counts[c], 1)
		}
	})
	t.Run("later_attempts_need_no_token_here", func(t *testing.T) {
		t.Parallel()
		b, me := setupClock(t), uuid.New()
		b.limit(10)
		b.publishMany(8)
		b.exec(`UPDATE delivery_queue SET attempt = 2 WHERE delivery_id IN (
			SELECT delivery_id FROM delivery_queue ORDER BY 1 LIMIT 3)`)
		d := b.deal(me, 500)
		require.Len(t, d.Queued, 5)
		ready := b.takeDealt(d).Ready
		for i, q := range ready {
			require.Equal(t, i >= 3, !q.TokenUntil.IsZero())
		}
		require.Len(t, b.deal(me, 500).Queued, 3, "two tokens were used")
	})
	t.Run("a_locked_row_stops_no_other", func(t *testing.T) {
		t.Parallel()
		b, me := setupClock(t), uuid.New()
		other := b.webhook(catalog.InterviewStarted)
		b.exec("UPDATE webhooks SET rate_limit = 10")
		b.publishMany(1)
		b.deal(me, 0)
		locker, err := b.BeginTx(b.ctx, nil)
		require.NoError(t, err)
		defer func() { _ = locker.Rollback() }()
		_, err = locker.ExecContext(b.ctx, "SELECT FROM webhook_rates FOR UPDATE")
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(b.ctx, 10*time.Second)
		defer cancel()
		deals, err := delivery.DealTokens(ctx, b.DB, me, []delivery.TokenRequest{
			{Webhook: b.hook.ID, Room: 9}, {Webhook: other.ID, Room: 9},
		})
		require.NoError(t, err)
		require.Len(t, deals, 1)
		require.Equal(t, other.ID, deals[0].Webhook)
		token, err := delivery.TakeToken(ctx, b.DB, b.hook.ID, 10, nil)
		require.NoError(t, err)
		require.False(t, token.Granted)
		require.LessOrEqual(t, token.Wait, 300*time.Millisecond)
	})
	t.Run("a_changed_limit_acts_at_once", func(t *testing.T) {
		t.Parallel()
		b, me := setupClock(t), uuid.New()
		b.limit(10)
		b.publishMany(100)
		require.Len(t, b.deal(me, 500).Queued, 5)
		b.limit(2)
		require.Empty(t, b.deal(me, 500).Queued)
		b.limit(100)
		require.Empty(t, b.deal(me, 500).Queued, "the tokens are used up")
		b.pass(100 * time.Millisecond)
		require.Len(t, b.deal(me, 500).Queued, 10)
		b.limit(0)
		deals, err := delivery.DealTokens(b.ctx, b.DB, me, []delivery.TokenRequest{{Webhook: b.hook.ID, Room: 9}})
		require.NoError(t, err)
		require.Empty(t, deals)
		require.Len(t, b.take(), 10, "it is taken as any other")
	})
	t.Run("a_blocked_webhook_needs_no_tokens", func(t *testing.T) {
		t.Parallel()
		b := setupClock(t)
		b.limit(1)
		b.publishMany(5)
		b.block()
		got := b.takeWith(tenOfEach)
		require.Empty(t, got.Limited)
		require.Equal(t, 5, got.Taken)
		require.Equal(t, 5, b.number("SELECT count(*) FROM deliveries WHERE status = 'paused'"))
	})
}

func TestTakeTokenInTurn(t *testing.T) {
	t.Parallel()
	t.Run("turns_follow_each_other", func(t *testing.T) {
		t.Parallel()
		b := setupClock(t)
		b.limit(10)
		for range 5 {
			require.True(t, b.token(10, nil).Granted)
		}
		var turns []*time.Time
		for i := range 10 {
			w := b.token(10, nil)
			require.False(t, w.Granted)
			require.Equal(t, time.Duration(i+1)*100*time.Millisecond, w.Wait)
			turns = append(turns, w.Turn)
		}
		b.pass(900 * time.Millisecond)
		require.False(t, b.token(10, nil).Granted, "the others come first")
		for i := range turns {
			require.Equal(t, i < 5, b.token(10, turns[i]).Granted, "at their turn; no more than half a second's worth")
		}
	})
	t.Run("asks_again_in_time_for_another_limit", func(t *testing.T) {
		t.Parallel()
		b := setupClock(t)
		b.limit(1)
		b.token(1, nil)
		var w delivery.Token
		for range 120 {
			w = b.token(1, nil)
		}
		require.Equal(t, 6*time.Second, w.Wait, "of two minutes")
		for range 5 {
			require.Equal(t, w, b.token(1, w.Turn))
		}
		b.pass(time.Second)
		b.limit(10)
		require.True(t, b.token(10, w.Turn).Granted, "the turn under the old limit is void")
	})
	t.Run("half_of_the_rate_each", func(t *testing.T) {
		t.Parallel()
		b, me := setupClock(t), uuid.New()
		b.limit(10)
		b.publishMany(60)
		require.Len(t, b.deal(me, 500).Queued, 5)
		first := b.token(10, nil)
		second := b.token(10, nil)
		require.InDelta(t, 0.2, second.Turn.Sub(*first.Turn).Seconds(), 0.01, "first attempts wait too")
		for range 20 {
			b.token(10, nil)
		}
		b.pass(400 * time.Millisecond)
		d := b.deal(me, 500)
		require.Len(t, d.Queued, 2, "of four")
		require.True(t, d.Left)
		require.InDelta(t, 0.2, d.Next.Seconds(), 0.01)
		require.True(t, b.token(10, first.Turn).Granted, "a token is left for the one whose turn it is")
		require.Empty(t, b.deal(me, 500).Queued)
	})
}

// TestAttemptsKeepToTheLimit has dispatchers and attempts of several workers take tokens as fast as they can.
func TestAttemptsKeepToTheLimit(t *testing.T) {
	t.Parallel()
	const rate, runs = 40, 4 * time.Second
	b := setup(t)
	b.limit(rate)
	b.exec(`INSERT INTO delivery_queue (webhook_id, company_id, delivery_id)
		SELECT ?, ?, uuid_v7() FROM generate_series(1, 1000)`, b.hook.ID, b.company)
	var mu sync.Mutex
	var at []time.Time
	dealt, granted := 0, 0
	note := func(n int, count *int) {
		mu.Lock()
		defer mu.Unlock()
		*count += n
		for range n {
			at = append(at, time.Now())
		}
	}
	ctx, cancel := context.WithTimeout(b.ctx, runs)
	defer cancel()
	var wg sync.WaitGroup
	for range 3 { // dispatchers
		wg.Go(func() {
			me := uuid.New()
			for ctx.Err() == nil {
				deals, err := delivery.DealTokens(b.ctx, b.DB, me, []delivery.TokenRequest{{Webhook: b.hook.ID, Room: 9}})
				require.NoError(t, err)
				for _, d := range deals {
					note(len(d.Queued), &dealt)
				}
				time.Sleep(5 * time.Millisecond)
			}
		})
	}
	for range 30 { // attempts
		wg.Go(func() {
			var turn *time.Time
			for ctx.Err() == nil {
				token, err := delivery.TakeToken(b.ctx, b.DB, b.hook.ID, rate, turn)
				require.NoError(t, err)
				if turn = token.Turn; token.Granted {
					note(1, &granted)
				} else {
					time.Sleep(token.Wait)
				}
			}
		})
	}
	wg.Wait()
	slices.SortFunc(at, time.Time.Compare)
	took := at[len(at)-1].Sub(at[0]).Seconds()
	t.Logf("%d dealt, %d granted in %.2f s", dealt, granted, took)
	for i := range at { // over any window; the answers of the database arrive a little apart
		for j := i; j < len(at); j++ {
			window := at[j].Sub(at[i]).Seconds() + 0.1
			require.LessOrEqual(t, j-i+1, int(rate*window+rate/2)+1)
		}
	}
	require.Greater(t, len(at), int(rate*took/2), "the tokens are used")
	require.Greater(t, dealt, granted/4)
	require.Greater(t, granted, dealt/4)
}

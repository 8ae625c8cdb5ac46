package delivery_test

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/db/delivery"
	"greenroom/db/pg"
)

func TestReadNewest(t *testing.T) {
	t.Parallel()
	b := setup(t)
	foreign := uuid.Must(uuid.NewV7())
	_, err := b.ExecContext(b.ctx, "INSERT INTO companies (id, name) VALUES (?, 'Other')", foreign)
	require.NoError(t, err)
	store := func(company *uuid.UUID, eventType string, data string) uuid.UUID {
		t.Helper()
		e := &delivery.Event{CompanyID: company, Type: eventType, Data: []byte(data)}
		b.tx(func(tx bun.Tx) error { _, err := delivery.RecordEvent(b.ctx, tx, e); return err })
		return e.ID
	}
	var mine []uuid.UUID
	for range 5 {
		mine = append(mine, store(&b.company, "job.created", "{}"))
		store(&foreign, "job.created", "{}")
	}
	mine = append(mine, store(&b.company, "interview.started", "{}"))
	slices.Reverse(mine)
	read := func(q delivery.NewestQuery) (ids []uuid.UUID) {
		t.Helper()
		for {
			p, err := delivery.ReadNewest(b.ctx, b.DB, q)
			require.NoError(t, err)
			require.LessOrEqual(t, len(p.Events), q.Limit)
			for _, e := range p.Events {
				ids = append(ids, e.ID)
			}
			if q.Before = p.Next; p.Next == uuid.Nil {
				return ids
			}
		}
	}
	t.Run("is_the_feed_from_its_end", func(t *testing.T) {
		all := b.stored()
		slices.Reverse(all)
		for _, limit := range []int{1, 2, 3, 100} {
			require.Equal(t, all, read(delivery.NewestQuery{Limit: limit}))
			require.Equal(t, mine, read(delivery.NewestQuery{Company: &b.company, Limit: limit}))
		}
	})
	t.Run("by_type", func(t *testing.T) {
		require.Equal(t, mine[1:], read(delivery.NewestQuery{Company: &b.company, Types: []string{"job.*"}, Limit: 2}))
		require.Equal(t, mine[:1],
			read(delivery.NewestQuery{Company: &b.company, Types: []string{"interview.started"}, Limit: 2}))
		require.Empty(t, read(delivery.NewestQuery{Types: []string{"job.deleted"}, Limit: 2}))
	})
	t.Run("by_time", func(t *testing.T) {
		require.Empty(t, read(delivery.NewestQuery{Since: time.Now().Add(time.Hour), Limit: 2}))
		require.Empty(t, read(delivery.NewestQuery{Until: time.Now().Add(-time.Hour), Limit: 2}))
		since := pg.TimeOf(mine[2])
		got := read(delivery.NewestQuery{Company: &b.company, Since: since, Limit: 2})
		require.Equal(t, mine[:3], got[:3])
	})
	t.Run("a_place_that_is_not_its_own_is_missing", func(t *testing.T) {
		for _, q := range []delivery.NewestQuery{
			{Before: uuid.Must(uuid.NewV7()), Limit: 1},
			{Company: &foreign, Before: mine[0], Limit: 1},
		} {
			_, err := delivery.ReadNewest(b.ctx, b.DB, q)
			require.ErrorIs(t, err, pg.ErrNotFound)
		}
	})
	t.Run("ends_at_two_mebibytes", func(t *testing.T) {
		for range 4 {
			store(&b.company, "job.created", `{"x":"`+strings.Repeat("x", 1<<20-20)+`"}`)
		}
		p, err := delivery.ReadNewest(b.ctx, b.DB, delivery.NewestQuery{Company: &b.company, Limit: 100})
		require.NoError(t, err)
		require.Len(t, p.Events, 3)
		require.Equal(t, p.Events[2].ID, p.Next)
		all, err := delivery.ListNewest(b.ctx, b.DB, delivery.NewestQuery{Company: &b.company, Limit: 100})
		require.NoError(t, err)
		require.Len(t, all, 10)
		all, err = delivery.ListNewest(b.ctx, b.DB, delivery.NewestQuery{Company: &b.company, Limit: math.MaxInt})
		require.NoError(t, err)
		require.Len(t, all, 10)
	})
}

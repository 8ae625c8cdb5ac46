package db_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/db"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

func (b *bundle) eventType(name, schema string) *db.EventType {
	b.t.Helper()
	t := &db.EventType{CompanyID: b.company, Name: name, Description: "words", Schema: schema}
	b.tx(func(tx bun.Tx) error { return db.CreateEventType(b.ctx, tx, t) })
	return t
}

func (b *bundle) versions(id uuid.UUID) (out []string) {
	b.t.Helper()
	vs, total, err := db.ListEventTypeVersions(b.ctx, b, id, pg.Page{Limit: 200})
	require.NoError(b.t, err)
	require.EqualValues(b.t, len(vs), total)
	for _, v := range vs {
		out = append(out, fmt.Sprintf("%d %s", v.Version, v.Schema))
	}
	return out
}

func TestEventTypes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const schema = "{ \"type\":  \"object\" }\n"
	made := b.eventType("order.shipped", schema)

	t.Run("reads_what_was_created", func(t *testing.T) {
		got, err := db.GetEventType(b.ctx, b, b.company, "order.shipped")
		require.NoError(t, err)
		got.CreatedAt, got.UpdatedAt = got.CreatedAt.UTC(), got.UpdatedAt.UTC()
		require.Equal(t, made, got)
		require.Equal(t, 1, got.Version)
		require.Equal(t, []string{"1 " + schema}, b.versions(made.ID), "byte for byte")
	})
	t.Run("names_are_unique_in_a_company", func(t *testing.T) {
		err := pg.InTx(b.ctx, b.DB, func(ctx context.Context, tx bun.Tx) error {
			return db.CreateEventType(ctx, tx, &db.EventType{CompanyID: b.company, Name: "order.shipped", Schema: "{}"})
		})
		require.ErrorIs(t, err, pg.ErrDuplicate)
	})
	t.Run("another_company_has_its_own", func(t *testing.T) {
		other := pg.NewID()
		_, err := b.ExecContext(b.ctx, "INSERT INTO companies (id, name) VALUES (?, 'Other')", other)
		require.NoError(t, err)
		_, err = db.GetEventType(b.ctx, b, other, "order.shipped")
		require.ErrorIs(t, err, pg.ErrNotFound)
		b.tx(func(tx bun.Tx) error {
			return db.CreateEventType(
				b.ctx,
				tx,
				&db.EventType{CompanyID: other, Name: "order.shipped", Schema: `{"title":"other"}`},
			)
		})
		mine, theirs := db.EventTypeKey{
			CompanyID: b.company,
			Name:      "order.shipped",
		}, db.EventTypeKey{
			CompanyID: other,
			Name:      "order.shipped",
		}
		got, err := db.EventTypeSchemas(b.ctx, b.DB, []db.EventTypeKey{mine, theirs, {CompanyID: other, Name: "order.lost"}})
		require.NoError(t, err)
		require.Equal(t, map[db.EventTypeKey]string{mine: schema, theirs: `{"title":"other"}`}, got)
	})
	t.Run("lists_by_name", func(t *testing.T) {
		b.eventType("invoice.paid", "{}")
		got, err := db.ListEventTypes(b.ctx, b, b.company)
		require.NoError(t, err)
		require.Len(t, got, 2)
		require.Equal(t, "invoice.paid", got[0].Name)
		require.Equal(t, "order.shipped", got[1].Name)
	})
	t.Run("a_new_schema_is_a_new_version", func(t *testing.T) {
		b.tx(func(tx bun.Tx) error {
			locked, err := db.LockEventType(b.ctx, tx, b.company, "order.shipped")
			require.NoError(t, err)
			require.NoError(t, db.UpdateEventType(b.ctx, tx, locked, "other words", schema))
			require.Equal(t, 1, locked.Version, "the schema is the same")
			return db.UpdateEventType(b.ctx, tx, locked, "other words", "{}")
		})
		got, err := db.GetEventType(b.ctx, b, b.company, "order.shipped")
		require.NoError(t, err)
		require.Equal(t, 2, got.Version)
		require.Equal(t, "other words", got.Description)
		require.True(t, got.UpdatedAt.After(got.CreatedAt))
		require.Equal(t, []string{"2 {}", "1 " + schema}, b.versions(made.ID))
	})
	t.Run("deleted", func(t *testing.T) {
		b.tx(func(tx bun.Tx) error { return db.DeleteEventType(b.ctx, tx, made.ID) })
		require.ErrorIs(t, b.try(func(tx bun.Tx) error { return db.DeleteEventType(b.ctx, tx, made.ID) }), pg.ErrNotFound)
		_, err := db.GetEventType(b.ctx, b, b.company, "order.shipped")
		require.ErrorIs(t, err, pg.ErrNotFound)
		got, err := db.EventTypeSchemas(b.ctx, b.DB, []db.EventTypeKey{{CompanyID: b.company, Name: "order.shipped"}})
		require.NoError(t, err)
		require.Empty(t, got)
		require.Equal(t, 1, b.eventType("order.shipped", "{}").Version, "the name is free again")
	})
}

// TestEventTypeVersionsInARace: each change of a type sees the previous one.
func TestEventTypeVersionsInARace(t *testing.T) {
	t.Parallel()
	b := setup(t)
	made := b.eventType("order.shipped", "{}")
	var all sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		all.Go(func() {
			errs[i] = pg.InTx(b.ctx, b.DB, func(ctx context.Context, tx bun.Tx) error {
				locked, err := db.LockEventType(ctx, tx, b.company, "order.shipped")
				if err != nil {
					return err
				}
				return db.UpdateEventType(ctx, tx, locked, "", fmt.Sprintf(`{"title":"%d after %d"}`, i, locked.Version))
			})
		})
	}
	all.Wait()
	require.NoError(t, errors.Join(errs...))
	versions := b.versions(made.ID)
	require.Len(t, versions, 9)
	for i, v := range versions[:8] {
		require.Contains(t, v, fmt.Sprintf("after %d", 8-i))
	}
}

func TestEventTypeSubscribers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	mine, off := b.webhook("order.shipped", "order.lost"), b.webhook("order.shipped")
	off.IsActive = false
	b.tx(func(tx bun.Tx) error { return delivery.UpdateWebhook(b.ctx, tx, off, "is_active") })
	global := b.webhook("order.shipped")
	_, err := b.ExecContext(b.ctx, "UPDATE webhooks SET company_id = NULL WHERE id = ?", global.ID)
	require.NoError(t, err)
	gone := b.webhook("order.shipped")
	b.tx(func(tx bun.Tx) error { return delivery.DeleteWebhook(b.ctx, tx, gone.ID) })

	ids, err := db.EventTypeSubscribers(b.ctx, b, b.company, "order.shipped")
	require.NoError(t, err)
	require.Equal(t, []uuid.UUID{mine.ID, off.ID, global.ID}, ids)
	ids, err = db.EventTypeSubscribers(b.ctx, b, b.company, "order")
	require.NoError(t, err)
	require.Empty(t, ids)
	ids, err = db.EventTypeSubscribers(b.ctx, b, pg.NewID(), "order.shipped")
	require.NoError(t, err)
	require.Empty(t, ids)
}

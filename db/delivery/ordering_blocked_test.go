package delivery_test

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// TestBlockedSubjects: what else ends the wait for a delivery that blocks its subject.
func TestBlockedSubjects(t *testing.T) {
	t.Parallel()
	blocked := func(t *testing.T) (o *ordered, failed uuid.UUID) {
		t.Helper()
		o = setupOrdered(t)
		o.exec("UPDATE webhooks SET ordering_blocks = true WHERE id = ?", o.hook.ID)
		o.about("a", "a")
		taken, _ := o.next()
		o.end(taken[0], delivery.OutcomeFailed)
		_, names := o.next()
		require.Empty(t, names)
		require.NoError(t, o.NewRaw("SELECT * FROM webhooks WHERE id = ?", o.hook.ID).Scan(o.ctx, o.hook))
		return o, taken[0].DeliveryID
	}
	t.Run("its_person_is_erased", func(t *testing.T) {
		t.Parallel()
		o, failed := blocked(t)
		o.exec(`UPDATE events SET data = '{"name":"jo"}' WHERE id = (SELECT event_id FROM deliveries WHERE id = ?)`, failed)
		erasure := pg.NewID()
		o.exec(`WITH c AS (
				INSERT INTO candidates (id, company_id, first_name, last_name) VALUES (uuid_v7(), ?0, 'Jo', 'Doe') RETURNING id
			) INSERT INTO erasures (id, company_id, candidate_id, reason, needles, files)
			SELECT ?1, ?0, id, 'requested', '{}', '{}' FROM c`, o.company, erasure)
		who := delivery.Person{Patterns: []string{"%jo%"}, In: func(string) bool { return true }}
		o.tx(func(tx bun.Tx) error {
			p, err := delivery.EraseDeliveries(o.ctx, tx, erasure, o.company, uuid.Nil, who, 100)
			require.Equal(t, 1, p.Erased)
			return err
		})
		taken := o.move()
		require.Equal(t, 1, taken, "an erased delivery is not sent again, so nothing can wait for it")
		require.Zero(t, o.number("SELECT count(*) FROM line_heads WHERE delivery_id = ?", failed))
	})
	t.Run("the_webhook_has_no_ordering_any_more", func(t *testing.T) {
		t.Parallel()
		o, _ := blocked(t)
		o.hook.Ordering = nil
		o.tx(func(tx bun.Tx) error { return delivery.UpdateWebhook(o.ctx, tx, o.hook, "ordering") })
		taken, names := o.next()
		require.Equal(t, []string{"a 2"}, names)
		o.end(taken[0], delivery.OutcomeFailed)
		require.Zero(t, o.number("SELECT count(*) FROM line_heads"), "it blocks nothing")
	})
}

package api_test

import (
	"context"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/db/delivery"
	"greenroom/db/pg"
)

func TestNotifyEmail(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hook := b.made("/webhooks", object{"url": hookURL, "events": []int{0}, "notifyEmail": "team@acme.test"})
	path, company := "/webhooks/"+idOf(hook), "/companies/"+b.company.String()
	require.Equal(t, "team@acme.test", b.get(path)["notifyEmail"])
	b.do("PATCH", path, object{"name": "x"}).is(200)
	require.Equal(t, "team@acme.test", b.get(path)["notifyEmail"], "absent keeps")
	require.Nil(t, b.do("PATCH", path, object{"notifyEmail": nil}).is(200)["notifyEmail"])
	require.Nil(t, b.get(company)["notifyEmail"], "off unless it is set")
	require.Equal(
		t,
		"ops@acme.test",
		b.do("PATCH", company, object{"notifyEmail": "ops@acme.test"}).is(200)["notifyEmail"],
	)

	for _, bad := range []any{"nobody", "", "a@b.test, c@d.test", "a@b.test\r\nBcc: c@d.test", 5} {
		b.do("PATCH", path, object{"notifyEmail": bad}).fails(400, "VALIDATION_ERROR", "notifyEmail")
		b.do("PATCH", company, object{"notifyEmail": bad}).fails(400, "VALIDATION_ERROR", "notifyEmail")
	}
	b.as(b.otherKey, "PATCH", company, object{"notifyEmail": "eve@mail.test"}).fails(403, "RESOURCE_ACCESS_DENIED")

	t.Run("is_audited_by_its_domain", func(t *testing.T) {
		var texts []string
		require.NoError(t, b.NewRaw(`SELECT COALESCE("before"::text, '') || COALESCE("after"::text, '') FROM audit_log
			WHERE target_id IN (?, ?) ORDER BY id`, idOf(hook), b.company.String()).Scan(b.ctx, &texts))
		require.Len(t, texts, 4, "created, and three changes")
		require.Contains(t, texts[2], "…@acme.test")
		require.Contains(t, texts[3], "…@acme.test")
		for _, text := range texts {
			require.NotContains(t, text, "team@")
			require.NotContains(t, text, "ops@")
		}
	})
	t.Run("is_forgotten_with_the_webhook", func(t *testing.T) {
		b.do("PATCH", path, object{"notifyEmail": "team@acme.test"}).is(200)
		id := uuid.MustParse(idOf(hook))
		require.NoError(t, pg.InTx(b.ctx, b.DB, func(_ context.Context, tx bun.Tx) error {
			return delivery.DeleteWebhook(b.ctx, tx, id)
		}))
		var kept int
		require.NoError(t, b.NewRaw("SELECT count(*) FROM webhooks WHERE notify_email IS NOT NULL").Scan(b.ctx, &kept))
		require.Zero(t, kept)
	})
}

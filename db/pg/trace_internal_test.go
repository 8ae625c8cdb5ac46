package pg

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestSummary(t *testing.T) {
	t.Parallel()
	for sql, want := range map[string]string{
		`SELECT "w"."id" FROM "webhooks" AS "w" WHERE (w.id = 'x')`:                      "SELECT webhooks",
		"WITH RECURSIVE chain AS (\n SELECT k.id FROM api_keys k WHERE true) SELECT 1":   "SELECT api_keys",
		"WITH e AS (SELECT 1 FROM unnest($1::int[]) a), i AS (INSERT INTO events (id) …": "INSERT events",
		"UPDATE deliveries d SET status = 'pending' WHERE id = $1":                       "UPDATE deliveries",
		"WITH w AS (SELECT id FROM webhooks FOR UPDATE SKIP LOCKED) SELECT 1":            "SELECT webhooks",
		"DELETE FROM commands c USING (SELECT id FROM commands)":                         "DELETE commands",
		`INSERT INTO "jobs" ("id") VALUES ('x') ON CONFLICT (id) DO UPDATE SET a = 1`:    "INSERT jobs",
		"INSERT INTO delivery_streams AS s (id) VALUES ($1) ON CONFLICT DO NOTHING":      "INSERT delivery_streams",
		"BEGIN":                           "BEGIN",
		"commit;":                         "COMMIT",
		"SELECT 1":                        "SELECT",
		"SELECT pg_notify($1, $2)":        "SELECT",
		"SET LOCAL lock_timeout = 0":      "SET",
		"":                                "",
		"SELECT * FROM unnest($1::int[])": "SELECT",
	} {
		assert.Equal(t, want, summary(sql), sql)
	}
}

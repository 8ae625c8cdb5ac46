package api_test

import (
	"encoding/base64"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

func TestNewestEvents(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for range 3 {
		b.publishes(b.key, object{"of": "the company"}, "/events")
	}
	b.publishes(b.otherKey, object{"of": "the other"}, "/events")
	b.job()
	list := func(t *testing.T, key, query string) (events []object) {
		t.Helper()
		for after := ""; ; {
			var p struct {
				Data       []object `json:"data"`
				NextCursor *string  `json:"nextCursor"`
				HasMore    bool     `json:"hasMore"`
			}
			b.as(key, "GET", "/events/newest?limit=2"+query+after, nil).into(200, &p)
			require.Equal(t, p.HasMore, p.NextCursor != nil)
			if events = append(events, p.Data...); !p.HasMore {
				return events
			}
			after = "&cursor=" + *p.NextCursor
		}
	}
	t.Run("each_key_reads_its_company_and_a_platform_key_all_or_one", func(t *testing.T) {
		mine := list(t, b.key, "")
		require.Len(t, mine, 4)
		require.Equal(t, "job.created", mine[0]["type"])
		require.Equal(t, b.get("/events/"+idOf(mine[0])), mine[0], "an event as it is read by its id")
		fed := b.feed(b.key, "wait=20").Data
		slices.Reverse(fed)
		require.Equal(t, fed, mine)
		require.Equal(t, mine, list(t, b.key, "&companyId="+b.other.String()), "a company's key ignores companyId")
		require.Len(t, list(t, b.otherKey, ""), 1)
		require.Len(t, list(t, b.platformKey, ""), 5)
		require.Equal(t, mine, list(t, b.platformKey, "&companyId="+b.company.String()))
		require.Len(t, list(t, b.key, "&types=job.*,analysis.failed"), 1)
		require.Empty(t, list(t, b.key, "&since="+url.QueryEscape(time.Now().Add(time.Hour).Format(time.RFC3339))))
	})
	t.Run("a_key_without_the_scope_is_refused", func(t *testing.T) {
		key, _ := b.newKey(&b.company, "write:events")
		b.as(key, "GET", "/events/newest", nil).fails(403, "INSUFFICIENT_PERMISSIONS")
	})
	t.Run("bad_parameters_are_named", func(t *testing.T) {
		cursorOf := func(id uuid.UUID) string { return base64.RawURLEncoding.EncodeToString(id[:]) }
		foreign := list(t, b.otherKey, "")[0]
		id := uuid.MustParse(idOf(foreign))
		for query, field := range map[string]string{
			"cursor=": "cursor", "cursor=x": "cursor", "cursor=" + cursorOf(id): "cursor",
			"cursor=" + cursorOf(uuid.Must(uuid.NewV7())): "cursor", "limit=101": "limit", "types=": "types",
			"types=Nothing": "types", "since=2026": "since", "after=x": "after", "wait=1": "wait",
			"since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z": "until",
		} {
			b.do("GET", "/events/newest?"+query, nil).fails(400, "VALIDATION_ERROR", field)
		}
	})
}

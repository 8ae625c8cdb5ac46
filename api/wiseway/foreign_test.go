package wiseway_test

import (
	"net/http"
	"testing"

	"greenroom/api/apitest"
)

// TestForeignKeys: a key of another company gets nothing out of any route, and a position of its own is no way to the
// candidates of the first.
func TestForeignKeys(t *testing.T) {
	b := setup(t)
	p := b.position(object{"title": apitest.Marker, "metadata": object{"a": apitest.Marker}})
	c := b.invited(p, object{"lastName": apitest.Marker})
	w := b.Do("POST", webhooks, object{"url": "https://example.com/hook", "events": allEvents, "name": apitest.Marker}).
		Is(http.StatusCreated)
	own := b.As(b.OtherKey, "POST", positions, object{"title": "Cook"}).Is(http.StatusCreated)
	apitest.WalkForeign(t, b.Bundle, "wiseway", apitest.Foreign{
		Rows: map[string]string{
			"/api/app/positions/:id":                         idOf(p),
			"/api/app/positions/:id/candidates/:candidateId": idOf(c),
			"/api/app/webhooks/:id":                          idOf(w),
		},
		Bodies: map[string]any{"POST /api/app/positions/:id/candidates": ada()},
		Also:   []apitest.Call{{Method: "DELETE", Target: candidatesOf(own) + "/" + idOf(c)}},
	})
}

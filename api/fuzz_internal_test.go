package api

import (
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// FuzzCursor: an accepted cursor is one that cursorOf made.
func FuzzCursor(f *testing.F) {
	for _, seed := range []string{"", "AAAAAAAAAAAAAAAAAAAAAA", cursorOf(uuid.Max), cursorOf(uuid.Max) + "=", "%%"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, cursor string) {
		c, _ := gin.CreateTestContext(httptest.NewRecorder())
		c.Request = httptest.NewRequest("GET", "/?"+url.Values{"cursor": {cursor}}.Encode(), nil)
		id, err := queryCursor(c)
		if err != nil {
			require.Equal(t, uuid.Nil, id)
			return
		}
		require.NotEqual(t, uuid.Nil, id)
		require.Equal(t, cursor, cursorOf(id))
	})
}

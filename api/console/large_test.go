package console_test

import (
	"os"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestLarge measures every page on a database with a long history. GREENROOM_LARGE_DATABASE_URL names the database,
// which is filled when it has none and kept; GREENROOM_LARGE_DELIVERIES is the number of deliveries, by default ten
// million.
func TestLarge(t *testing.T) {
	address := os.Getenv("GREENROOM_LARGE_DATABASE_URL")
	if address == "" {
		t.Skip("GREENROOM_LARGE_DATABASE_URL names no database")
	}
	rows := 10_000_000
	if text := os.Getenv("GREENROOM_LARGE_DELIVERIES"); text != "" {
		var err error
		rows, err = strconv.Atoi(text)
		require.NoError(t, err)
	}
	fillLarge(t, address, rows)
}

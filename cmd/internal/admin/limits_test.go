package admin_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"greenroom/cmd/internal/admin"
)

func TestLists_refuse_a_limit_below_1(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, limit := range []int64{0, -1, math.MinInt64} {
		_, err := b.ListKeys(b.ctx, "", limit)
		require.EqualError(t, err, "--limit must be at least 1")
		_, err = b.ListDeliveries(b.ctx, admin.DeliveryQuery{Limit: limit})
		require.EqualError(t, err, "--limit must be at least 1")
	}
}

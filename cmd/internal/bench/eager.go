package bench

import (
	"context"
	"fmt"
	"log/slog"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
)

// eagerSample is the number of workflows examined.
const eagerSample = 50

// eagerShare returns the share of the trial's latest workflows that were started eagerly. A server or worker that
// cannot start eagerly falls back silently and needs two more round trips, which can explain a bad figure.
func (s *system) eagerShare(ctx context.Context) (float64, error) {
	var ids []string
	err := s.db.NewRaw(`SELECT DISTINCT workflow_id FROM (SELECT workflow_id FROM deliveries WHERE workflow_id IS NOT NULL
		ORDER BY id DESC LIMIT ?) latest`, eagerSample).Scan(ctx, &ids)
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	c, err := client.DialContext(ctx, client.Options{
		HostPort: s.stores.stack.TemporalAddress, Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler)),
	})
	if err != nil {
		return 0, fmt.Errorf("dial Temporal: %w", err)
	}
	defer c.Close()
	eager := 0
	for _, id := range ids {
		history := c.GetWorkflowHistory(ctx, id, "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
		first, err := history.Next()
		if err != nil {
			return 0, fmt.Errorf("read the history of %s: %w", id, err)
		}
		if first.GetWorkflowExecutionStartedEventAttributes().GetEagerExecutionAccepted() {
			eager++
		}
	}
	return float64(eager) / float64(len(ids)), nil
}

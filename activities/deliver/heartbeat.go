package deliver

import (
	"context"
	"time"

	"go.temporal.io/sdk/activity"
)

// HeartbeatTimeout is when Temporal gives an attempt to another worker after the one that had it died. heartbeatEvery
// leaves room for two lost heartbeats.
const (
	HeartbeatTimeout = 10 * time.Second
	heartbeatEvery   = 3 * time.Second
)

// heartbeat tells Temporal that the activity is alive, until stop is called. A local activity has no heartbeat: its
// workflow task has one.
func heartbeat(ctx context.Context) (stop func()) {
	if activity.GetInfo(ctx).IsLocalActivity {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		t := time.NewTicker(heartbeatEvery)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
				activity.RecordHeartbeat(ctx)
			}
		}
	}()
	return cancel
}

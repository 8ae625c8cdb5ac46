package deliver

import (
	"context"
	"time"

	"go.temporal.io/sdk/activity"
)

// HeartbeatTimeout is how long after a worker died Temporal gives its attempt to another. heartbeatEvery tolerates two
// lost heartbeats.
const (
	HeartbeatTimeout = 10 * time.Second
	heartbeatEvery   = 3 * time.Second
)

// heartbeat sends heartbeats until stop is called. A local activity needs none: its workflow task has one.
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

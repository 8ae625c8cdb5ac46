// Package deliver holds the delivery engine's activities: one attempt, a batch of attempts, and the writes of circuits
// and replays. The workflows decide about retries.
//
// What the receiver did is a result. An internal fault is an error, which Temporal retries.
package deliver

import (
	"log/slog"
	"time"

	"github.com/uptrace/bun"

	"greenroom/activities/inflight"
	"greenroom/activities/webhook"
	"greenroom/db/seal"
)

// Activities are the delivery engine's activities, with their dependencies. Workflows name them by a nil pointer.
type Activities struct {
	DB     *bun.DB
	Box    *seal.Box
	Client *webhook.Client
	Logger *slog.Logger

	// CircuitThreshold is the number of failed attempts in a row that opens a circuit.
	CircuitThreshold int
	// CircuitSpan is how long ago the first of them must be.
	CircuitSpan time.Duration
	// Endpoints decides how many attempts each endpoint gets.
	Endpoints *inflight.Endpoints
	// Journal and Wire bound what is sent again after a kill; nil: neither.
	Journal *Journal
	Wire    *Wire
	// Streams are the streams of this process; nil: AttemptStream only continues those of other workers.
	Streams *Streams
	// Moved, when not nil, is called after a delivery of a webhook with ordering was recorded: the next one of its subject
	// may follow.
	Moved func()
	// PublicURL begins the links in the bodies of some profiles.
	PublicURL string
	// Tracing makes the spans of attempts.
	Tracing Tracing
	// ConsoleURL begins the links to the console in the log; "": there is none.
	ConsoleURL string

	recorder recorder
	flights  flights
	known    knownHooks
}

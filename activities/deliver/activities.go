// Package deliver holds the delivery engine's activities: one attempt, a batch of attempts, and what a circuit, a
// replay and the upkeep do to rows. Decisions about retries are the workflows'.
//
// What the receiver did is a result; a fault of Greenroom's own is an error, which Temporal retries.
package deliver

import (
	"log/slog"

	"github.com/uptrace/bun"

	"greenroom/activities/inflight"
	"greenroom/activities/webhook"
	"greenroom/db/seal"
)

// Activities are the dependencies of the delivery engine's activities; workflows name them through a nil pointer of it.
type Activities struct {
	DB     *bun.DB
	Box    *seal.Box
	Client *webhook.Client
	Logger *slog.Logger

	// CircuitThreshold is the number of failed attempts in a row that opens a circuit.
	CircuitThreshold int
	// Endpoints knows what each endpoint has in flight in this process.
	Endpoints *inflight.Endpoints
	// PublicURL is where receivers reach what the bodies of some profiles link to.
	PublicURL string

	recorder recorder
	flights  flights
}

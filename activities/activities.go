// Package activities holds the side effects of the workflows: one POST to a receiver, one write of what happened, one call to
// an outside service. It knows db and activities/webhook; decisions are the workflows'.
//
// What the receiver did is a result; what we broke is an error. An activity returns an error only for the second kind, and
// Temporal's retry policy is for that alone.
package activities

import (
	"log/slog"
	"time"

	"github.com/uptrace/bun"

	"greenroom/activities/webhook"
	"greenroom/db/seal"
)

// Activities is the dependencies of all activities; workflows name them through a nil pointer of it.
type Activities struct {
	DB     *bun.DB
	Box    *seal.Box
	Client *webhook.Client
	Logger *slog.Logger

	// CircuitThreshold is the number of failed attempts in a row that opens a circuit.
	CircuitThreshold int
	// Endpoints knows what each endpoint has in flight in this process.
	Endpoints *Endpoints

	recorder recorder
	flights  flights

	// Calls, Analyser, Generator and Mail are the outside services; their URL is empty when there is none.
	Calls     Service
	Analyser  Service
	Generator Service
	Mail      MailServer
	// PublicURL is where those services reach the API's call-backs; Secret makes the tokens in them.
	PublicURL string
	Secret    []byte
	// AnalysisWithin bounds the wait for an analysis once the candidate finished.
	AnalysisWithin time.Duration
}

// Service is an outside HTTP service that Greenroom calls.
type Service struct {
	URL   string
	Token string // sent as a bearer token when set
}

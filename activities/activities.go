// Package activities holds the interview's side effects: calls, analyses, generations and mail, each one request to
// an outside service and one write of what came back. Deliveries are package deliver's.
//
// What the outside did is a result; a fault of Greenroom's own is an error, which Temporal retries.
package activities

import (
	"log/slog"
	"time"

	"github.com/uptrace/bun"

	"greenroom/activities/webhook"
	"greenroom/db/seal"
)

// Activities are the dependencies of the interview's activities; workflows name them through a nil pointer of it.
type Activities struct {
	DB     *bun.DB
	Box    *seal.Box
	Client *webhook.Client
	Logger *slog.Logger

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

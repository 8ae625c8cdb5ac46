// Package activities holds the side effects beside deliveries, which are in package deliver: the interview's calls,
// analyses, generations and mail, service runs, and mail about webhooks. Each is one request to an external service and
// one write of its answer.
//
// A service's refusal is a result. A fault that a retry may fix is an error, which Temporal retries.
package activities

import (
	"log/slog"
	"time"

	"github.com/uptrace/bun"

	"greenroom/activities/webhook"
	"greenroom/db/seal"
)

// Activities holds the dependencies of the interview's activities. Workflows name the methods through a nil pointer.
type Activities struct {
	DB     *bun.DB
	Box    *seal.Box
	Logger *slog.Logger

	// Client calls the URLs of customers. Services calls the URLs of the services below, which may be inside a private
	// network: it must be able to reach no other host.
	Client   *webhook.Client
	Services *webhook.Client

	// Calls, Analyser, Generator, Sourcing, Extractor and Mail are the external services; an empty URL means that a
	// service is not configured.
	Calls     Service
	Analyser  Service
	Generator Service
	Sourcing  Service
	Extractor Service
	Mail      MailServer
	// PublicURL is the base address of the API's callbacks; Secret signs the tokens in them.
	PublicURL string
	Secret    []byte
	// AnalysisWithin bounds the wait for an analysis after the candidate has finished.
	AnalysisWithin time.Duration

	outside outsides
}

// Service is an external HTTP service.
type Service struct {
	URL   string
	Token string // sent as a bearer token when set
}

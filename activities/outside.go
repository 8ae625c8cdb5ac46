package activities

import (
	"errors"
	"fmt"
	"sync"

	"github.com/google/uuid"

	"greenroom/activities/inflight"
)

// OutsidePlaces is how many requests to each external service a process has in progress. A request to a service that
// hangs takes a minute, so without this bound the requests of one company would take all places that a worker has for
// activities, also those of interviews, circuits and replays. All services together stay below that number (service).
const OutsidePlaces = 96

// Names of the services, in logs, errors and messages.
const (
	theCallProvider = "the call provider"
	theAnalyser     = "the analyser"
	theGenerator    = "the generator"
	theSourcing     = "the sourcing service"
	theExtractor    = "the extractor"
	theMailServer   = "the mail server"
	thePages        = "the pages of postings"
	theNotified     = "the notified receivers"
)

// errBusy means that the company's share of a service is in use. It is retryable.
var errBusy = errors.New("too many requests are in progress")

// outsides are the places of each service, divided among companies. The zero value is ready for use.
type outsides struct {
	mu sync.Mutex
	of map[string]*inflight.Shares
}

// enter takes a place for a request to a service, until leave is called.
func (o *outsides) enter(service string, company uuid.UUID) (leave func(), err error) {
	o.mu.Lock()
	if o.of == nil {
		o.of = map[string]*inflight.Shares{}
	}
	shares := o.of[service]
	if shares == nil {
		shares = inflight.NewShares(OutsidePlaces)
		o.of[service] = shares
	}
	o.mu.Unlock()
	if !shares.Take(company) {
		return nil, fmt.Errorf("%s: %w", service, errBusy)
	}
	return func() { shares.Put(company) }, nil
}

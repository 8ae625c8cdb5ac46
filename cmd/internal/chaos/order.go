package chaos

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"

	"github.com/google/uuid"

	"greenroom/db/catalog"
)

// chaosSubjects is how many subjects the events of the load are about, in turn.
const chaosSubjects = 20

// orderWitness is a webhook with ordering. Its receiver notes the order of the first arrivals: a delivery may come
// again at any time, from a process that was frozen in the middle of a request.
type orderWitness struct {
	id     uuid.UUID
	server *httptest.Server

	mu       sync.Mutex
	arrivals []uuid.UUID // deliveries, each once
	seen     map[uuid.UUID]bool
	unnamed  int // requests without a number
}

func newOrderWitness() *orderWitness {
	w := &orderWitness{seen: map[uuid.UUID]bool{}}
	w.server = httptest.NewServer(http.HandlerFunc(w.serve))
	return w
}

func (w *orderWitness) serve(answer http.ResponseWriter, req *http.Request) {
	if _, err := io.Copy(io.Discard, req.Body); err != nil {
		return // aborted: not counted
	}
	id, err := uuid.Parse(req.Header.Get("webhook-id"))
	_, numbered := strconv.ParseInt(req.Header.Get("webhook-sequence"), 10, 64)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil || numbered != nil {
		w.unnamed++
	} else if !w.seen[id] {
		w.seen[id] = true
		w.arrivals = append(w.arrivals, id)
	}
	answer.WriteHeader(http.StatusOK)
}

// OrderCheck is what a webhook with ordering got of events about chaosSubjects subjects.
type OrderCheck struct {
	Expected int `json:"expected"` // its deliveries
	// Inversions are deliveries that arrived first after one of a later event of the subject, Unnumbered requests without
	// a sequence. NotArrived did not arrive; Canceled neither, or out of order, because the operator canceled them.
	Inversions int `json:"inversions"`
	Unnumbered int `json:"unnumbered"`
	NotArrived int `json:"notArrived"`
	Canceled   int `json:"canceled"`
}

func (c *OrderCheck) broken() bool {
	return c.Inversions+c.Unnumbered+c.NotArrived > 0 || c.Expected == 0
}

// numbered is a delivery with the number of its event.
type numbered struct {
	ID       uuid.UUID
	Subject  string
	Sequence int64
}

// checkOrder compares the order of the arrivals with the sequences of the events.
func (r *run) checkOrder(ctx context.Context) (OrderCheck, error) {
	w := r.witnesses.ordered
	var all []numbered
	err := r.db.NewRaw(`SELECT d.id, e.subject, e.sequence FROM deliveries d JOIN events e ON e.id = d.event_id
		WHERE d.webhook_id = ? AND e.type = ? AND e.subject IS NOT NULL`, w.id, catalog.InterviewStarted).Scan(ctx, &all)
	if err != nil {
		return OrderCheck{}, fmt.Errorf("read the deliveries in order: %w", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	canceled := func(id uuid.UUID) bool { return r.operator.touched(r.operator.canceled, id) }
	c := orderOf(all, w.arrivals, canceled)
	c.Unnumbered = w.unnamed
	return c, nil
}

// orderOf compares deliveries with the order of their first arrivals.
func orderOf(all []numbered, arrivals []uuid.UUID, canceled func(uuid.UUID) bool) OrderCheck {
	c := OrderCheck{Expected: len(all)}
	of := make(map[uuid.UUID]numbered, len(all))
	for _, d := range all {
		of[d.ID] = d
	}
	last, arrived := map[string]int64{}, map[uuid.UUID]bool{}
	for _, id := range arrivals {
		d := of[id]
		arrived[id] = true
		switch {
		case canceled(id):
			c.Canceled++
		case d.Sequence < last[d.Subject]:
			c.Inversions++
		default:
			last[d.Subject] = d.Sequence
		}
	}
	for _, d := range all {
		switch {
		case arrived[d.ID]:
		case canceled(d.ID):
			c.Canceled++
		default:
			c.NotArrived++
		}
	}
	return c
}

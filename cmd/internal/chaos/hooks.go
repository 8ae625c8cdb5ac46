package chaos

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"greenroom/cmd/internal/testbed"
	"greenroom/db/catalog"
)

const (
	// receivers is the number of endpoints, one for each company. Every second receiver has no faults: when a delivery
	// to it waits, the cause is Greenroom.
	receivers = 20
	// attemptTimeout is short, so that a hanging receiver costs only seconds.
	attemptTimeout = 4 * time.Second
	// retries allows the waits of 5 s and 30 s of the default profile. The third, of 5 minutes, would only prolong a run.
	retries = 2
)

// hook is a company with its key, its webhook and the webhook's receiver.
type hook struct {
	id       uuid.UUID
	key      string
	receiver *receiver
	robust   bool // the receiver has no faults
}

// register creates the companies and their webhooks before the first fault.
func register(ctx context.Context, r *run) ([]*hook, error) {
	secret, err := hex.DecodeString(r.stores.secrets.Secret)
	if err != nil {
		return nil, fmt.Errorf("read the generated secret: %w", err)
	}
	var hooks []*hook
	for i := range receivers {
		h := &hook{robust: i%2 == 0}
		if h.receiver, err = newReceiver(r.ledger); err != nil {
			return hooks, err
		}
		hooks = append(hooks, h)
		if h.key, err = testbed.CreateCompany(ctx, r.db, secret, fmt.Sprintf("Company %d", i+1)); err != nil {
			return hooks, err
		}
		if err := h.create(ctx, r, i); err != nil {
			return hooks, err
		}
	}
	return hooks, nil
}

// create creates the webhook. The circuit of every third webhook recovers by probes.
func (h *hook) create(ctx context.Context, r *run, i int) error {
	in := map[string]any{"url": h.receiver.url(), "events": []string{catalog.InterviewStarted}}
	if i%3 == 0 {
		in["circuitRecovery"] = "probe"
	}
	var out struct{ ID uuid.UUID }
	if err := call(ctx, r.fleet.apis[0].url, h.key, "/webhooks", in, &out); err != nil {
		return err
	}
	h.id = out.ID
	_, err := r.db.ExecContext(ctx, "UPDATE webhooks SET max_retries = ?, timeout_ms = ? WHERE id = ?",
		retries, attemptTimeout.Milliseconds(), h.id)
	if err != nil {
		return fmt.Errorf("set the retries of a webhook: %w", err)
	}
	return nil
}

// breakable returns the hooks whose receivers can have faults.
func breakable(hooks []*hook) []*hook {
	var list []*hook
	for _, h := range hooks {
		if !h.robust {
			list = append(list, h)
		}
	}
	return list
}

var errNotFound = errors.New("not found")

// byDelivery finds the delivery's id in the id of its workflow, delivery:<id>:<generation>.
func byDelivery(workflowID string) (uuid.UUID, error) {
	parts := strings.Split(workflowID, ":")
	if len(parts) != 3 || parts[0] != "delivery" {
		return uuid.Nil, errNotFound
	}
	return uuid.Parse(parts[1])
}

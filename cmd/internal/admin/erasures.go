package admin

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db"
	"greenroom/db/pg"
)

// Erasure is the output for the erasure of a candidate.
type Erasure struct {
	ID          uuid.UUID         `json:"id"`
	CandidateID uuid.UUID         `json:"candidateId"`
	CompanyID   uuid.UUID         `json:"companyId"`
	Reason      string            `json:"reason"`
	Status      string            `json:"status"`
	RequestedAt time.Time         `json:"requestedAt"`
	DoneAt      *time.Time        `json:"doneAt"`
	Removed     map[string]int64  `json:"removed"`
	Receivers   []ErasureReceiver `json:"receivers"`
}

// ErasureReceiver is the output for a webhook that was sent data of the person, or that the erasure is delivered to.
type ErasureReceiver struct {
	WebhookID      uuid.UUID  `json:"webhookId"`
	WebhookDeleted bool       `json:"webhookDeleted"`
	DeliveryID     *uuid.UUID `json:"deliveryId"`
	Status         *string    `json:"status"`
	ConfirmedAt    *time.Time `json:"confirmedAt"`
}

// EraseCandidate begins to erase a candidate, also a deleted one. For one that was erased before, it returns that
// erasure.
func (a *Admin) EraseCandidate(ctx context.Context, candidate uuid.UUID) (Erasure, error) {
	var e *db.Erasure
	err := pg.InTx(ctx, a.DB, func(ctx context.Context, tx bun.Tx) (err error) {
		e, _, err = db.BeginErasure(db.WithActor(ctx, actor), tx, candidate, db.ErasureRequested)
		return err
	})
	if err != nil {
		return Erasure{}, describeMissing(err, "candidate", candidate)
	}
	return a.showErasure(ctx, e)
}

// GetErasure returns the erasure of a candidate.
func (a *Admin) GetErasure(ctx context.Context, candidate uuid.UUID) (Erasure, error) {
	e, err := db.GetErasure(ctx, a.DB, candidate)
	if err != nil {
		return Erasure{}, describeMissing(err, "erasure of candidate", candidate)
	}
	return a.showErasure(ctx, e)
}

func (a *Admin) showErasure(ctx context.Context, e *db.Erasure) (Erasure, error) {
	receivers, err := db.ErasureReceivers(ctx, a.DB, e)
	if err != nil {
		return Erasure{}, err
	}
	out := Erasure{
		ID: e.ID, CandidateID: e.CandidateID, CompanyID: e.CompanyID, Reason: string(e.Reason), Status: e.Status(),
		RequestedAt: e.RequestedAt, DoneAt: e.DoneAt, Removed: e.Removed, Receivers: []ErasureReceiver{},
	}
	for _, r := range receivers {
		out.Receivers = append(out.Receivers, ErasureReceiver{
			WebhookID: r.WebhookID, WebhookDeleted: r.Deleted, DeliveryID: r.DeliveryID, Status: r.Status,
			ConfirmedAt: r.ConfirmedAt,
		})
	}
	return out, nil
}

// Erasure prints an erasure.
func (p Printer) Erasure(e Erasure) error {
	return p.Value(e, func(w io.Writer) {
		row(w, "CANDIDATE", "STATUS", "REASON", "REQUESTED", "DONE", "REMOVED")
		var removed []string
		for _, kind := range slices.Sorted(maps.Keys(e.Removed)) {
			removed = append(removed, fmt.Sprintf("%s=%d", kind, e.Removed[kind]))
		}
		row(w, e.CandidateID, e.Status, e.Reason, e.RequestedAt, e.DoneAt, strings.Join(removed, " "))
		if len(e.Receivers) == 0 {
			return
		}
		row(w, "")
		row(w, "WEBHOOK", "DELIVERY", "STATUS", "CONFIRMED")
		for _, r := range e.Receivers {
			row(w, r.WebhookID, r.DeliveryID, r.Status, r.ConfirmedAt)
		}
	})
}

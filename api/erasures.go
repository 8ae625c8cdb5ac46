package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/api/surface"
	"greenroom/db"
	"greenroom/db/pg"
)

// anyCandidate also finds deleted candidates: a person is erased after a deletion too.
func (s *server) anyCandidate(c *gin.Context) (*db.Candidate, error) {
	id, err := surface.PathID(c, "id", candidates.Name)
	if err != nil {
		return nil, err
	}
	candidate, err := db.CandidateCompany(c.Request.Context(), s.DB, id)
	if errors.Is(err, pg.ErrNotFound) {
		return nil, surface.NotFound(candidates.Name, id.String())
	}
	if err != nil {
		return nil, err
	}
	return candidate, surface.Allow(c, candidate.CompanyID, candidates.What)
}

type erasureOutput struct {
	ID          uuid.UUID          `json:"id"`
	CandidateID uuid.UUID          `json:"candidateId"`
	Reason      db.ErasureReason   `json:"reason"`
	Status      string             `json:"status"`
	RequestedAt surface.Timestamp  `json:"requestedAt"`
	DoneAt      *surface.Timestamp `json:"doneAt"`
	Removed     map[string]int64   `json:"removed"`
	Receivers   []erasureReceiver  `json:"receivers"`
}

type erasureReceiver struct {
	WebhookID      uuid.UUID          `json:"webhookId"`
	WebhookDeleted bool               `json:"webhookDeleted"`
	DeliveryID     *uuid.UUID         `json:"deliveryId"`
	Status         *string            `json:"status"`
	ConfirmedAt    *surface.Timestamp `json:"confirmedAt"`
}

func (s *server) showErasure(ctx context.Context, e *db.Erasure) (*erasureOutput, error) {
	receivers, err := db.ErasureReceivers(ctx, s.DB, e)
	if err != nil {
		return nil, err
	}
	return &erasureOutput{
		ID: e.ID, CandidateID: e.CandidateID, Reason: e.Reason, Status: e.Status(),
		RequestedAt: surface.Timestamp(e.RequestedAt), DoneAt: surface.Maybe(e.DoneAt), Removed: e.Removed,
		Receivers: surface.Mapped(receivers, func(r *db.ErasureReceiver) erasureReceiver {
			return erasureReceiver{
				WebhookID: r.WebhookID, WebhookDeleted: r.Deleted, DeliveryID: r.DeliveryID, Status: r.Status,
				ConfirmedAt: surface.Maybe(r.ConfirmedAt),
			}
		}),
	}, nil
}

// eraseCandidate answers 202: the person's rows are gone, events and files follow. A second request gets the first
// erasure.
func (s *server) eraseCandidate(c *gin.Context) error {
	candidate, err := s.anyCandidate(c)
	if err != nil {
		return err
	}
	var e *db.Erasure
	actor := surface.Audited(c, &candidate.CompanyID, db.AuditErased, db.AuditedCandidate, candidate.ID).Actor
	err = pg.InTx(c.Request.Context(), s.DB, func(ctx context.Context, tx bun.Tx) (err error) {
		e, _, err = db.BeginErasure(db.WithActor(ctx, actor), tx, candidate.ID, db.ErasureRequested)
		return err
	})
	if err != nil {
		return err
	}
	out, err := s.showErasure(c.Request.Context(), e)
	if err != nil {
		return err
	}
	return ok(c, http.StatusAccepted, out)
}

// getErasure reports what an erasure removed, and which webhooks have confirmed it.
func (s *server) getErasure(c *gin.Context) error {
	candidate, err := s.anyCandidate(c)
	if err != nil {
		return err
	}
	e, err := db.GetErasure(c.Request.Context(), s.DB, candidate.ID)
	if errors.Is(err, pg.ErrNotFound) {
		return surface.NotFound("Erasure", candidate.ID.String())
	}
	if err != nil {
		return err
	}
	out, err := s.showErasure(c.Request.Context(), e)
	if err != nil {
		return err
	}
	return ok(c, http.StatusOK, out)
}

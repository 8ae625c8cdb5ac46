package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/api/surface"
	"greenroom/db"
	"greenroom/db/pg"
)

type callOutput struct {
	ID           uuid.UUID          `json:"id"`
	Direction    string             `json:"direction"`
	Status       db.CallStatus      `json:"status"`
	ReasonCode   *string            `json:"reasonCode"`
	Notes        *string            `json:"notes"`
	RetryNumber  int                `json:"retryNumber"`
	RecordingURL *string            `json:"recordingUrl"`
	Duration     *int               `json:"duration"` // seconds
	ScheduledAt  surface.Timestamp  `json:"scheduledAt"`
	CalledAt     *surface.Timestamp `json:"calledAt"`
}

func showCall(a *db.CallAttempt) callOutput {
	return callOutput{
		ID:           a.ID,
		Direction:    a.Direction,
		Status:       a.Status,
		ReasonCode:   a.ReasonCode,
		Notes:        a.Notes,
		RetryNumber:  a.RetryNumber,
		RecordingURL: a.RecordingURL,
		Duration:     a.DurationSeconds,
		ScheduledAt:  surface.Timestamp(a.ScheduledAt),
		CalledAt:     surface.Maybe(a.CalledAt),
	}
}

// phoneInterview loads the interview named by the path and refuses an ONLINE one, which has no calls (reference
// §2.13).
func (s *server) phoneInterview(c *gin.Context) (*db.Interview, error) {
	i, err := interviews.OfPath(c, s.DB)
	if err != nil {
		return nil, err
	}
	if i.Type == db.Online {
		return nil, surface.InvalidState(
			"An ONLINE interview has no call attempts",
			surface.Details{"resource": "interview", "type": i.Type},
		)
	}
	return i, nil
}

type invokeInput struct {
	ScheduledAt *time.Time `json:"scheduledAt"`
}

type done struct {
	Success bool   `json:"success"`
	Message string `json:"message"`
}

// invokeCall schedules a call that replaces the pending one; without a time or a body, as soon as possible.
func (s *server) invokeCall(c *gin.Context) error {
	i, err := s.phoneInterview(c)
	if err != nil {
		return err
	}
	var in invokeInput
	if surface.HasBody(c.Request) {
		if in, err = surface.Bind[invokeInput](c); err != nil {
			return err
		}
	}
	now := time.Now().UTC()
	at := or(in.ScheduledAt, now)
	if err := surface.CheckStart("scheduledAt", at, now); err != nil {
		return err
	}
	err = pg.InTx(c.Request.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
		return db.InvokeCall(ctx, tx, i.ID, at, 0)
	})
	if err != nil {
		return err
	}
	message := "The call is made as soon as possible"
	if in.ScheduledAt != nil {
		message = "The call is scheduled for " + surface.Timestamp(at).String()
	}
	return ok(c, http.StatusCreated, done{true, message})
}

type rescheduleInput struct {
	ScheduledAt time.Time `json:"scheduledAt" validate:"required"`
}

func (s *server) rescheduleCall(c *gin.Context) error {
	i, err := s.phoneInterview(c)
	if err != nil {
		return err
	}
	call, err := surface.PathID(c, "attemptId", "CallAttempt")
	if err != nil {
		return err
	}
	in, err := surface.Bind[rescheduleInput](c)
	if err != nil {
		return err
	}
	now := time.Now()
	if !in.ScheduledAt.After(now) {
		return surface.Invalid("scheduledAt", "scheduledAt must be in the future")
	}
	if err := surface.CheckStart("scheduledAt", in.ScheduledAt, now); err != nil {
		return err
	}
	return s.changeCall(c, call, func(ctx context.Context, tx bun.Tx) error {
		return db.RescheduleCall(ctx, tx, i.ID, call, in.ScheduledAt)
	})
}

func (s *server) deleteCall(c *gin.Context) error {
	i, err := s.phoneInterview(c)
	if err != nil {
		return err
	}
	call, err := surface.PathID(c, "attemptId", "CallAttempt")
	if err != nil {
		return err
	}
	return s.changeCall(c, call, func(ctx context.Context, tx bun.Tx) error { return db.DeleteCall(ctx, tx, i.ID, call) })
}

// changeCall answers 204. A call that does not exist or belongs to another interview is a 404 for that call.
func (s *server) changeCall(c *gin.Context, call uuid.UUID, change func(context.Context, bun.Tx) error) error {
	err := pg.InTx(c.Request.Context(), s.DB, change)
	if errors.Is(err, pg.ErrNotFound) {
		return surface.NotFound("CallAttempt", call.String())
	}
	if err != nil {
		return err
	}
	c.Status(http.StatusNoContent)
	return nil
}

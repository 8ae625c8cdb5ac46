package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/api/surface"
	"greenroom/db"
	"greenroom/db/pg"
	"greenroom/db/token"
)

// callbackRoutes receive the reports of the call provider, the analyser and the sourcing service. They are
// authenticated by the token in the URL instead of a key; a wrong token is a 404, like a wrong id.
func (s *server) callbackRoutes() []surface.Route {
	return []surface.Route{
		surface.Post("/callbacks/calls/:id", surface.Public, s.callReported).MaxBody(surface.MaxBody),
		surface.Post("/callbacks/analyses/:id", surface.Public, s.analysisReported).MaxBody(maxAnalysis),
		surface.Post("/callbacks/runs/:id", surface.Public, s.runReported).MaxBody(maxRunReport),
	}
}

// callReport is the provider's report about a call.
type callReport struct {
	Status       string           `json:"status" validate:"required,oneof=IN_PROGRESS COMPLETED FAILED"`
	ReasonCode   string           `json:"reasonCode" validate:"word"`
	Message      string           `json:"message" validate:"max=1000"`
	CalledAt     *time.Time       `json:"calledAt"`
	Duration     *int             `json:"duration" validate:"gte=0,lte=86400"`
	RecordingURL *string          `json:"recordingUrl" validate:"max=2048,http_url"`
	Transcript   []transcriptLine `json:"transcript" validate:"max=10000"`
}

type transcriptLine struct {
	Role    string `json:"role" validate:"required,max=64"`
	Content string `json:"content"`
}

func (s *server) callbackID(c *gin.Context, resourceType string) (uuid.UUID, error) {
	id, err := surface.PathID(c, "id", resourceType)
	if err == nil && !token.Valid(s.Secrets(), token.Callback, id, c.Query("token")) {
		err = surface.NotFound(resourceType, id.String())
	}
	return id, err
}

// callReported answers 204, also to a repeated report; a report that the call's state does not allow is a 409.
func (s *server) callReported(c *gin.Context) error {
	id, err := s.callbackID(c, "CallAttempt")
	if err != nil {
		return err
	}
	in, err := surface.Bind[callReport](c)
	if err != nil {
		return err
	}
	return s.changeCall(c, id, func(ctx context.Context, tx bun.Tx) error {
		if db.CallStatus(in.Status) != db.CallInProgress {
			return db.CallEnded(ctx, tx, id, in.end(s.AnalysisTimeout))
		}
		if err := db.CallStarted(ctx, tx, id); err != nil || in.CalledAt == nil {
			return err
		}
		return db.SetCalledAt(ctx, tx, id, *in.CalledAt)
	})
}

// end converts the report of a finished call. A failure without a reason counts as technical.
func (in *callReport) end(analysisWithin time.Duration) db.CallEnd {
	e := db.CallEnd{
		Status: db.CallStatus(in.Status), ReasonCode: in.ReasonCode, Message: in.Message, DurationSeconds: in.Duration,
		RecordingURL: in.RecordingURL,
		Finish:       db.Finish{Transcript: surface.Encoded(in.Transcript), AnalysisWithin: analysisWithin},
	}
	if in.Transcript == nil {
		e.Finish.Transcript = json.RawMessage("[]")
	}
	if e.Status == db.CallFailed && e.ReasonCode == "" {
		e.ReasonCode = db.ReasonTechnical
	}
	if e.Status == db.CallFailed && e.Message == "" {
		e.Message = "The call failed: " + e.ReasonCode
	}
	return e
}

// analysisReported answers 204. A deleted interview accepts no analysis.
func (s *server) analysisReported(c *gin.Context) error {
	id, err := s.callbackID(c, "Interview")
	if err != nil {
		return err
	}
	in, err := surface.Bind[analysisInput](c)
	if err != nil {
		return err
	}
	if err := in.check(); err != nil {
		return err
	}
	err = pg.InTx(c.Request.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
		if _, err := interviews.Load(ctx, tx, id); err != nil {
			return err
		}
		return in.store(ctx, tx, id)
	})
	if err != nil {
		return err
	}
	c.Status(http.StatusNoContent)
	return nil
}

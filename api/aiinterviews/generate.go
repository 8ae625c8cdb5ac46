package aiinterviews

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/api/surface"
	"greenroom/db"
	"greenroom/db/pg"
)

func (s *server) generateRoutes() []surface.Route {
	return []surface.Route{
		surface.Post("/ai-interviews/generate-interview", "write:jobs", s.generate).
			MaxBody(surface.SmallBody),
		surface.Get("/ai-interviews/generate-interview/:job_id", "read:jobs", s.getGeneration),
	}
}

// generateInput is the body of reference 2.7. The role becomes the job's title.
type generateInput struct {
	JobRole         string  `json:"job_role" validate:"max=200"`
	JobDescription  string  `json:"job_description" validate:"max=10000"`
	NotificationURL *string `json:"notification_url" validate:"max=2048"`
}

type generationAccepted struct {
	JobID   uuid.UUID           `json:"job_id"`
	Status  db.GenerationStatus `json:"status"`
	Message string              `json:"message"`
}

// generationOutput is the answer, and the body that is posted to the notification URL.
type generationOutput struct {
	generationAccepted
	InterviewID *int64  `json:"ai_interview_id"`
	Error       *string `json:"error"`
}

func acceptedOf(g *db.Generation) generationAccepted {
	return generationAccepted{g.ID, g.Status, g.Message()}
}

func (s *server) generate(c *gin.Context) error {
	company, err := s.CallerCompany(c)
	if err != nil {
		return err
	}
	raw, in, err := bindRaw[generateInput](c)
	if err != nil {
		return err
	}
	if err := s.checkGenerate(&in); err != nil {
		return err
	}
	return s.Once(c, raw, func(ctx context.Context, tx bun.Tx) (int, any, error) {
		g := &db.Generation{
			CompanyID:       company,
			JobRole:         in.JobRole,
			JobDescription:  in.JobDescription,
			NotificationURL: in.NotificationURL,
		}
		err := db.CreateGeneration(ctx, tx, g)
		return http.StatusAccepted, acceptedOf(g), err
	})
}

func (s *server) checkGenerate(in *generateInput) error {
	if strings.TrimSpace(in.JobRole) == "" || strings.TrimSpace(in.JobDescription) == "" {
		return surface.BadBody("Job role and job description are required") // the original's own words
	}
	if in.NotificationURL == nil {
		return nil
	}
	if *in.NotificationURL == "" {
		in.NotificationURL = nil
		return nil
	}
	if err := s.CheckURL(*in.NotificationURL); err != nil {
		return surface.Invalid("notification_url", "notification_"+err.Error())
	}
	return nil
}

func (s *server) getGeneration(c *gin.Context) error {
	company, err := s.CallerCompany(c)
	if err != nil {
		return err
	}
	id, err := surface.PathID(c, "job_id", "Job")
	if err != nil {
		return err
	}
	g, err := db.GetGeneration(c.Request.Context(), s.DB, id)
	if errors.Is(err, pg.ErrNotFound) || err == nil && g.CompanyID != company {
		return surface.NotFound("Job", id.String())
	}
	if err != nil {
		return err
	}
	c.JSON(http.StatusOK, generationOutput{acceptedOf(g), g.JobNumber, g.Error})
	return nil
}

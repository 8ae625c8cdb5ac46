package aiinterviews

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"greenroom/activities/webhook/profiles"
	"greenroom/api/surface"
	"greenroom/db"
	"greenroom/db/pg"
)

func (s *server) reportRoutes() []surface.Route {
	return []surface.Route{
		surface.Get("/ai-interviews/report", "read:interviews", s.findReport),
		surface.Get("/ai-interviews/report/:id", "read:interviews", s.getReport),
		surface.Get("/ai-interviews/report/:id/download", "read:interviews", s.downloadReport),
		surface.Post("/ai-interviews/report/:id/share", "read:interviews", s.shareReport).MaxBody(surface.SmallBody),
		surface.Post("/ai-interviews/report/:id/download", "read:interviews", s.downloadReport).
			MaxBody(surface.SmallBody),
		surface.Get("/ai-interviews/shared/:token", surface.Public, s.showShared).Weighs(sharedReport).ByNetwork(),
		surface.Get("/ai-interviews/shared/:token/download", surface.Public, s.downloadShared).
			Weighs(sharedReport).
			ByNetwork(),
		surface.Get("/ai-interviews/recording/:token", surface.Public, s.streamRecording).Streams().ByNetwork(),
	}
}

// sharedReport is the memory that the answer to a shared link counts for, in bytes.
const sharedReport = 1 << 20

// report is the body of the submission webhook, for an interview in any status, with the conversation.
type report struct {
	profiles.AIReport
	Conversation []said `json:"conversation"`

	interview *db.Interview
}

// said is one line of the conversation. Unknown values are null.
type said struct {
	Content   *string `json:"content"`
	Mode      string  `json:"mode"`
	Role      string  `json:"role"`
	Timestamp *string `json:"timestamp"`
}

// Modes of a conversation.
const (
	modeVoice = "voice"
	modeText  = "text"
)

const responseName = "Response"

// response returns the interview of the path, within the caller's company.
func (s *server) response(c *gin.Context) (*db.Interview, error) {
	company, err := s.CallerCompany(c)
	if err != nil {
		return nil, err
	}
	number, err := surface.PathNumber(c, "id", responseName)
	if err != nil {
		return nil, err
	}
	i, err := db.InterviewByNumber(c.Request.Context(), s.DB, company, number)
	if errors.Is(err, pg.ErrNotFound) {
		return nil, notFound(responseName, number)
	}
	return i, err
}

func (s *server) getReport(c *gin.Context) error {
	i, err := s.response(c)
	if err != nil {
		return err
	}
	return s.answerReport(c, i)
}

// findReport looks the report up by the client's id; of several responses with that id it returns the newest.
func (s *server) findReport(c *gin.Context) error {
	company, err := s.CallerCompany(c)
	if err != nil {
		return err
	}
	value, err := surface.QueryText(c, "custom_field_id")
	if err != nil {
		return err
	}
	if value == "" {
		return surface.Missing("custom_field_id")
	}
	i, err := db.InterviewByCustomField(c.Request.Context(), s.DB, company, value)
	if errors.Is(err, pg.ErrNotFound) {
		return &surface.Error{
			Status:  http.StatusNotFound,
			Code:    surface.CodeNotFound,
			Message: "No response has this custom_field_id",
		}
	}
	if err != nil {
		return err
	}
	return s.answerReport(c, i)
}

// downloadableFor is how long a recording's link works without a key, when the report was requested with
// is_downloadable=true.
const downloadableFor = 24 * time.Hour

func (s *server) answerReport(c *gin.Context, i *db.Interview) error {
	var until time.Time
	switch strings.ToLower(c.Query("is_downloadable")) { // Python writes True
	case "", "false":
	case "true":
		until = time.Now().Add(downloadableFor)
	default:
		return surface.Invalid("is_downloadable", "is_downloadable must be true or false")
	}
	r, err := s.makeReport(c.Request.Context(), i, until)
	if err != nil {
		return err
	}
	c.JSON(http.StatusOK, r)
	return nil
}

// makeReport builds the report of an interview. Links to stored recordings need a key; with until set, they work
// without one until then.
func (s *server) makeReport(ctx context.Context, i *db.Interview, until time.Time) (*report, error) {
	about, err := db.InterviewContext(ctx, s.DB, i)
	if errors.Is(err, pg.ErrNotFound) { // the candidate was deleted
		return nil, errNoLink
	}
	if err != nil {
		return nil, err
	}
	if !until.IsZero() {
		for k, r := range about.Recordings {
			if r.URL == "" && r.Video != nil {
				about.Recordings[k].URL = s.recordingURL(r.Video.ID, until)
			}
		}
	}
	r := &report{AIReport: profiles.AIReportOf(about, s.PublicURL), Conversation: conversation(i), interview: i}
	r.InviteStatus = statusWord(i.Status, i.StatusReason)
	return r, nil
}

// conversation returns the transcript of a call, or else the written questions and answers. Neither has times.
func conversation(i *db.Interview) []said {
	var lines []struct {
		Role    string  `json:"role"`
		Content *string `json:"content"`
	}
	var answers []struct {
		Question *string `json:"question"`
		Answer   *string `json:"answer"`
	}
	all := []said{}
	if json.Unmarshal(i.Transcript, &lines) == nil {
		for _, l := range lines {
			all = append(all, said{Content: l.Content, Mode: modeVoice, Role: l.Role})
		}
	}
	if len(all) == 0 && json.Unmarshal(i.Answers, &answers) == nil {
		for _, a := range answers {
			all = append(
				all,
				said{Content: a.Question, Mode: modeText, Role: "agent"},
				said{Content: a.Answer, Mode: modeText, Role: "candidate"},
			)
		}
	}
	return all
}

// downloadReport sends the PDF. The reference has a POST with expiration_hours; a GET is needed for links.
func (s *server) downloadReport(c *gin.Context) error {
	i, until, _, err := s.option(c)
	if err != nil {
		return err
	}
	return s.answerPDF(c, i, until)
}

// shareInput is the optional body of share and download.
type shareInput struct {
	Hours *float64 `json:"expiration_hours"`
}

type shareOutput struct {
	SignedURL   string            `json:"signed_url"`
	ExpiresAt   surface.Timestamp `json:"expires_at"`
	Hours       float64           `json:"expiration_hours"`
	ResponseID  int64             `json:"response_id"`
	InterviewID *int64            `json:"ai_interview_id"`
}

// option reads what share and download have in common: the response, and the expiry of its links.
func (s *server) option(c *gin.Context) (i *db.Interview, until time.Time, hours float64, err error) {
	if i, err = s.response(c); err != nil {
		return nil, until, 0, err
	}
	if hours, err = expirationHours(c); err != nil {
		return nil, until, 0, err
	}
	return i, time.Now().Add(time.Duration(hours * float64(time.Hour))).Truncate(time.Second), hours, nil
}

func expirationHours(c *gin.Context) (float64, error) {
	if !surface.HasBody(c.Request) {
		return 1, nil
	}
	in, err := surface.BindKnown[shareInput](c)
	if err != nil || in.Hours == nil {
		return 1, err
	}
	if *in.Hours < 1.0/60 || *in.Hours > 24 {
		return 0, surface.Invalid(
			"expiration_hours",
			"expiration_hours must be between 1 minute and 24 hours",
		) // the original's own words
	}
	return *in.Hours, nil
}

func (s *server) shareReport(c *gin.Context) error {
	i, until, hours, err := s.option(c)
	if err != nil {
		return err
	}
	job, err := s.jobNumber(c.Request.Context(), i.JobID)
	if err != nil {
		return err
	}
	c.JSON(http.StatusOK, shareOutput{
		SignedURL: s.sharedURL(
			i.ID,
			until,
		),
		ExpiresAt:   surface.Timestamp(until),
		Hours:       hours,
		ResponseID:  i.Number,
		InterviewID: job,
	})
	return nil
}

// jobNumber returns nil for an interview without a job, or with a deleted one.
func (s *server) jobNumber(ctx context.Context, id *uuid.UUID) (*int64, error) {
	if id == nil {
		return nil, nil //nolint:nilnil // none is an ordinary answer
	}
	job, err := db.GetJob(ctx, s.DB, *id)
	if errors.Is(err, pg.ErrNotFound) {
		return nil, nil //nolint:nilnil // none is an ordinary answer
	}
	if err != nil {
		return nil, err
	}
	return &job.Number, nil
}

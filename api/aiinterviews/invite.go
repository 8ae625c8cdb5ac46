package aiinterviews

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/api/surface"
	"greenroom/db"
	"greenroom/db/pg"
)

func (s *server) inviteRoutes() []surface.Route {
	return []surface.Route{
		surface.Post("/ai-interviews/invite", "write:interviews", s.invite),
		surface.List("/ai-interviews/invited/:id", "read:interviews", s.listInvited, "limit", "before"),
	}
}

// Formats of an invitation.
const (
	getLink  = "getlink"
	sendLink = "sendlink"
)

// inviteInput is the body of reference 2.5.
type inviteInput struct {
	Name        string      `json:"candidate_name" validate:"required,max=255"`
	Email       string      `json:"candidate_email" validate:"required,max=254,email"`
	InterviewID int64       `json:"ai_interview_id" validate:"required"`
	Format      string      `json:"invite_format" validate:"required,oneof=getlink sendlink"`
	Start       minute      `json:"start_date"`
	Expiry      minute      `json:"expiry_date"`
	CustomField customField `json:"custom_field_id"`
}

// minute is a time like 2025-07-10 11:52, in GMT; zero when absent.
type minute struct{ time.Time }

// UnmarshalJSON treats an empty text as absent, since forms send it.
func (m *minute) UnmarshalJSON(raw []byte) error {
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return err
	}
	if text == "" {
		return nil
	}
	t, err := time.Parse("2006-01-02 15:04", text)
	m.Time = t
	return err
}

// customField is the client's id of an invitation: a text or a number.
type customField struct{ text *string }

const maxCustomField = 255

func (f *customField) UnmarshalJSON(raw []byte) error {
	var text string
	var number json.Number
	switch {
	case json.Unmarshal(raw, &text) == nil:
	case json.Unmarshal(raw, &number) == nil:
		text = number.String()
	default:
		return errors.New("neither a text nor a number")
	}
	if len(text) > maxCustomField {
		return errors.New("too long")
	}
	if text != "" {
		f.text = &text
	}
	return nil
}

type inviteOutput struct {
	Email         *string `json:"email"`
	InterviewID   int64   `json:"ai_interview_id"`
	InterviewName string  `json:"ai_interview_name"`
	ResponseID    int64   `json:"response_id"`
	InviteLink    string  `json:"invite_link"`
	Name          string  `json:"name"`
	Status        string  `json:"status"`
	CustomFieldID *string `json:"custom_field_id"`
}

// Values of an invitation's status; the reference does not list any.
const (
	linkCreated  = "Link created"
	mailQueued   = "Link created, e-mail queued"
	mailNotSetUp = "Link created, e-mail is not configured"
)

// invite creates one more invitation with each call. A client that may repeat a request sends an Idempotency-Key.
func (s *server) invite(c *gin.Context) error {
	company, err := s.CallerCompany(c)
	if err != nil {
		return err
	}
	raw, in, err := bindRaw[inviteInput](c)
	if err != nil {
		return explained(err)
	}
	return s.Once(c, raw, func(ctx context.Context, tx bun.Tx) (int, any, error) {
		if err := in.check(time.Now()); err != nil { // a repeated request may come after the invitation's end
			return 0, nil, err
		}
		out, err := s.inviteOne(ctx, tx, company, &in)
		return http.StatusOK, out, err
	})
}

// explained describes the expected format of fields with a custom one.
func explained(err error) error {
	var refused *surface.Error
	if !errors.As(err, &refused) {
		return err
	}
	switch field := refused.Field(); field {
	case "start_date", "expiry_date":
		return surface.Invalid(field, field+" must be a date like 2025-07-10 11:52, in GMT")
	case "custom_field_id":
		return surface.Invalid(
			field,
			fmt.Sprintf("custom_field_id must be a text of at most %d bytes, or a number", maxCustomField),
		)
	}
	return err
}

// maxYearsOpen keeps an invitation's end well before the year 2262, the maximum of a time in nanoseconds: the end is a
// timer.
const maxYearsOpen = 100

func (in *inviteInput) check(now time.Time) error {
	if in.Start.IsZero() {
		in.Start.Time = now.UTC().Truncate(time.Microsecond)
	} else if err := surface.CheckStart("start_date", in.Start.Time, now); err != nil {
		return err
	}
	switch {
	case in.Expiry.IsZero():
	case !in.Expiry.After(now):
		return surface.Invalid("expiry_date", "expiry_date must not be in the past")
	case in.Expiry.After(now.AddDate(maxYearsOpen, 0, 0)):
		return surface.Invalid(
			"expiry_date",
			fmt.Sprintf("expiry_date must be at most %d years ahead; leave it out for no end", maxYearsOpen),
		)
	case !in.Expiry.After(in.Start.Time):
		return surface.Invalid("expiry_date", "expiry_date must be after start_date")
	}
	if len(strings.Fields(in.Name)) == 0 {
		return surface.Invalid("candidate_name", "candidate_name must not be empty")
	}
	return nil
}

func (s *server) inviteOne(ctx context.Context, tx bun.Tx, company uuid.UUID, in *inviteInput) (*inviteOutput, error) {
	job, err := jobOf(ctx, tx, company, in.InterviewID)
	if err != nil {
		return nil, err
	}
	if err := db.TakeInvite(ctx, tx, company); errors.Is(err, db.ErrExhausted) {
		return nil, errExhausted
	} else if err != nil {
		return nil, err
	}
	if job, err = db.LockJob(ctx, tx, job.ID); errors.Is(err, pg.ErrNotFound) { // deleted since it was read
		return nil, notFound(jobName, in.InterviewID)
	}
	if err != nil {
		return nil, err
	}
	invitation, err := db.Invite(ctx, tx, db.InviteParams{
		Job: job, Candidate: in.candidate(company), Interview: s.newInterview(in), SetUpAgent: applyGeneral(job),
	})
	if err != nil {
		return nil, err
	}
	candidate, i := invitation.Candidate, invitation.Interview
	return &inviteOutput{
		Email:         candidate.Email,
		InterviewID:   job.Number,
		InterviewName: job.Title,
		ResponseID:    i.Number,
		InviteLink:    s.InviteURL(i.ID),
		Name:          nameOf(candidate),
		Status:        s.inviteStatus(in.Format),
		CustomFieldID: i.CustomField,
	}, nil
}

func (s *server) inviteStatus(format string) string {
	switch {
	case format == getLink:
		return linkCreated
	case s.Mails:
		return mailQueued
	}
	return mailNotSetUp
}

// newInterview has no default deadline: an invitation without expiry_date stays open.
func (s *server) newInterview(in *inviteInput) *db.Interview {
	i := s.NewInterview(in.Start.Time)
	i.CustomField, i.DeadlineAt, i.InviteMail = in.CustomField.text, nil, in.Format == sendLink && s.Mails
	if !in.Expiry.IsZero() {
		i.DeadlineAt = &in.Expiry.Time
	}
	return i
}

// applyGeneral applies the job's general settings to its agent.
func applyGeneral(job *db.Job) func(context.Context, bun.Tx, *db.Agent) error {
	return func(ctx context.Context, tx bun.Tx, agent *db.Agent) error {
		general, err := db.JobGeneral(ctx, tx, job.ID)
		if err != nil {
			return err
		}
		return general.ApplyTo(ctx, tx, agent, languageOf(general), voiceID(general))
	}
}

func (in *inviteInput) candidate(company uuid.UUID) *db.Candidate {
	words := strings.Fields(in.Name)
	return &db.Candidate{
		CompanyID: company, FirstName: words[0], LastName: strings.Join(words[1:], " "), Email: &in.Email,
	}
}

func nameOf(c *db.Candidate) string { return strings.TrimSpace(c.FirstName + " " + c.LastName) }

// invitedOutput is a line of the list of invitations.
type invitedOutput struct {
	InterviewID   int64  `json:"ai_interview_id"`
	CandidateID   int64  `json:"candidate_id"`
	InviteStatus  string `json:"invite_status"`
	LastUpdatedAt string `json:"last_updated_at"`
	ResponseID    int64  `json:"response_id"`
}

// maxInvited bounds a list of invitations; 10,000 lines are 1.3 MB.
const maxInvited = 10_000

// listInvited sends an array, as the reference has it, so the link to the next page is in a header (RFC 8288).
func (s *server) listInvited(c *gin.Context) error {
	job, err := s.job(c)
	if err != nil {
		return err
	}
	limit, err := surface.QueryInt(c, "limit", maxInvited, maxInvited)
	if err != nil {
		return err
	}
	before, err := surface.QueryInt(c, "before", 0, math.MaxInt64)
	if err != nil {
		return err
	}
	rows, err := db.InvitedTo(c.Request.Context(), s.DB, job.ID, before, limit+1)
	if err != nil {
		return err
	}
	if int64(len(rows)) > limit {
		rows = rows[:limit]
		c.Header("Link", "<"+s.older(c.Request.URL, rows[limit-1].Number)+`>; rel="next"`)
	}
	c.JSON(http.StatusOK, surface.Mapped(rows, func(i *db.Invited) invitedOutput {
		return invitedOutput{
			InterviewID: job.Number, CandidateID: i.Candidate, InviteStatus: statusWord(i.Status, i.StatusReason),
			LastUpdatedAt: i.UpdatedAt.UTC().Format(http.TimeFormat), ResponseID: i.Number,
		}
	}))
	return nil
}

// older returns the URL of the list before that response.
func (s *server) older(list *url.URL, response int64) string {
	query := list.Query()
	query.Set("before", strconv.FormatInt(response, 10))
	return s.PublicURL + list.Path + "?" + query.Encode()
}

// statusWord returns an invitation's status. The reference has Pending, Started and Completed; the others are
// Greenroom's.
func statusWord(status db.InterviewStatus, reason *string) string {
	switch {
	case status == db.InterviewScheduled:
		return "Pending"
	case status == db.InterviewInProgress:
		return "Started"
	case status == db.InterviewCompleted:
		return "Completed"
	case status == db.InterviewCanceled:
		return "Canceled"
	case reason != nil && *reason == db.ReasonInvitationExpired:
		return "Expired"
	}
	return "Failed"
}

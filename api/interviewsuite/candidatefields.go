package interviewsuite

import (
	"context"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"greenroom/api/surface"
	"greenroom/db"
)

// candidateInput has the writable fields of reference 2.5; its other fields are read only.
type candidateInput struct {
	FirstName   surface.Opt[string]          `json:"first_name" validate:"max=100"`
	LastName    surface.Opt[string]          `json:"last_name" validate:"max=100"`
	Email       surface.Opt[string]          `json:"email" validate:"omitempty,max=254,email"`
	Username    surface.Opt[string]          `json:"username" validate:"max=255" null:"ok"`
	Phone       surface.Opt[string]          `json:"phone" validate:"max=64" null:"ok"`
	Gender      surface.Opt[string]          `json:"gender" validate:"omitempty,oneof=mr mrs" null:"ok"`
	Address     surface.Opt[string]          `json:"address" validate:"max=1000" null:"ok"`
	Deadline    surface.Opt[time.Time]       `json:"deadline" null:"ok"`
	PartnerData surface.Opt[json.RawMessage] `json:"partner_data" validate:"omitempty,metadata" null:"ok"`
}

// complete refuses a new candidate that lacks required fields.
func (in *candidateInput) complete() error {
	var faults []error
	for _, f := range in.required(&db.Candidate{}) {
		switch {
		case !f.sent.Set:
			faults = append(faults, surface.Missing(f.name))
		case f.sent.Value == "":
			faults = append(faults, blank(f.name))
		}
	}
	return surface.Faults(faults...)
}

type requiredField struct {
	name    string
	sent    surface.Opt[string]
	current string
}

// required lists the required fields, each as sent and as stored.
func (in *candidateInput) required(c *db.Candidate) []requiredField {
	return []requiredField{
		{"first_name", in.FirstName, c.FirstName},
		{"last_name", in.LastName, c.LastName},
		{"email", in.Email, orEmpty(c.Email)},
	}
}

// checkNotEmptied refuses to empty a required field. A candidate of another surface may lack the field; a client that
// echoes it empty is accepted.
func (in *candidateInput) checkNotEmptied(c *db.Candidate) error {
	var faults []error
	for _, f := range in.required(c) {
		if f.sent.Set && f.sent.Value == "" && f.current != "" {
			faults = append(faults, blank(f.name))
		}
	}
	return surface.Faults(faults...)
}

// blank refuses an empty text with the framework's message.
func blank(field string) *surface.Error { return surface.Invalid(field, "This field may not be blank") }

// apply sets the sent fields in the row, except the deadline, and returns the columns to update.
func (in *candidateInput) apply(c *db.Candidate) (columns []string, err error) {
	own, err := decoded[candidateSuite](c.Suite)
	if err != nil {
		return nil, err
	}
	if err := in.checkNotEmptied(c); err != nil {
		return nil, err
	}
	var u surface.Update
	surface.Set(&u, "first_name", &c.FirstName, in.FirstName)
	surface.Set(&u, "last_name", &c.LastName, in.LastName)
	surface.SetNull(&u, "email", &c.Email, nullable(in.Email))
	setIfSent(&own.Username, in.Username)
	setIfSent(&own.Gender, in.Gender)
	setIfSent(&own.Address, in.Address)
	if in.PartnerData.Set {
		own.PartnerData = in.PartnerData.Value
		if same(own.PartnerData, json.RawMessage("{}")) { // answers show absent data as {}
			own.PartnerData = nil
		}
	}
	if in.Phone.Set {
		own.Phone, c.PhoneNumber = in.Phone.Value, e164(in.Phone.Value)
		u.Columns = append(u.Columns, "phone_number")
	}
	c.Suite = surface.Encoded(own)
	return append(u.Columns, "suite"), nil
}

// keepDeadline stores the deadline with a candidate who has no interview yet.
func (in *candidateInput) keepDeadline(c *db.Candidate) error {
	own, err := decoded[candidateSuite](c.Suite)
	if err != nil || !in.Deadline.Set {
		return err
	}
	own.Deadline = optionalStamp(in.Deadline.Ptr())
	c.Suite = surface.Encoded(own)
	return nil
}

var (
	phoneSigns = strings.NewReplacer(" ", "", "-", "", "/", "", "(", "", ")", "", ".", "")
	callForm   = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)
)

// e164 returns the E.164 form of a number as people write it, or nil when it has none and cannot be called.
func e164(phone string) *string {
	number := phoneSigns.Replace(phone)
	if rest, is := strings.CutPrefix(number, "00"); is {
		number = "+" + rest
	}
	if !callForm.MatchString(number) {
		return nil
	}
	return &number
}

type candidateOutput struct {
	ResourceURI        string          `json:"resource_uri"`
	Company            string          `json:"company"`
	Project            string          `json:"project"`
	FirstName          string          `json:"first_name"`
	LastName           string          `json:"last_name"`
	Username           string          `json:"username"`
	Email              string          `json:"email"`
	Phone              string          `json:"phone"`
	Gender             string          `json:"gender"`
	Address            string          `json:"address"`
	Status             string          `json:"status"`
	InvitationDate     *string         `json:"invitationdate"`
	ConfirmationDate   *string         `json:"confirmationdate"`
	InterviewDate      *string         `json:"interviewdate"`
	Deadline           *string         `json:"deadline"`
	Photo              string          `json:"photo"`
	CV                 *string         `json:"cv"`
	EvaluationStatus   string          `json:"evaluation_status"`
	MyEvaluationStatus *string         `json:"my_evaluation_status"`
	CreatedBy          string          `json:"created_by"`
	PartnerData        json.RawMessage `json:"partner_data"`
	Shares             []string        `json:"shares"`
	InterviewKey       *string         `json:"interview_key"`
	InterviewSuiteURL  *string         `json:"interview_suite_url"`
}

// candidateView holds the data needed to show the candidates of one project.
type candidateView struct {
	company    *db.Company
	project    *db.Job
	evaluators []int64
	// me is the number of the calling staff user; 0 for a key.
	me         int64
	interviews map[uuid.UUID]*db.Interview
	files      db.Attachments
	raters     map[uuid.UUID][]int64
	now        time.Time
}

func (s *server) viewCandidates(
	c *gin.Context,
	company *db.Company,
	project *db.Job,
	rows []db.Candidate,
) (v candidateView, err error) {
	ctx := c.Request.Context()
	v = candidateView{company: company, project: project, now: time.Now()}
	own, err := projectSuiteOf(project)
	if err != nil {
		return v, err
	}
	if v.evaluators, err = db.KnownStaff(ctx, s.DB, company.ID, own.Evaluators); err != nil {
		return v, err
	}
	me, err := s.staff(c)
	if err != nil {
		return v, err
	}
	if me != nil {
		v.me = me.Number
	}
	return v, v.load(ctx, s, rows)
}

func (v *candidateView) load(ctx context.Context, s *server, rows []db.Candidate) (err error) {
	ids := make([]uuid.UUID, len(rows))
	for i := range rows {
		ids[i] = rows[i].ID
	}
	if v.interviews, err = db.NewestInterviews(ctx, s.DB, v.project.ID, rows); err != nil {
		return err
	}
	if v.files, err = db.CandidateAttachments(ctx, s.DB, ids...); err != nil {
		return err
	}
	v.raters, err = db.Raters(ctx, s.DB, v.project.ID, ids...)
	return err
}

func (s *server) showCandidate(v *candidateView, c *db.Candidate) (candidateOutput, error) {
	own, err := decoded[candidateSuite](c.Suite)
	out := candidateOutput{
		ResourceURI:        s.candidateURI(v.company.Number, v.project.Number, c.Number),
		Company:            s.companyURI(v.company.Number),
		Project:            s.projectURI(v.company.Number, v.project.Number),
		FirstName:          c.FirstName,
		LastName:           c.LastName,
		Username:           own.Username,
		Email:              orEmpty(c.Email),
		Phone:              phoneOf(c, own),
		Gender:             own.Gender,
		Address:            own.Address,
		CreatedBy:          own.CreatedBy,
		EvaluationStatus:   evaluationStatus(v.evaluators, v.raters[c.ID]),
		MyEvaluationStatus: myEvaluationStatus(v.me, v.evaluators, v.raters[c.ID]),
		PartnerData:        own.PartnerData,
		Shares:             []string{},
		Deadline:           own.Deadline,
	}
	if out.PartnerData == nil {
		out.PartnerData = json.RawMessage("{}")
	}
	out.Photo = attachmentURI(out.ResourceURI, v.files[c.ID], db.Photo)
	if cv := attachmentURI(out.ResourceURI, v.files[c.ID], db.CV); cv != "" {
		out.CV = &cv
	}
	i := v.interviews[c.ID]
	out.Status = candidateStatus(i, v.now)
	if i != nil {
		key, link := s.activationKey(i), s.InviteURL(i.ID)
		out.InvitationDate = optionalStamp(&i.CreatedAt)
		out.ConfirmationDate = optionalStamp(i.StartedAt)
		out.InterviewDate = interviewDate(i)
		out.Deadline = optionalStamp(i.DeadlineAt)
		out.InterviewKey, out.InterviewSuiteURL = &key, &link
	}
	return out, err
}

// phoneOf returns the number as the client wrote it, or the row's number if another surface has changed it since.
func phoneOf(c *db.Candidate, own candidateSuite) string {
	if c.PhoneNumber == nil {
		if e164(own.Phone) != nil { // another surface removed it
			return ""
		}
		return own.Phone
	}
	if written := e164(own.Phone); written != nil && *written == *c.PhoneNumber {
		return own.Phone
	}
	return *c.PhoneNumber
}

// candidateStatus returns the candidate's status, derived from the newest interview in the project. The reference shows
// only confirmed and interviewed; the other words are our choice.
func candidateStatus(i *db.Interview, now time.Time) string {
	if i == nil {
		return "created"
	}
	switch i.Status {
	case db.InterviewScheduled:
		if i.DeadlineAt != nil && !now.Before(*i.DeadlineAt) {
			return "expired"
		}
		return "invited"
	case db.InterviewInProgress:
		return "confirmed"
	case db.InterviewCompleted:
		return "interviewed"
	case db.InterviewFailed:
		if i.StatusReason != nil && *i.StatusReason == db.ReasonInvitationExpired {
			return "expired"
		}
		return "failed"
	case db.InterviewCanceled:
		return "canceled"
	}
	return strings.ToLower(string(i.Status))
}

// interviewDate returns the end of a completed interview; nil for any other.
func interviewDate(i *db.Interview) *string {
	if i.Status != db.InterviewCompleted {
		return nil
	}
	return optionalStamp(i.FinishedAt)
}

// evaluationStatus is pending before the first rating and completed once all evaluators have rated. In a project
// without evaluators any rating completes it.
func evaluationStatus(evaluators, raters []int64) string {
	if len(raters) == 0 {
		return "pending"
	}
	for _, e := range evaluators {
		if !slices.Contains(raters, e) {
			return "partial"
		}
	}
	return "completed"
}

// myEvaluationStatus is nil for a caller who is not an evaluator and has not rated.
func myEvaluationStatus(me int64, evaluators, raters []int64) *string {
	status := "pending"
	switch {
	case me == 0:
		return nil
	case slices.Contains(raters, me):
		status = "completed"
	case !slices.Contains(evaluators, me):
		return nil
	}
	return &status
}

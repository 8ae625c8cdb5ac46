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

// candidateInput is reference 2.5; what it names and is not here is read only.
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

// complete refuses a new candidate without what each must have.
func (in *candidateInput) complete() error {
	for _, f := range in.required(&db.Candidate{}) {
		switch {
		case !f.sent.Set:
			return surface.Missing(f.name)
		case f.sent.Value == "":
			return blank(f.name)
		}
	}
	return nil
}

type requiredField struct {
	name string
	sent surface.Opt[string]
	now  string
}

// required is what each candidate must have, as it was sent and as it is.
func (in *candidateInput) required(c *db.Candidate) []requiredField {
	return []requiredField{
		{
			"first_name",
			in.FirstName,
			c.FirstName,
		},
		{"last_name", in.LastName, c.LastName},
		{"email", in.Email, orEmpty(c.Email)},
	}
}

// keepsRequired refuses to take away what each must have. A candidate of another surface may be without, and is sent
// back so.
func (in *candidateInput) keepsRequired(c *db.Candidate) error {
	for _, f := range in.required(c) {
		if f.sent.Set && f.sent.Value == "" && f.now != "" {
			return blank(f.name)
		}
	}
	return nil
}

// blank refuses an empty text in the framework's words.
func blank(field string) *surface.Error { return surface.Invalid(field, "This field may not be blank") }

// apply writes what was sent into the row, the deadline apart, and names the columns.
func (in *candidateInput) apply(c *db.Candidate) (columns []string, err error) {
	own, err := decoded[candidateSuite](c.Suite)
	if err != nil {
		return nil, err
	}
	if err := in.keepsRequired(c); err != nil {
		return nil, err
	}
	var u surface.Update
	surface.Set(&u, "first_name", &c.FirstName, in.FirstName)
	surface.Set(&u, "last_name", &c.LastName, in.LastName)
	surface.SetNull(&u, "email", &c.Email, nullable(in.Email))
	put(&own.Username, in.Username)
	put(&own.Gender, in.Gender)
	put(&own.Address, in.Address)
	if in.PartnerData.Set {
		own.PartnerData = in.PartnerData.Value
		if same(own.PartnerData, json.RawMessage("{}")) { // none is shown so
			own.PartnerData = nil
		}
	}
	if in.Phone.Set {
		own.Phone, c.PhoneNumber = in.Phone.Value, callable(in.Phone.Value)
		u.Columns = append(u.Columns, "phone_number")
	}
	c.Suite = surface.Encoded(own)
	return append(u.Columns, "suite"), nil
}

// keepDeadline is for a candidate without an interview, which would have it.
func (in *candidateInput) keepDeadline(c *db.Candidate) error {
	own, err := decoded[candidateSuite](c.Suite)
	if err != nil || !in.Deadline.Set {
		return err
	}
	own.Deadline = maybeStamp(in.Deadline.Ptr())
	c.Suite = surface.Encoded(own)
	return nil
}

var (
	phoneSigns = strings.NewReplacer(" ", "", "-", "", "/", "", "(", "", ")", "", ".", "")
	callForm   = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)
)

// callable is the E.164 form of a number as people write it; nil when it has none, and cannot be called.
func callable(phone string) *string {
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

// candidateView is what is needed to show candidates of one project.
type candidateView struct {
	company    *db.Company
	project    *db.Job
	evaluators []int64
	// me is the number of the staff user who asks; 0 for a key.
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
		ResourceURI: s.candidateURI(v.company.Number, v.project.Number, c.Number),
		Company:     s.companyURI(v.company.Number),
		Project: s.projectURI(
			v.company.Number,
			v.project.Number,
		),
		FirstName: c.FirstName,
		LastName:  c.LastName,
		Username:  own.Username,
		Email:     orEmpty(c.Email),
		Phone:     phoneOf(c, own),
		Gender:    own.Gender,
		Address:   own.Address,
		CreatedBy: own.CreatedBy,
		EvaluationStatus: evaluation(
			v.evaluators,
			v.raters[c.ID],
		),
		MyEvaluationStatus: myEvaluation(v.me, v.evaluators, v.raters[c.ID]),
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
		out.InvitationDate, out.ConfirmationDate, out.InterviewDate = maybeStamp(
			&i.CreatedAt,
		), maybeStamp(
			i.StartedAt,
		), interviewDate(
			i,
		)
		out.Deadline, out.InterviewKey, out.InterviewSuiteURL = maybeStamp(i.DeadlineAt), &key, &link
	}
	return out, err
}

// phoneOf is the number as it was written here, or as another surface has changed it since.
func phoneOf(c *db.Candidate, own candidateSuite) string {
	if c.PhoneNumber == nil {
		if callable(own.Phone) != nil { // it was taken away elsewhere
			return ""
		}
		return own.Phone
	}
	if written := callable(own.Phone); written != nil && *written == *c.PhoneNumber {
		return own.Phone
	}
	return *c.PhoneNumber
}

// candidateStatus is this product's word for where a candidate stands: that of the newest interview for the project.
// The reference shows confirmed and interviewed; the others are chosen.
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

// interviewDate is when the interview was held to its end.
func interviewDate(i *db.Interview) *string {
	if i.Status != db.InterviewCompleted {
		return nil
	}
	return maybeStamp(i.FinishedAt)
}

// evaluation: pending until somebody has rated, completed when all evaluators have. In a project without evaluators
// anybody's rating completes it.
func evaluation(evaluators, raters []int64) string {
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

// myEvaluation is null for who is no evaluator and has not rated.
func myEvaluation(me int64, evaluators, raters []int64) *string {
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

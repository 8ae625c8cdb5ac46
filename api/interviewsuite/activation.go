package interviewsuite

import (
	"crypto/hmac"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"greenroom/api/surface"
	"greenroom/db"
	"greenroom/db/pg"
	"greenroom/db/token"
)

// activationKey returns a candidate's credential for one interview (reference 2.2, 2.5), which is valid as long as the
// interview exists; "" when its number is too large.
func (s *server) activationKey(i *db.Interview) string {
	return token.ActivationKey(s.Secret, token.Activation, i.Number, i.ID)
}

// isActivationKey compares a key with that of a row, by each secret that is accepted.
func (s *server) isActivationKey(key, purpose string, number int64, id uuid.UUID) bool {
	return slices.ContainsFunc(s.Secrets(), func(secret []byte) bool {
		return hmac.Equal([]byte(token.ActivationKey(secret, purpose, number, id)), []byte(strings.ToLower(key)))
	})
}

// presentsActivation returns the request's activation key and reports whether there is one.
func presentsActivation(c *gin.Context) (key string, presented bool) {
	scheme, key, found := strings.Cut(c.GetHeader("Authorization"), " ")
	return strings.TrimSpace(key), found && strings.EqualFold(scheme, "ActivationKey")
}

var errActivation = &surface.Error{
	Status:  http.StatusUnauthorized,
	Code:    "INVALID_ACTIVATION_KEY",
	Message: "Invalid activation key",
}

// activated returns the interview that the request's activation key belongs to.
func (s *server) activated(c *gin.Context) (*db.Interview, error) {
	key, presented := presentsActivation(c)
	if !presented {
		return nil, &surface.Error{
			Status:  http.StatusUnauthorized,
			Code:    surface.CodeInvalidKey,
			Message: "An activation key is required",
		}
	}
	return s.interviewOf(c, key)
}

func (s *server) interviewOf(c *gin.Context, key string) (*db.Interview, error) {
	number, isKey := token.ActivationNumber(key)
	if !isKey {
		return nil, errActivation
	}
	interview, err := db.InterviewByNumberUnscoped(c.Request.Context(), s.DB, number)
	valid := err == nil && s.isActivationKey(key, token.Activation, number, interview.ID)
	if errors.Is(err, pg.ErrNotFound) || err == nil && !valid {
		return nil, errActivation
	}
	return interview, err
}

// register serves the link of the original's invitations and redirects to the interview.
func (s *server) register(c *gin.Context) error {
	interview, err := s.interviewOf(c, c.Param("key"))
	if errors.Is(err, errActivation) {
		return pg.ErrNotFound
	}
	if err != nil {
		return err
	}
	c.Header("Referrer-Policy", "no-referrer") // the link is a credential
	c.Header("Location", s.InviteURL(interview.ID))
	c.Status(http.StatusFound)
	c.Writer.WriteHeaderNow()
	return nil
}

type whoAmIOutput struct {
	ResourceURI          string         `json:"resource_uri"`
	Photo                string         `json:"photo"`
	FirstName            string         `json:"first_name"`
	LastName             string         `json:"last_name"`
	Gender               string         `json:"gender"`
	Email                string         `json:"email"`
	Status               string         `json:"status"`
	InvitationDate       *string        `json:"invitationdate"`
	ConfirmationDate     *string        `json:"confirmationdate"`
	InterviewDate        *string        `json:"interviewdate"`
	Deadline             *string        `json:"deadline"`
	ActivationKey        string         `json:"activation_key"`
	SecondsUntilDeadline *int64         `json:"seconds_until_deadline"`
	Company              whoAmICompany  `json:"company"`
	Project              *whoAmIProject `json:"project"`
}

type whoAmICompany struct {
	ResourceURI    string  `json:"resource_uri"`
	Name           string  `json:"name"`
	Division       string  `json:"division"`
	Address        string  `json:"address"`
	Postcode       string  `json:"postcode"`
	City           string  `json:"city"`
	StateProvince  string  `json:"state_province"`
	Country        *string `json:"country"`
	Phone          string  `json:"phone"`
	DesignSettings string  `json:"design_settings"`
}

type whoAmIProject struct {
	ResourceURI string   `json:"resource_uri"`
	Name        string   `json:"name"`
	Videos      []string `json:"videos"`
	Questions   string   `json:"questions"`
	SupportLang string   `json:"support_lang"`
	Language    string   `json:"language"`
}

// whoAmI shows a candidate their own interview (reference 2.2).
func (s *server) whoAmI(c *gin.Context) error {
	interview, err := s.activated(c)
	if err != nil {
		return err
	}
	ctx := c.Request.Context()
	company, err := db.GetCompany(ctx, s.DB, interview.CompanyID)
	if err != nil {
		return err
	}
	candidate, err := db.GetCandidate(ctx, s.DB, interview.CandidateID)
	if err != nil {
		return err
	}
	var project *db.Job
	if interview.JobID != nil {
		if project, err = db.GetJob(ctx, s.DB, *interview.JobID); err != nil && !errors.Is(err, pg.ErrNotFound) {
			return err
		}
	}
	out, err := s.showWhoAmI(company, project, candidate, interview, time.Now())
	if err != nil {
		return err
	}
	files, err := db.CandidateAttachments(ctx, s.DB, candidate.ID)
	if err != nil {
		return err
	}
	if project != nil {
		out.Photo = attachmentURI(out.ResourceURI, files[candidate.ID], db.Photo)
	}
	return ok(c, http.StatusOK, out)
}

// showWhoAmI builds the answer; p is nil when the project was deleted.
func (s *server) showWhoAmI(
	company *db.Company,
	p *db.Job,
	candidate *db.Candidate,
	i *db.Interview,
	now time.Time,
) (out whoAmIOutput, err error) {
	own, err := decoded[candidateSuite](candidate.Suite)
	if err != nil {
		return out, err
	}
	at, err := decoded[companySuite](company.Suite)
	if err != nil {
		return out, err
	}
	out = whoAmIOutput{
		FirstName:     candidate.FirstName,
		LastName:      candidate.LastName,
		Gender:        own.Gender,
		Email:         orEmpty(candidate.Email),
		Status:        candidateStatus(i, now),
		ActivationKey: s.activationKey(i),
		InvitationDate: optionalStamp(
			&i.CreatedAt,
		),
		ConfirmationDate: optionalStamp(i.StartedAt),
		InterviewDate:    interviewDate(i),
		Deadline:         optionalStamp(i.DeadlineAt),
		Company: whoAmICompany{
			ResourceURI: s.companyURI(company.Number), Name: company.Name, Division: at.Division, Address: at.Address,
			Postcode: at.Postcode, City: at.City, StateProvince: at.StateProvince, Country: at.Country, Phone: at.Phone,
			DesignSettings: s.uri("companies/%d/design/", company.Number),
		},
	}
	if i.DeadlineAt != nil {
		left := max(int64(i.DeadlineAt.Sub(now).Seconds()), 0)
		out.SecondsUntilDeadline = &left
	}
	if p == nil {
		return out, nil
	}
	about, err := projectSuiteOf(p)
	if err != nil {
		return out, err
	}
	uri := s.projectURI(company.Number, p.Number)
	out.ResourceURI = s.candidateURI(company.Number, p.Number, candidate.Number)
	out.Project = &whoAmIProject{
		ResourceURI: uri, Name: p.Title, Videos: []string{}, Questions: uri + "questions/", SupportLang: about.SupportLang,
		Language: language(about.SupportLang),
	}
	return out, nil
}

package interviewsuite

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/uptrace/bun"

	"greenroom/api/surface"
	"greenroom/db"
)

// projectInput has the writable fields of reference 2.4; its other fields are read only.
type projectInput struct {
	Name             surface.Opt[string] `json:"name" validate:"min=1,max=255"`
	JobURL           surface.Opt[string] `json:"job_url" validate:"omitempty,max=2048,http_url" null:"ok"`
	EmailAlias       surface.Opt[string] `json:"email_alias" validate:"max=255" null:"ok"`
	Mode             surface.Opt[string] `json:"mode" validate:"min=1,max=64"`
	MaximumScore     surface.Opt[int]    `json:"maximum_score" validate:"gte=1,lte=1000"`
	SupportLang      surface.Opt[string] `json:"support_lang" validate:"omitempty,language" null:"ok"`
	InternalID       surface.Opt[string] `json:"internal_id" validate:"max=255" null:"ok"`
	AllowHashLogin   surface.Opt[bool]   `json:"allow_hash_login"`
	MaxInterviewTime surface.Opt[int]    `json:"max_interview_time" validate:"gte=1,lte=1440" null:"ok"`
	InviteCandidates surface.Opt[bool]   `json:"invite_candidates"`
	//nolint:lll // the columns of the table
	DefaultInterviewPeriod surface.Opt[int]               `json:"default_interview_period" validate:"gte=1,lte=366" null:"ok"`
	CloseDate              surface.Opt[string]            `json:"closedate" null:"ok"`
	ActivationDate         surface.Opt[string]            `json:"activationdate" null:"ok"`
	ContactPerson          surface.Opt[string]            `json:"contact_person" validate:"max=255" null:"ok"`
	VetoEnabled            surface.Opt[bool]              `json:"veto_enabled"`
	Evaluators             surface.Opt[[]json.RawMessage] `json:"evaluators" validate:"max=200"`
	InterviewManagers      surface.Opt[[]json.RawMessage] `json:"interview_managers" validate:"max=200"`
	Reviewers              surface.Opt[[]json.RawMessage] `json:"reviewers" validate:"max=200"`
	Labels                 surface.Opt[[]string]          `json:"labels" validate:"max=100,dive,min=1,max=2048"`
}

// apply sets the sent fields in the row. d is used to look up users.
func (in *projectInput) apply(ctx context.Context, d bun.IDB, company *db.Company, p *db.Job) error {
	own, err := decoded[projectSuite](p.Suite)
	if err != nil {
		return err
	}
	setIfSent(&p.Title, in.Name)
	if in.JobURL.Set {
		p.JobURL = orNil(in.JobURL.Value)
	}
	in.applySimple(&own)
	if err := in.applyDates(&own); err != nil {
		return err
	}
	if err := in.applyUsers(ctx, d, company, &own); err != nil {
		return err
	}
	p.Suite = surface.Encoded(own)
	return nil
}

func orNil(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// applySimple sets the fields that need no further checks.
func (in *projectInput) applySimple(own *projectSuite) {
	setIfSent(&own.EmailAlias, in.EmailAlias)
	setIfSent(&own.Mode, in.Mode)
	setIfSent(&own.MaximumScore, in.MaximumScore)
	setIfSent(&own.SupportLang, in.SupportLang)
	setIfSent(&own.InternalID, in.InternalID)
	setPtrIfSent(&own.AllowHashLogin, in.AllowHashLogin)
	setPtrIfSent(&own.MaxInterviewTime, in.MaxInterviewTime)
	setPtrIfSent(&own.InviteCandidates, in.InviteCandidates)
	setPtrIfSent(&own.DefaultInterviewPeriod, in.DefaultInterviewPeriod)
	setIfSent(&own.ContactPerson, in.ContactPerson)
	setIfSent(&own.VetoEnabled, in.VetoEnabled)
	setIfSent(&own.Labels, in.Labels)
}

func (in *projectInput) applyDates(own *projectSuite) error {
	for _, f := range []struct {
		name string
		to   **string
		from surface.Opt[string]
	}{{"closedate", &own.CloseDate, in.CloseDate}, {"activationdate", &own.ActivationDate, in.ActivationDate}} {
		if !f.from.Set {
			continue
		}
		*f.to = nil
		if !f.from.Null {
			day, err := date(f.name, f.from.Value)
			if err != nil {
				return err
			}
			*f.to = &day
		}
	}
	return nil
}

// applyUsers sets the lists of users, which are named by address or id. All must belong to the company.
func (in *projectInput) applyUsers(ctx context.Context, d bun.IDB, company *db.Company, own *projectSuite) error {
	for _, f := range []struct {
		name string
		to   *[]int64
		from surface.Opt[[]json.RawMessage]
	}{
		{"evaluators", &own.Evaluators, in.Evaluators},
		{"interview_managers", &own.InterviewManagers, in.InterviewManagers},
		{"reviewers", &own.Reviewers, in.Reviewers},
	} {
		if !f.from.Set {
			continue
		}
		numbers, err := customersOf(ctx, d, company, f.name, f.from.Value)
		if err != nil {
			return err
		}
		*f.to = numbers
	}
	return nil
}

// customersOf returns the numbers of the users that a list refers to, without duplicates.
func customersOf(
	ctx context.Context,
	d bun.IDB,
	company *db.Company,
	field string,
	refs []json.RawMessage,
) ([]int64, error) {
	numbers := make([]int64, 0, len(refs))
	for _, raw := range refs {
		n, valid := reference(raw, company.Number, "customers")
		if !valid {
			return nil, badReference(field)
		}
		if !slices.Contains(numbers, n) {
			numbers = append(numbers, n)
		}
	}
	known, err := db.KnownStaff(ctx, d, company.ID, numbers)
	if err != nil {
		return nil, err
	}
	if len(known) != len(numbers) {
		return nil, badReference(field)
	}
	return numbers, nil
}

type projectOutput struct {
	ResourceURI            string   `json:"resource_uri"`
	ID                     int64    `json:"id"`
	Company                string   `json:"company"`
	Name                   string   `json:"name"`
	JobURL                 string   `json:"job_url"`
	EmailAlias             string   `json:"email_alias"`
	Mode                   string   `json:"mode"`
	MaximumScore           int      `json:"maximum_score"`
	SupportLang            string   `json:"support_lang"`
	Language               string   `json:"language"`
	Status                 string   `json:"status"`
	InternalID             string   `json:"internal_id"`
	AllowHashLogin         bool     `json:"allow_hash_login"`
	MaxInterviewTime       *int     `json:"max_interview_time"`
	InviteCandidates       bool     `json:"invite_candidates"`
	DefaultInterviewPeriod *int     `json:"default_interview_period"`
	CloseDate              *string  `json:"closedate"`
	ActivationDate         *string  `json:"activationdate"`
	ContactPerson          string   `json:"contact_person"`
	CreationDate           string   `json:"creationdate"`
	VetoEnabled            bool     `json:"veto_enabled"`
	StatusUpdateURI        string   `json:"status_update_uri"`
	Evaluators             []string `json:"evaluators"`
	InterviewManagers      []string `json:"interview_managers"`
	Reviewers              []string `json:"reviewers"`
	Labels                 []string `json:"labels"`
	Questions              string   `json:"questions"`
	Candidates             string   `json:"candidates"`
	Results                string   `json:"results"`
	Roles                  string   `json:"roles"`
	Criteria               string   `json:"criteria"`
	Videos                 []string `json:"videos"`
}

// showProject leaves deleted users out of the lists: live has the numbers of the existing ones.
func (s *server) showProject(company *db.Company, p *db.Job, own projectSuite, live []int64) projectOutput {
	uri := s.projectURI(company.Number, p.Number)
	userURIs := func(numbers []int64) []string {
		uris := []string{}
		for _, n := range numbers {
			if slices.Contains(live, n) {
				uris = append(uris, s.customerURI(company.Number, n))
			}
		}
		return uris
	}
	return projectOutput{
		ResourceURI:            uri,
		ID:                     p.Number,
		Company:                s.companyURI(company.Number),
		Name:                   p.Title,
		JobURL:                 orEmpty(p.JobURL),
		EmailAlias:             own.EmailAlias,
		Mode:                   own.Mode,
		MaximumScore:           own.MaximumScore,
		SupportLang:            own.SupportLang,
		Language:               language(own.SupportLang),
		Status:                 projectStatus(p.Status),
		InternalID:             own.InternalID,
		AllowHashLogin:         *own.AllowHashLogin,
		MaxInterviewTime:       own.MaxInterviewTime,
		InviteCandidates:       *own.InviteCandidates,
		DefaultInterviewPeriod: own.DefaultInterviewPeriod,
		CloseDate:              own.CloseDate,
		ActivationDate:         own.ActivationDate,
		ContactPerson:          own.ContactPerson,
		CreationDate:           p.CreatedAt.UTC().Format("2006-01-02"),
		VetoEnabled:            own.VetoEnabled,
		StatusUpdateURI:        uri + "status/",
		Evaluators:             userURIs(own.Evaluators),
		InterviewManagers:      userURIs(own.InterviewManagers),
		Reviewers:              userURIs(own.Reviewers),
		Labels:                 append([]string{}, own.Labels...),
		Questions:              uri + "questions/",
		Candidates:             uri + "candidates/",
		Results:                uri + "results/",
		Roles:                  uri + "roles/",
		Criteria:               uri + "criteria/",
		Videos:                 []string{},
	}
}

// showProjects looks up the users of all projects in one query.
func (s *server) showProjects(ctx context.Context, company *db.Company, rows []db.Job) ([]projectOutput, error) {
	owns := make([]projectSuite, len(rows))
	var numbers []int64
	for i := range rows {
		own, err := projectSuiteOf(&rows[i])
		if err != nil {
			return nil, err
		}
		owns[i] = own
		numbers = slices.Concat(numbers, own.Evaluators, own.InterviewManagers, own.Reviewers)
	}
	live, err := db.KnownStaff(ctx, s.DB, company.ID, numbers)
	if err != nil {
		return nil, err
	}
	out := make([]projectOutput, len(rows))
	for i := range rows {
		out[i] = s.showProject(company, &rows[i], owns[i], live)
	}
	return out, nil
}

package interviewsuite

import (
	"encoding/json"
	"fmt"
	"strings"

	"greenroom/api/surface"
	"greenroom/db"
)

// What only this product knows of a row, as it is stored with the row. An empty object, which rows that other
// surfaces made have, means the defaults. Names and meanings of stored fields stay: rows outlive versions.

// companySuite is of a company.
type companySuite struct {
	City          string  `json:"city,omitempty"`
	Country       *string `json:"country,omitempty"`
	Address       string  `json:"address,omitempty"`
	StateProvince string  `json:"state_province,omitempty"`
	Division      string  `json:"division,omitempty"`
	Phone         string  `json:"phone,omitempty"`
	Postcode      string  `json:"postcode,omitempty"`
}

// customerSuite is of a staff user.
type customerSuite struct {
	PreferredLanguage string `json:"preferred_language,omitempty"`
	Phone             string `json:"phone,omitempty"`
	Gender            string `json:"gender,omitempty"`
	Role              string `json:"role,omitempty"`
	Position          string `json:"position,omitempty"`
	Notifications     *bool  `json:"receive_interview_notifications,omitempty"`
	SeenWelcome       bool   `json:"seen_welcome,omitempty"`
	// ConfirmationDate is the first log-in; db.CreateToken sets it.
	ConfirmationDate *string `json:"confirmationdate,omitempty"`
}

// projectSuite is of a job. Users are kept by their numbers.
type projectSuite struct {
	EmailAlias             string   `json:"email_alias,omitempty"`
	Mode                   string   `json:"mode,omitempty"`
	MaximumScore           int      `json:"maximum_score,omitempty"`
	SupportLang            string   `json:"support_lang,omitempty"`
	InternalID             string   `json:"internal_id,omitempty"`
	AllowHashLogin         *bool    `json:"allow_hash_login,omitempty"`
	MaxInterviewTime       *int     `json:"max_interview_time,omitempty"`
	InviteCandidates       *bool    `json:"invite_candidates,omitempty"`
	DefaultInterviewPeriod *int     `json:"default_interview_period,omitempty"`
	CloseDate              *string  `json:"closedate,omitempty"`
	ActivationDate         *string  `json:"activationdate,omitempty"`
	ContactPerson          string   `json:"contact_person,omitempty"`
	VetoEnabled            bool     `json:"veto_enabled,omitempty"`
	Evaluators             []int64  `json:"evaluators,omitempty"`
	InterviewManagers      []int64  `json:"interview_managers,omitempty"`
	Reviewers              []int64  `json:"reviewers,omitempty"`
	Labels                 []string `json:"labels,omitempty"`

	// OwnLang is SupportLang as it is stored, without the default.
	OwnLang string `json:"-"`
}

// What a project is when nobody has said.
const (
	defaultMode         = "recorded"
	defaultMaximumScore = 5
	defaultLanguage     = "en"
)

// projectSuiteOf is a job's, with the defaults filled in.
func projectSuiteOf(p *db.Job) (projectSuite, error) {
	v, err := decoded[projectSuite](p.Suite)
	v.OwnLang = v.SupportLang
	if v.Mode == "" {
		v.Mode = defaultMode
	}
	if v.MaximumScore == 0 {
		v.MaximumScore = defaultMaximumScore
	}
	if v.SupportLang == "" {
		v.SupportLang = defaultLanguage
	}
	yes := true
	if v.AllowHashLogin == nil {
		v.AllowHashLogin = &yes
	}
	if v.InviteCandidates == nil {
		v.InviteCandidates = &yes
	}
	return v, err
}

// candidateSuite is of a candidate.
type candidateSuite struct {
	Username string `json:"username,omitempty"`
	Gender   string `json:"gender,omitempty"`
	Address  string `json:"address,omitempty"`
	// Phone is as the client wrote it; the row's column has it as E.164 when it is such a number.
	Phone string `json:"phone,omitempty"`
	// Deadline is of a candidate without an interview; an interview has its own.
	Deadline    *string         `json:"deadline,omitempty"`
	CreatedBy   string          `json:"created_by,omitempty"`
	PartnerData json.RawMessage `json:"partner_data,omitempty"`
}

// decoded reads what was stored.
func decoded[T any](stored json.RawMessage) (v T, err error) {
	if len(stored) == 0 {
		return v, nil
	}
	if err := json.Unmarshal(stored, &v); err != nil {
		return v, fmt.Errorf("read stored fields: %w", err)
	}
	return v, nil
}

var same = surface.SameJSON

// put sets a field that was sent; null empties it.
func put[T any](to *T, from surface.Opt[T]) {
	if from.Set {
		*to = from.Value
	}
}

// putMaybe is put for a field that can be not there.
func putMaybe[T any](to **T, from surface.Opt[T]) {
	if from.Set {
		*to = from.Ptr()
	}
}

// nullable is a text for a column that has null for none, as an answer shows it empty.
func nullable(in surface.Opt[string]) surface.Opt[string] {
	in.Null = in.Null || in.Value == ""
	return in
}

func orEmpty(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func orDefault[T any](v *T, unset T) T {
	if v == nil {
		return unset
	}
	return *v
}

// language is the ISO code of a support_lang, which is one already or its first part: the public example shows en as
// en-GB.
func language(supportLang string) string {
	if full, known := map[string]string{"en": "en-GB", "de": "de-DE", "fr": "fr-FR", "es": "es-ES", "it": "it-IT"}[strings.ToLower(supportLang)]; known {
		return full
	}
	return supportLang
}

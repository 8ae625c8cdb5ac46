package interviewsuite

import (
	"encoding/json"
	"fmt"
	"strings"

	"greenroom/api/surface"
	"greenroom/db"
)

// The structs below are stored as JSON in the suite column and hold the fields that only this product has. Rows that
// another surface created have an empty object, which means the defaults. Names and meanings of stored fields must not
// change: rows outlive versions.

// companySuite is stored with a company.
type companySuite struct {
	City          string  `json:"city,omitempty"`
	Country       *string `json:"country,omitempty"`
	Address       string  `json:"address,omitempty"`
	StateProvince string  `json:"state_province,omitempty"`
	Division      string  `json:"division,omitempty"`
	Phone         string  `json:"phone,omitempty"`
	Postcode      string  `json:"postcode,omitempty"`
}

// customerSuite is stored with a staff user.
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

// projectSuite is stored with a job. Users are stored by number.
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

	// OwnLang is the stored SupportLang, without the default.
	OwnLang string `json:"-"`
}

// Defaults of a project.
const (
	defaultMode         = "recorded"
	defaultMaximumScore = 5
	defaultLanguage     = "en"
)

// projectSuiteOf returns a job's stored fields with the defaults filled in.
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

// candidateSuite is stored with a candidate.
type candidateSuite struct {
	Username string `json:"username,omitempty"`
	Gender   string `json:"gender,omitempty"`
	Address  string `json:"address,omitempty"`
	// Phone is the number as the client wrote it. The row's column has its E.164 form, if there is one.
	Phone string `json:"phone,omitempty"`
	// Deadline is used while the candidate has no interview; an interview has its own.
	Deadline    *string         `json:"deadline,omitempty"`
	CreatedBy   string          `json:"created_by,omitempty"`
	PartnerData json.RawMessage `json:"partner_data,omitempty"`
}

// decoded parses a suite column.
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

// setIfSent sets a field that was sent; null sets the zero value.
func setIfSent[T any](to *T, from surface.Opt[T]) {
	if from.Set {
		*to = from.Value
	}
}

// setPtrIfSent is setIfSent for an optional field; null sets nil.
func setPtrIfSent[T any](to **T, from surface.Opt[T]) {
	if from.Set {
		*to = from.Ptr()
	}
}

// nullable turns an empty text into null, for a column that is null where an answer shows an empty text.
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

// fullLanguage maps a bare support_lang to the ISO code that answers show; the reference's example shows en as en-GB.
var fullLanguage = map[string]string{"en": "en-GB", "de": "de-DE", "fr": "fr-FR", "es": "es-ES", "it": "it-IT"}

// language returns the ISO code of a support_lang; any other value is returned unchanged.
func language(supportLang string) string {
	if full, known := fullLanguage[strings.ToLower(supportLang)]; known {
		return full
	}
	return supportLang
}

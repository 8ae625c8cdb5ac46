package db

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/catalog"
	"greenroom/db/delivery"
	"greenroom/db/pg"
	"greenroom/db/seal"
)

// WebhookSet is where AI interviews report their start and submission to, and with which credentials. Jobs with the
// same settings share a set. A set has up to two webhooks, which get the events of these jobs only.
//
// A change of a set changes its webhooks in place, so that pending deliveries use the new URL.
type WebhookSet struct {
	bun.BaseModel `bun:"table:webhook_sets,alias:ws"`

	ID               uuid.UUID `bun:"id,pk"`
	CompanyID        uuid.UUID `bun:"company_id"`
	StartStatus      *bool     `bun:"start_status"`
	StartURL         *string   `bun:"start_url"`
	SubmissionStatus *bool     `bun:"submission_status"`
	SubmissionURL    *string   `bun:"submission_url"`
	// AuthType is the credential that is sent; the other one stays stored.
	AuthType *string `bun:"auth_type"`
	// AuthStatus false: no credential is sent.
	AuthStatus    bool    `bun:"auth_status"`
	BasicUsername *string `bun:"basic_username"`
	// BasicPassword and APIKeyValue are sealed, bound to the set's id.
	BasicPassword []byte    `bun:"basic_password"`
	APIKeyHeader  *string   `bun:"apikey_header"`
	APIKeyValue   []byte    `bun:"apikey_value"`
	CreatedAt     time.Time `bun:"created_at"`
	UpdatedAt     time.Time `bun:"updated_at"`

	// Plain-text credentials, only during a change.
	password, apiKey *string
}

// Kinds of credentials of a set.
const (
	AuthBasic  = "basic"
	AuthAPIKey = "apikey"
)

// Seal fields of a set's credentials.
const (
	setPasswordField = "basic.password"
	setAPIKeyField   = "apikey.value"
)

// WebhookChange is a change of a set; nil fields stay unchanged.
type WebhookChange struct {
	Start, Submission *WebhookTarget
	Auth              *WebhookAuth
}

// WebhookTarget is one of a set's two webhooks.
type WebhookTarget struct {
	Status *bool
	URL    *string
}

// WebhookAuth are a set's credentials. A nil password or value keeps the stored one, so that a response can be sent
// back.
type WebhookAuth struct {
	Type               string
	Status             *bool
	Username, Password *string
	Header, Value      *string
}

// SetDeps are what this package needs from its caller.
type SetDeps struct {
	Box *seal.Box
	// NewWebhook returns a new webhook row for that event with the fields that the set does not determine: id, profile,
	// name, owner and signing secret.
	NewWebhook func(event, url string) (*delivery.Webhook, error)
	// MaxWebhooks is the company's quota: see CheckWebhookQuota.
	MaxWebhooks int
	// Actor is the caller in the audit log. Platform: it acts for the platform, see delivery.Webhook.HeldByPlatform.
	Actor    string
	Platform bool
}

// MissingFieldError names a required field that a set would not have, as the client writes it ("start.url").
type MissingFieldError struct{ Field string }

func (e *MissingFieldError) Error() string { return e.Field + " is required" }

// CompanyWebhooks returns the settings for a company's new jobs; an empty set when none were stored.
func CompanyWebhooks(ctx context.Context, db bun.IDB, company uuid.UUID) (*WebhookSet, error) {
	return findSet(ctx, db, "(SELECT webhook_set_id FROM companies WHERE id = ?)", company)
}

// JobWebhooks returns the settings of a job; an empty set when it has none.
func JobWebhooks(ctx context.Context, db bun.IDB, job uuid.UUID) (*WebhookSet, error) {
	return findSet(ctx, db, "(SELECT webhook_set_id FROM jobs WHERE id = ?)", job)
}

// findSet reports the current status of each webhook: it may have been deleted, deactivated, or disabled by a 410
// answer.
func findSet(ctx context.Context, db bun.IDB, which string, id uuid.UUID) (*WebhookSet, error) {
	s := new(WebhookSet)
	err := pg.Translate(db.NewSelect().Model(s).ExcludeColumn("start_status", "submission_status").
		ColumnExpr(liveStatus, bun.Ident("start_status"), catalog.InterviewStarted).
		ColumnExpr(liveStatus, bun.Ident("submission_status"), catalog.InterviewCompleted).
		Where("ws.id = "+which, id).Scan(ctx))
	if errors.Is(err, pg.ErrNotFound) {
		return &WebhookSet{AuthStatus: true}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("get webhook set: %w", err)
	}
	return s, nil
}

const liveStatus = `CASE WHEN ws.?0 IS NOT NULL THEN EXISTS (SELECT 1 FROM webhooks w
	WHERE w.set_id = ws.id AND w.deleted_at IS NULL AND w.is_active AND w.events @> ARRAY[?1]) END AS ?0`

// ChangeCompanyWebhooks changes the settings for new jobs. Existing jobs keep theirs: when some share the company's
// set, the change is made on a copy. With everywhere, all jobs get the changed set. A change without a required field
// is a MissingFieldError.
func ChangeCompanyWebhooks(
	ctx context.Context,
	tx bun.Tx,
	deps SetDeps,
	company uuid.UUID,
	c WebhookChange,
	everywhere bool,
) (*WebhookSet, error) {
	if err := LockCompany(ctx, tx, company); err != nil {
		return nil, err
	}
	set, err := CompanyWebhooks(ctx, tx, company)
	if err != nil {
		return nil, err
	}
	jobs, err := jobsWithSet(ctx, tx, set.ID)
	if err != nil {
		return nil, err
	}
	w := &setWriter{tx: tx, deps: deps, company: company}
	if err := w.write(ctx, set, c, jobs > 0 && !everywhere); err != nil {
		return nil, err
	}
	_, err = tx.ExecContext(ctx, "UPDATE companies SET webhook_set_id = ? WHERE id = ?", set.ID, company)
	if err != nil {
		return nil, fmt.Errorf("set company's webhooks: %w", err)
	}
	if everywhere {
		err = w.applyToAllJobs(ctx, set)
	}
	if err != nil {
		return nil, err
	}
	return set, errors.Join(w.audit(ctx, set, c, everywhere), w.removeUnused(ctx))
}

// ChangeJobWebhooks changes the settings of one job. When it shares its set, it gets a changed copy.
func ChangeJobWebhooks(
	ctx context.Context,
	tx bun.Tx,
	deps SetDeps,
	job *Job,
	c WebhookChange,
) (*WebhookSet, error) {
	if err := LockCompany(ctx, tx, job.CompanyID); err != nil {
		return nil, err
	}
	set, err := JobWebhooks(ctx, tx, job.ID)
	if err != nil {
		return nil, err
	}
	jobs, err := jobsWithSet(ctx, tx, set.ID)
	if err != nil {
		return nil, err
	}
	companySet, err := CompanyWebhooks(ctx, tx, job.CompanyID)
	if err != nil {
		return nil, err
	}
	w := &setWriter{tx: tx, deps: deps, company: job.CompanyID}
	if err := w.write(ctx, set, c, jobs > 1 || companySet.ID == set.ID); err != nil {
		return nil, err
	}
	if _, err = tx.ExecContext(ctx, "UPDATE jobs SET webhook_set_id = ? WHERE id = ?", set.ID, job.ID); err != nil {
		return nil, fmt.Errorf("set job's webhooks: %w", err)
	}
	return set, errors.Join(w.audit(ctx, set, c, false), w.removeUnused(ctx))
}

// LockCompany serialises changes of what a company's jobs share. Foreign-key checks do not block; CreateJob does,
// because it copies these settings.
func LockCompany(ctx context.Context, tx bun.Tx, company uuid.UUID) error {
	return Lock(ctx, tx, "companies", company)
}

// jobsWithSet includes deleted jobs, because their interviews continue.
func jobsWithSet(ctx context.Context, tx bun.Tx, set uuid.UUID) (n int, err error) {
	if err := tx.NewRaw("SELECT count(*) FROM jobs WHERE webhook_set_id = ?", set).Scan(ctx, &n); err != nil {
		return 0, fmt.Errorf("count jobs of webhook set: %w", err)
	}
	return n, nil
}

// apply changes the set and refuses an incomplete result. Credentials are for the receivers that they were sent with: a
// URL with another scheme, host or port drops the password and the API key with its header, unless the change has them
// again. The type and the user name stay, as the contract says of what is absent.
func (s *WebhookSet) apply(c WebhookChange) error {
	receivers := s.receivers()
	if err := applyTarget(c.Start, "start", &s.StartStatus, &s.StartURL); err != nil {
		return err
	}
	if err := applyTarget(c.Submission, "submission", &s.SubmissionStatus, &s.SubmissionURL); err != nil {
		return err
	}
	if len(receivers) > 0 && slices.ContainsFunc(s.receivers(), func(to string) bool {
		return !slices.ContainsFunc(receivers, func(from string) bool { return delivery.SameOrigin(from, to) })
	}) {
		s.password, s.apiKey, s.APIKeyHeader = nil, nil, nil
	}
	if c.Auth == nil {
		return nil
	}
	return s.applyAuth(c.Auth)
}

// receivers returns the set's URLs, also of a webhook that is off.
func (s *WebhookSet) receivers() (urls []string) {
	for _, url := range []*string{s.StartURL, s.SubmissionURL} {
		if url != nil {
			urls = append(urls, *url)
		}
	}
	return urls
}

// applyTarget turns a webhook without status on.
func applyTarget(t *WebhookTarget, name string, status **bool, url **string) error {
	if t == nil {
		return nil
	}
	on := t.Status == nil || *t.Status
	*status = &on
	if t.URL != nil {
		*url = t.URL
	}
	if on && *url == nil {
		return &MissingFieldError{name + ".url"}
	}
	return nil
}

func (s *WebhookSet) applyAuth(a *WebhookAuth) error {
	s.AuthType, s.AuthStatus = &a.Type, a.Status == nil || *a.Status
	setIfSent(&s.BasicUsername, a.Username)
	setIfSent(&s.password, a.Password)
	setIfSent(&s.APIKeyHeader, a.Header)
	setIfSent(&s.apiKey, a.Value)
	switch {
	case a.Type == AuthBasic && s.BasicUsername == nil:
		return &MissingFieldError{"auth.basic.username"}
	case a.Type == AuthBasic && s.password == nil:
		return &MissingFieldError{"auth.basic.password"}
	case a.Type == AuthAPIKey && s.APIKeyHeader == nil:
		return &MissingFieldError{"auth.apikey.header"}
	case a.Type == AuthAPIKey && s.apiKey == nil:
		return &MissingFieldError{"auth.apikey.apikey"}
	}
	return nil
}

func setIfSent(stored **string, sent *string) {
	if sent != nil {
		*stored = sent
	}
}

// open decrypts the sealed credentials, which are bound to the set's id.
func (s *WebhookSet) open(box *seal.Box) (err error) {
	if s.password, err = openText(box, s.BasicPassword, s.ID, setPasswordField); err != nil {
		return err
	}
	s.apiKey, err = openText(box, s.APIKeyValue, s.ID, setAPIKeyField)
	return err
}

// seal encrypts the credentials for the set's current id.
func (s *WebhookSet) seal(box *seal.Box) (err error) {
	if s.BasicPassword, err = sealText(box, s.password, s.ID, setPasswordField); err != nil {
		return err
	}
	s.APIKeyValue, err = sealText(box, s.apiKey, s.ID, setAPIKeyField)
	return err
}

func openText(box *seal.Box, sealed []byte, id uuid.UUID, field string) (*string, error) {
	if sealed == nil {
		return nil, nil //nolint:nilnil // nothing stored is an ordinary case
	}
	plain, err := box.Open(sealed, id, field)
	text := string(plain)
	return &text, err
}

func sealText(box *seal.Box, text *string, id uuid.UUID, field string) ([]byte, error) {
	if text == nil {
		return nil, nil
	}
	return box.Seal([]byte(*text), id, field)
}

// target is the desired state of one of the set's webhooks.
type target struct {
	event  string
	url    *string
	active bool
}

func (s *WebhookSet) targets() []target {
	on := func(status *bool) bool { return status != nil && *status }
	return []target{
		{catalog.InterviewStarted, s.StartURL, on(s.StartStatus)},
		{catalog.InterviewCompleted, s.SubmissionURL, on(s.SubmissionStatus)},
	}
}

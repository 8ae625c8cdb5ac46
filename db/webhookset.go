package db

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/catalog"
	"greenroom/db/delivery"
	"greenroom/db/pg"
	"greenroom/db/seal"
)

// WebhookSet is where AI interviews report to: their start, their submission, and with which credentials. It is
// shared by the jobs that have the same settings. Up to two webhooks follow from it, which get the events of those
// jobs alone.
//
// A change of a set changes its webhooks where they are, so that deliveries that still wait follow the new address.
type WebhookSet struct {
	bun.BaseModel `bun:"table:webhook_sets,alias:ws"`

	ID               uuid.UUID `bun:"id,pk"`
	CompanyID        uuid.UUID `bun:"company_id"`
	StartStatus      *bool     `bun:"start_status"`
	StartURL         *string   `bun:"start_url"`
	SubmissionStatus *bool     `bun:"submission_status"`
	SubmissionURL    *string   `bun:"submission_url"`
	// AuthType says which of the credentials is sent; the other one stays stored.
	AuthType *string `bun:"auth_type"`
	// AuthStatus false: none is sent.
	AuthStatus    bool    `bun:"auth_status"`
	BasicUsername *string `bun:"basic_username"`
	// BasicPassword and APIKeyValue are sealed, bound to the set's id.
	BasicPassword []byte    `bun:"basic_password"`
	APIKeyHeader  *string   `bun:"apikey_header"`
	APIKeyValue   []byte    `bun:"apikey_value"`
	CreatedAt     time.Time `bun:"created_at"`
	UpdatedAt     time.Time `bun:"updated_at"`

	// The credentials in the clear, while a change is made.
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

// WebhookChange is what a client wants of a set; what is nil stays as it is.
type WebhookChange struct {
	Start, Submission *WebhookTarget
	Auth              *WebhookAuth
}

// WebhookTarget is one of a set's two webhooks.
type WebhookTarget struct {
	Status *bool
	URL    *string
}

// WebhookAuth is a set's credentials. A nil password or value stays as it is stored, so that what was read can be
// written back.
type WebhookAuth struct {
	Type               string
	Status             *bool
	Username, Password *string
	Header, Value      *string
}

// SetDeps makes what this package does not know how to make.
type SetDeps struct {
	Box *seal.Box
	// NewWebhook returns a new row of a webhook for that event, with all that does not follow from the set: id, profile,
	// name, owner, signing secret.
	NewWebhook func(event, url string) (*delivery.Webhook, error)
}

// MissingFieldError names what a set would lack: the path of a field in the client's words ("start.url").
type MissingFieldError struct{ Field string }

func (e *MissingFieldError) Error() string { return e.Field + " is required" }

// CompanyWebhooks returns what new jobs of a company get; an empty set when nothing was ever stored.
func CompanyWebhooks(ctx context.Context, db bun.IDB, company uuid.UUID) (*WebhookSet, error) {
	return findSet(ctx, db, "(SELECT webhook_set_id FROM companies WHERE id = ?)", company)
}

// JobWebhooks returns the settings of a job; an empty set when it has none.
func JobWebhooks(ctx context.Context, db bun.IDB, job uuid.UUID) (*WebhookSet, error) {
	return findSet(ctx, db, "(SELECT webhook_set_id FROM jobs WHERE id = ?)", job)
}

// findSet tells of each webhook whether it is on as it is now: somebody may have deleted it or switched it off, or
// its receiver has answered 410.
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

// ChangeCompanyWebhooks changes what new jobs get. Jobs that are there keep what they have: when some have the
// company's set, the change is made on a copy of it. With everywhere, all of them get the changed set. A change that
// lacks something is a MissingFieldError.
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
	return set, w.removeUnused(ctx)
}

// ChangeJobWebhooks changes the settings of one job alone: of a set that it shares it gets a changed copy.
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
	return set, w.removeUnused(ctx)
}

// LockCompany lets one at a time change what a company's jobs share. Rows that refer to the company may be written
// meanwhile; jobs, which take over its settings, may not.
func LockCompany(ctx context.Context, tx bun.Tx, company uuid.UUID) error {
	return Lock(ctx, tx, "companies", company)
}

// jobsWithSet counts deleted jobs too: their interviews go on.
func jobsWithSet(ctx context.Context, tx bun.Tx, set uuid.UUID) (n int, err error) {
	if err := tx.NewRaw("SELECT count(*) FROM jobs WHERE webhook_set_id = ?", set).Scan(ctx, &n); err != nil {
		return 0, fmt.Errorf("count jobs of webhook set: %w", err)
	}
	return n, nil
}

// apply changes the set and refuses what would be incomplete.
func (s *WebhookSet) apply(c WebhookChange) error {
	if err := applyTarget(c.Start, "start", &s.StartStatus, &s.StartURL); err != nil {
		return err
	}
	if err := applyTarget(c.Submission, "submission", &s.SubmissionStatus, &s.SubmissionURL); err != nil {
		return err
	}
	if c.Auth == nil {
		return nil
	}
	return s.applyAuth(c.Auth)
}

// applyTarget: a webhook without a word on its status is on.
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

// open reads the sealed credentials, which are bound to the set's id.
func (s *WebhookSet) open(box *seal.Box) (err error) {
	if s.password, err = openText(box, s.BasicPassword, s.ID, setPasswordField); err != nil {
		return err
	}
	s.apiKey, err = openText(box, s.APIKeyValue, s.ID, setAPIKeyField)
	return err
}

// seal is open's opposite, for the id that the set has now.
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

// target is what one of the set's webhooks shall be.
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

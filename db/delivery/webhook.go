package delivery

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/catalog"
	"greenroom/db/pg"
)

// Webhook is a registered endpoint and the state of its circuit.
type Webhook struct {
	bun.BaseModel `bun:"table:webhooks,alias:w"`

	ID     uuid.UUID `bun:"id,pk"`
	Number int64     `bun:"number,autoincrement"`
	// CompanyID nil: a global webhook, for every company that its owner can reach.
	CompanyID *uuid.UUID `bun:"company_id"`
	// OwnerCompanyID is the company of the key that made it; nil for a platform key.
	OwnerCompanyID *uuid.UUID      `bun:"owner_company_id"`
	APIKeyID       *uuid.UUID      `bun:"api_key_id"`
	Profile        string          `bun:"profile"`
	URL            string          `bun:"url"`
	Name           string          `bun:"name"`
	Description    string          `bun:"description"`
	Headers        []WebhookHeader `bun:"headers,type:jsonb"`
	// Auth nil: requests have no credentials beyond Headers.
	Auth *WebhookAuth `bun:"auth,type:jsonb"`
	// Events are domain event types, whatever the profile calls them.
	Events []string `bun:"events,array"`
	// Filter selects among these events, FilterPath is the same for the database: see CompileFilter. Nil: all.
	Filter         *string `bun:"filter"`
	FilterPath     *string `bun:"filter_path"`
	IsActive       bool    `bun:"is_active"`
	DisabledReason *string `bun:"disabled_reason"`
	// HeldByPlatform: a platform key deactivated the webhook, and only the platform activates it.
	HeldByPlatform bool `bun:"held_by_platform"`
	MaxRetries     int  `bun:"max_retries"`
	TimeoutMS      int  `bun:"timeout_ms"`
	// RateLimit bounds deliveries per second; 0 = none.
	RateLimit int `bun:"rate_limit"`
	// Secret is the sealed signing secret (seal field SecretField).
	Secret []byte `bun:"secret"`
	// SecretCreatedAt is when the secret was set; nil: it is as old as the webhook.
	SecretCreatedAt *time.Time `bun:"secret_created_at"`
	// KeyDerivedAt marks the secret: see HasDerivedKey.
	KeyDerivedAt *time.Time `bun:"key_derived_at"`
	// SigningKey is the sealed private key of v1a signatures (seal field SigningKeyField); nil for a webhook without them.
	SigningKey []byte `bun:"signing_key"`
	// RetiredSecrets are the earlier secrets, the newest first; see LiveSecrets.
	RetiredSecrets      []RetiredSecret `bun:"retired_secrets,type:jsonb,nullzero,default:'[]'"`
	ConsecutiveFailures int             `bun:"consecutive_failures"`
	CircuitOpenedAt     *time.Time      `bun:"circuit_opened_at"`
	// SetID limits the webhook to events of jobs with that WebhookSet.
	SetID *uuid.UUID `bun:"set_id"`
	// CircuitRecovery overrides the configured recovery mode: "manual" or "probe".
	CircuitRecovery *string `bun:"circuit_recovery"`
	// NotifyEmail gets mail about changes of the webhook; nil: the company's address does, if it has one.
	NotifyEmail *string `bun:"notify_email"`
	// Ordering nil: deliveries do not wait for each other. OrderingBlocks: one that failed for good blocks its subject
	// until it is sent again or canceled; otherwise the next one follows.
	Ordering       *string    `bun:"ordering"`
	OrderingBlocks bool       `bun:"ordering_blocks"`
	CreatedAt      time.Time  `bun:"created_at"`
	UpdatedAt      time.Time  `bun:"updated_at"`
	DeletedAt      *time.Time `bun:"deleted_at"`
}

// SecretField, SigningKeyField and HeaderField are the field names that sealed values are bound to.
const (
	SecretField     = "secret"
	SigningKeyField = "signing_key"
)

// HeaderField is the seal field of one custom header.
func HeaderField(name string) string { return "header:" + name }

// WebhookHeader is a custom header. Its value is sealed and never shown; one that an older version stored has a plain
// value until SealHeaders seals it.
type WebhookHeader struct {
	Name   string `json:"name"`
	Value  string `json:"value,omitempty"`
	Sealed []byte `json:"sealed,omitempty"`
}

// Company returns the company that the webhook belongs to, or else its owner; nil for a webhook of the platform.
func (w *Webhook) Company() *uuid.UUID {
	if w.CompanyID != nil {
		return w.CompanyID
	}
	return w.OwnerCompanyID
}

// SameOrigin reports whether two URLs have the same scheme, host and port. A URL that cannot be parsed has no origin.
func SameOrigin(a, b string) bool {
	one, err := url.Parse(a)
	if err != nil {
		return false
	}
	other, err := url.Parse(b)
	return err == nil && strings.EqualFold(one.Scheme, other.Scheme) &&
		strings.EqualFold(one.Hostname(), other.Hostname()) && portOf(one) == portOf(other)
}

func portOf(u *url.URL) string {
	if port := u.Port(); port != "" {
		return port
	}
	return map[string]string{"http": "80", "https": "443"}[strings.ToLower(u.Scheme)]
}

// LockWebhook is GetWebhook for a transaction that changes the webhook by what it is: no other changes it until the
// transaction ends.
func LockWebhook(ctx context.Context, tx bun.Tx, id uuid.UUID) (*Webhook, error) {
	w := new(Webhook)
	err := tx.NewSelect().
		Model(w).
		Where("w.id = ? AND w.deleted_at IS NULL", id).
		For("NO KEY UPDATE").
		Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("lock webhook: %w", pg.Translate(err))
	}
	return w, nil
}

// webhooksOf narrows a query on webhooks to those that the scope owns or that belong to its company.
func webhooksOf(s pg.Scope, q *bun.SelectQuery) *bun.SelectQuery {
	if s.Company == nil {
		return q
	}
	return q.Where("(w.company_id = ? OR w.owner_company_id = ?)", *s.Company, *s.Company)
}

// CreateWebhook stores a new webhook as it is given.
func CreateWebhook(ctx context.Context, db bun.IDB, w *Webhook) error {
	if _, err := db.NewInsert().Model(w).Exec(ctx); err != nil {
		return fmt.Errorf("insert webhook: %w", pg.Translate(err))
	}
	return nil
}

// GetWebhook returns a webhook of any owner, unless it was deleted. The caller checks the scope with IsOf.
func GetWebhook(ctx context.Context, db bun.IDB, id uuid.UUID) (*Webhook, error) {
	w := new(Webhook)
	err := db.NewSelect().Model(w).Where("w.id = ? AND w.deleted_at IS NULL", id).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("get webhook: %w", pg.Translate(err))
	}
	return w, nil
}

// IsOf reports whether a caller of this scope may see and change the webhook.
func (w *Webhook) IsOf(s pg.Scope) bool {
	return s.Company == nil || equalIDs(w.CompanyID, s.Company) || equalIDs(w.OwnerCompanyID, s.Company)
}

func equalIDs(a, b *uuid.UUID) bool { return a != nil && b != nil && *a == *b }

// WebhookFilter narrows a list of webhooks; zero values do not.
type WebhookFilter struct {
	// Company selects the webhooks of exactly that company, without global ones.
	Company *uuid.UUID
	Profile string
	// Newest lists the newest webhooks first, otherwise the oldest.
	Newest bool
}

// PageWebhooks returns one page of the webhooks that the scope sees, and the total.
func PageWebhooks(ctx context.Context, db bun.IDB, s pg.Scope, f WebhookFilter, p pg.Page) ([]Webhook, int64, error) {
	hooks := []Webhook{}
	q := webhooksOf(s, db.NewSelect().Model(&hooks).Where("w.deleted_at IS NULL"))
	if f.Company != nil {
		q = q.Where("w.company_id = ?", *f.Company)
	}
	if f.Profile != "" {
		q = q.Where("w.profile = ?", f.Profile)
	}
	order := "w.id"
	if f.Newest {
		order = "w.id DESC"
	}
	total, err := q.Order(order).Limit(p.Limit).Offset(p.Offset).ScanAndCount(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("page webhooks: %w", err)
	}
	return hooks, total, nil
}

// ListWebhooks returns all webhooks that the scope sees, oldest first, for the command line.
func ListWebhooks(ctx context.Context, db bun.IDB, s pg.Scope) ([]Webhook, error) {
	hooks := []Webhook{}
	q := webhooksOf(s, db.NewSelect().Model(&hooks).Where("w.deleted_at IS NULL").Order("w.id"))
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("list webhooks: %w", err)
	}
	return hooks, nil
}

// WebhookNames returns id, name, URL and profile of webhooks, also of deleted ones, for the command line.
func WebhookNames(ctx context.Context, db bun.IDB, ids []uuid.UUID) ([]Webhook, error) {
	hooks := []Webhook{}
	if len(ids) == 0 {
		return hooks, nil
	}
	err := db.NewSelect().
		Model(&hooks).
		Column("id", "name", "url", "profile").
		Where("w.id IN (?)", bun.List(ids)).
		Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("name webhooks: %w", err)
	}
	return hooks, nil
}

// UpdateWebhook writes the named columns of w and refreshes it. Turning is_active on (column "is_active" with
// IsActive true) also has the paused deliveries released, at a ramp. Turning it off, and a new secret, are events.
func UpdateWebhook(ctx context.Context, tx bun.Tx, w *Webhook, columns ...string) error {
	before, err := LockWebhook(ctx, tx, w.ID)
	if err != nil {
		return fmt.Errorf("update webhook: %w", err)
	}
	w.UpdatedAt = time.Now().UTC()
	err = pg.One(tx.NewUpdate().Model(w).Column(append(columns, "updated_at")...).
		Where("id = ? AND deleted_at IS NULL", w.ID).Returning("*").Exec(ctx))
	if err != nil {
		return fmt.Errorf("update webhook: %w", pg.Translate(err))
	}
	if before.blocks() && !w.blocks() {
		if err := Unblock(ctx, tx, w.ID); err != nil {
			return err
		}
	}
	if slices.Contains(columns, "secret") {
		if err := recordAbout(ctx, tx, w, catalog.SecretRotated, secretRotated{w.named(), nil}); err != nil {
			return err
		}
	}
	switch {
	case !slices.Contains(columns, "is_active"):
	case w.IsActive:
		return AddCommand(ctx, tx, CircuitChanged, w.ID, nil)
	case before.IsActive:
		data := webhookDisabled{w.named(), causeCompany, "deactivated", w.CircuitOpenedAt}
		if w.HeldByPlatform {
			data.Cause, data.Reason = causeOperator, "deactivated by the platform"
		}
		return recordAbout(ctx, tx, w, catalog.WebhookDisabled, data)
	}
	return nil
}

// blocks reports whether a delivery that failed for good blocks its subject.
func (w *Webhook) blocks() bool { return w.Ordering != nil && w.OrderingBlocks }

// DeleteWebhook deletes a webhook with its credentials and cancels its live deliveries: a first page in this
// transaction, the rest by its Circuit workflow (see CancelPage), so that a long backlog does not keep the locks for
// long.
func DeleteWebhook(ctx context.Context, tx bun.Tx, id uuid.UUID) error {
	err := pg.One(tx.ExecContext(ctx, `UPDATE webhooks SET deleted_at = now(), updated_at = now(), is_active = false,
		auth = NULL, notify_email = NULL WHERE id = ? AND deleted_at IS NULL`, id))
	if err != nil {
		return fmt.Errorf("delete webhook: %w", err)
	}
	if _, err := cancelPage(ctx, tx, id, firstCancelPage); err != nil {
		return err
	}
	if err := Unblock(ctx, tx, id); err != nil {
		return err
	}
	return AddCommand(ctx, tx, CircuitChanged, id, nil)
}

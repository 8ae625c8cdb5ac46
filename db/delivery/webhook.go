package delivery

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

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
	// Events are domain event types, whatever the profile calls them.
	Events         []string `bun:"events,array"`
	IsActive       bool     `bun:"is_active"`
	DisabledReason *string  `bun:"disabled_reason"`
	MaxRetries     int      `bun:"max_retries"`
	TimeoutMS      int      `bun:"timeout_ms"`
	// RateLimit bounds deliveries per second; 0 = none.
	RateLimit int `bun:"rate_limit"`
	// Secret is the sealed signing secret (seal field SecretField).
	Secret              []byte     `bun:"secret"`
	ConsecutiveFailures int        `bun:"consecutive_failures"`
	CircuitOpenedAt     *time.Time `bun:"circuit_opened_at"`
	// SetID limits the webhook to events of jobs with that WebhookSet.
	SetID *uuid.UUID `bun:"set_id"`
	// CircuitRecovery overrides the configured recovery mode: "manual" or "probe".
	CircuitRecovery *string    `bun:"circuit_recovery"`
	CreatedAt       time.Time  `bun:"created_at"`
	UpdatedAt       time.Time  `bun:"updated_at"`
	DeletedAt       *time.Time `bun:"deleted_at"`
}

// SecretField and HeaderField are the field names that sealed values are bound to.
const SecretField = "secret"

// HeaderField is the seal field of one masked header.
func HeaderField(name string) string { return "header:" + name }

// WebhookHeader is a custom header; a masked one has only its sealed value.
type WebhookHeader struct {
	Name   string `json:"name"`
	Value  string `json:"value,omitempty"`
	Sealed []byte `json:"sealed,omitempty"`
}

// IsMasked reports whether the value is sealed and must never be shown.
func (h WebhookHeader) IsMasked() bool { return h.Sealed != nil }

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

// ListWebhooks returns all webhooks that the scope sees, oldest first; with company set, only those of exactly that
// company.
func ListWebhooks(ctx context.Context, db bun.IDB, s pg.Scope, company *uuid.UUID) ([]Webhook, error) {
	hooks := []Webhook{}
	q := webhooksOf(s, db.NewSelect().Model(&hooks).Where("w.deleted_at IS NULL").Order("w.id"))
	if company != nil {
		q = q.Where("w.company_id = ?", *company)
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("list webhooks: %w", err)
	}
	return hooks, nil
}

// UpdateWebhook writes the named columns of w and refreshes it. Turning is_active on (column "is_active" with
// IsActive true) also has the paused deliveries released, at a ramp.
func UpdateWebhook(ctx context.Context, tx bun.Tx, w *Webhook, columns ...string) error {
	w.UpdatedAt = time.Now().UTC()
	err := pg.One(tx.NewUpdate().Model(w).Column(append(columns, "updated_at")...).
		Where("id = ? AND deleted_at IS NULL", w.ID).Returning("*").Exec(ctx))
	if err != nil {
		return fmt.Errorf("update webhook: %w", pg.Translate(err))
	}
	for _, c := range columns {
		if c == "is_active" && w.IsActive {
			return AddCommand(ctx, tx, CircuitChanged, w.ID, nil)
		}
	}
	return nil
}

// DeleteWebhook deletes a webhook and cancels its live deliveries: a first page in this transaction, the rest by its
// Circuit workflow (see CancelPage), so that a long backlog does not keep the locks for long.
func DeleteWebhook(ctx context.Context, tx bun.Tx, id uuid.UUID) error {
	err := pg.One(tx.ExecContext(ctx, `UPDATE webhooks SET deleted_at = now(), updated_at = now(), is_active = false
		WHERE id = ? AND deleted_at IS NULL`, id))
	if err != nil {
		return fmt.Errorf("delete webhook: %w", err)
	}
	if _, err := cancelPage(ctx, tx, id, firstCancelPage); err != nil {
		return err
	}
	return AddCommand(ctx, tx, CircuitChanged, id, nil)
}

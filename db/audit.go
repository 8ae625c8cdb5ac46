package db

import (
	"context"
	"fmt"
	"reflect"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/pg"
)

// AuditAction is what was done to a target.
type AuditAction string

// Actions in the audit log.
const (
	AuditCreated      AuditAction = "created"
	AuditUpdated      AuditAction = "updated"
	AuditSuspended    AuditAction = "suspended"
	AuditResumed      AuditAction = "resumed"
	AuditRevoked      AuditAction = "revoked"
	AuditRotated      AuditAction = "rotated"
	AuditDeleted      AuditAction = "deleted"
	AuditCircuitReset AuditAction = "circuit_reset"
	AuditReplayed     AuditAction = "replayed"
	AuditCanceled     AuditAction = "canceled"
	AuditErased       AuditAction = "erased"
)

// AuditActions are all actions.
func AuditActions() []AuditAction {
	return []AuditAction{
		AuditCreated,
		AuditUpdated,
		AuditSuspended,
		AuditResumed,
		AuditRevoked,
		AuditRotated,
		AuditDeleted,
		AuditCircuitReset,
		AuditReplayed,
		AuditCanceled,
		AuditErased,
	}
}

// Types of targets in the audit log.
const (
	AuditedKey      = "api_key"
	AuditedWebhook  = "webhook"
	AuditedSet      = "webhook_settings"
	AuditedReplay   = "replay"
	AuditedDelivery = "delivery"
	AuditedStaff    = "staff"
	AuditedCompany  = "company"
	// AuditedCandidate is only in entries of erasures.
	AuditedCandidate = "candidate"
)

// AuditEntry says who did what to which target, and what it changed. It has no secrets, no personal data and no bodies:
// names of changed fields, and values only where the target's type says that they may be shown.
type AuditEntry struct {
	bun.BaseModel `bun:"table:audit_log,alias:au"`

	ID uuid.UUID `bun:"id,pk"`
	// CompanyID is the target's company; nil: the platform's.
	CompanyID *uuid.UUID `bun:"company_id"`
	// Actor is "key:<id>", "staff:<id>", "person:<email>", "cli" or the name of a part of the system.
	Actor      string         `bun:"actor"`
	Action     AuditAction    `bun:"action"`
	TargetType string         `bun:"target_type"`
	TargetID   string         `bun:"target_id"`
	Before     map[string]any `bun:"before,type:jsonb"`
	After      map[string]any `bun:"after,type:jsonb"`
	At         time.Time      `bun:"at"`
}

// Audit writes an entry in the transaction of the change, so that one is not stored without the other. It sets the id
// and the time.
func Audit(ctx context.Context, tx bun.Tx, e *AuditEntry) error {
	e.ID, e.At = pg.NewID(), now()
	if e.Before == nil {
		e.Before = map[string]any{}
	}
	if e.After == nil {
		e.After = map[string]any{}
	}
	if _, err := tx.NewInsert().Model(e).Exec(ctx); err != nil {
		return fmt.Errorf("write audit log: %w", pg.Translate(err))
	}
	return nil
}

type actorKey struct{}

// WithActor returns a context whose deletions have that actor in the audit log; without one it is "system".
func WithActor(ctx context.Context, actor string) context.Context {
	return context.WithValue(ctx, actorKey{}, actor)
}

func actorOf(ctx context.Context) string {
	if actor, ok := ctx.Value(actorKey{}).(string); ok {
		return actor
	}
	return "system"
}

// AuditFilter selects entries; zero fields select all.
type AuditFilter struct {
	Action     AuditAction
	TargetType string
	TargetID   string
	// Before selects entries that are older than the entry with this id.
	Before uuid.UUID
}

// ListAudit returns entries of the scope, newest first.
func ListAudit(ctx context.Context, db bun.IDB, s pg.Scope, f AuditFilter, limit int64) ([]AuditEntry, error) {
	out := []AuditEntry{}
	q := db.NewSelect().Model(&out).Order("au.id DESC").Limit(limit)
	if s.Company != nil {
		q = q.Where("au.company_id = ?", *s.Company)
	}
	for column, value := range map[string]string{
		"action": string(f.Action), "target_type": f.TargetType, "target_id": f.TargetID,
	} {
		if value != "" {
			q = q.Where("au.? = ?", bun.Ident(column), value)
		}
	}
	if f.Before != uuid.Nil {
		q = q.Where("au.id < ?", f.Before)
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("list audit log: %w", err)
	}
	return out, nil
}

// DropAudit deletes up to limit entries that are older than the time, and returns their number.
func DropAudit(ctx context.Context, db bun.IDB, before time.Time, limit int) (int, error) {
	r, err := db.ExecContext(ctx, `DELETE FROM audit_log WHERE id IN
		(SELECT id FROM audit_log WHERE id < uuid_v7_floor(?) ORDER BY id LIMIT ?)`, before, limit)
	if err != nil {
		return 0, fmt.Errorf("drop audit log: %w", err)
	}
	n, err := r.RowsAffected()
	return int(n), err
}

// ChangedFields returns those of the named fields that differ, for an entry. A field that before lacks is not shown.
func ChangedFields(before, after map[string]any, names []string) (was, is map[string]any) {
	was, is = map[string]any{}, map[string]any{}
	for _, name := range names {
		a, shown := before[name]
		if b := after[name]; shown && !reflect.DeepEqual(a, b) {
			was[name], is[name] = a, b
		}
	}
	return was, is
}

package admin

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/api/client"
	"greenroom/db"
	"greenroom/db/pg"
)

// audit writes an entry about what an operator did.
func audit(
	ctx context.Context,
	tx bun.Tx,
	company *uuid.UUID,
	action db.AuditAction,
	target string,
	id uuid.UUID,
) error {
	return db.Audit(ctx, tx, &db.AuditEntry{
		CompanyID: company, Actor: actor, Action: action, TargetType: target, TargetID: id.String(),
	})
}

// AuditEntry is the output for an entry of the audit log.
type AuditEntry struct {
	ID         uuid.UUID      `json:"id"`
	At         time.Time      `json:"at"`
	CompanyID  *uuid.UUID     `json:"companyId"`
	Actor      string         `json:"actor"`
	Action     string         `json:"action"`
	TargetType string         `json:"targetType"`
	TargetID   string         `json:"targetId"`
	Before     map[string]any `json:"before"`
	After      map[string]any `json:"after"`
}

// ListAudit returns the newest entries about one company, or about all for "", and about one target, unless it is "".
func (a *Admin) ListAudit(ctx context.Context, company, target string, limit int64) ([]AuditEntry, error) {
	if err := checkLimit(limit); err != nil {
		return nil, err
	}
	id, err := a.companyID(ctx, company)
	if err != nil {
		return nil, err
	}
	if a.api != nil {
		return listed[AuditEntry](ctx, limit, place{}, nil, func(at place) (*http.Response, error) {
			return a.api.ListAudit(ctx, &client.ListAuditParams{
				Cursor: at.cursor, Limit: &at.size, TargetID: given(target), CompanyID: idText(id),
			})
		})
	}
	entries, err := db.ListAudit(ctx, a.DB, pg.Scope{Company: id}, db.AuditFilter{TargetID: target}, limit)
	if err != nil {
		return nil, err
	}
	shown := make([]AuditEntry, len(entries))
	for i, e := range entries {
		shown[i] = AuditEntry{
			ID: e.ID, At: e.At, CompanyID: e.CompanyID, Actor: e.Actor, Action: string(e.Action), TargetType: e.TargetType,
			TargetID: e.TargetID, Before: e.Before, After: e.After,
		}
	}
	return shown, nil
}

// Audit prints entries of the audit log.
func (p Printer) Audit(entries []AuditEntry) error {
	return p.Value(entries, func(w io.Writer) {
		row(w, "TIME", "ACTOR", "ACTION", "TYPE", "TARGET", "COMPANY", "CHANGED TO")
		for _, e := range entries {
			after, _ := json.Marshal(e.After) // it was JSON
			row(w, e.At, e.Actor, e.Action, e.TargetType, e.TargetID, companyText(e.CompanyID), string(after))
		}
	})
}

package surface

import (
	"context"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db"
	"greenroom/db/delivery"
)

// Audited returns an entry of the audit log for a change by the caller.
func Audited(c *gin.Context, company *uuid.UUID, action db.AuditAction, target string, id uuid.UUID) *db.AuditEntry {
	return &db.AuditEntry{
		CompanyID: company, Actor: Caller(c).Actor(), Action: action, TargetType: target, TargetID: id.String(),
	}
}

// AuditWebhook writes an entry about a webhook that the caller changed.
func AuditWebhook(ctx context.Context, tx bun.Tx, c *gin.Context, w *delivery.Webhook, action db.AuditAction) error {
	return db.Audit(ctx, tx, Audited(c, w.Company(), action, db.AuditedWebhook, w.ID))
}

// storeWebhook stores a webhook and writes an entry about it.
func storeWebhook(ctx context.Context, tx bun.Tx, c *gin.Context, w *delivery.Webhook) error {
	if err := delivery.CreateWebhook(ctx, tx, w); err != nil {
		return err
	}
	e := Audited(c, w.Company(), db.AuditCreated, db.AuditedWebhook, w.ID)
	e.After = WebhookFields(w)
	return db.Audit(ctx, tx, e)
}

// UpdateWebhook writes the named columns of a webhook and an entry about them; before is the row as it was read.
func UpdateWebhook(
	ctx context.Context,
	tx bun.Tx,
	c *gin.Context,
	before, w *delivery.Webhook,
	columns ...string,
) error {
	e := Audited(c, w.Company(), db.AuditUpdated, db.AuditedWebhook, w.ID)
	e.Before, e.After = db.ChangedFields(WebhookFields(before), WebhookFields(w), columns)
	e.After["fields"] = columns
	if err := delivery.UpdateWebhook(ctx, tx, w, columns...); err != nil {
		return err
	}
	return db.Audit(ctx, tx, e)
}

// DeleteWebhook deletes a webhook and writes an entry about it.
func DeleteWebhook(ctx context.Context, tx bun.Tx, c *gin.Context, w *delivery.Webhook) error {
	if err := delivery.DeleteWebhook(ctx, tx, w.ID); err != nil {
		return err
	}
	return AuditWebhook(ctx, tx, c, w, db.AuditDeleted)
}

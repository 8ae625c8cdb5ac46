package api

import (
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"greenroom/api/surface"
	"greenroom/db"
)

func (s *server) auditRoutes() []surface.Route {
	return []surface.Route{
		surface.List("/audit", "read:audit", s.listAudit, "cursor", "limit", "action", "targetType", "targetId"),
	}
}

// auditOutput is an entry of the audit log.
type auditOutput struct {
	ID         uuid.UUID         `json:"id"`
	CompanyID  *uuid.UUID        `json:"companyId"`
	Actor      string            `json:"actor"`
	Action     db.AuditAction    `json:"action"`
	TargetType string            `json:"targetType"`
	TargetID   string            `json:"targetId"`
	Before     map[string]any    `json:"before"`
	After      map[string]any    `json:"after"`
	At         surface.Timestamp `json:"at"`
}

func showAudit(e *db.AuditEntry) auditOutput {
	return auditOutput{
		ID: e.ID, CompanyID: e.CompanyID, Actor: e.Actor, Action: e.Action, TargetType: e.TargetType, TargetID: e.TargetID,
		Before: e.Before, After: e.After, At: surface.Timestamp(e.At),
	}
}

// listAudit answers one page of the audit log, newest first. A company's key sees the entries of its company.
func (s *server) listAudit(c *gin.Context) error {
	scope, err := surface.ScopeOf(c)
	if err != nil {
		return err
	}
	limit, err := surface.QueryInt(c, "limit", 20, 100)
	if err != nil {
		return err
	}
	var f db.AuditFilter
	if f.Before, err = queryCursor(c); err != nil {
		return err
	}
	actions := surface.Mapped(db.AuditActions(), func(a *db.AuditAction) string { return string(*a) })
	action, err := surface.QueryOneOf(c, "action", actions...)
	if err != nil {
		return err
	}
	f.Action = db.AuditAction(action)
	if f.TargetType, err = surface.QueryText(c, "targetType"); err != nil {
		return err
	}
	if f.TargetID, err = surface.QueryText(c, "targetId"); err != nil {
		return err
	}
	entries, err := db.ListAudit(c.Request.Context(), s.DB, scope, f, limit+1)
	if err != nil {
		return err
	}
	var next *string
	if int64(len(entries)) > limit {
		entries = entries[:limit]
		cursor := cursorOf(entries[limit-1].ID)
		next = &cursor
	}
	return ok(c, http.StatusOK,
		gin.H{"data": surface.Mapped(entries, showAudit), "nextCursor": next, "hasMore": next != nil})
}

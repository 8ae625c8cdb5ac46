package db

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// setWriter stores sets and their webhooks. The caller has locked the company.
type setWriter struct {
	tx      bun.Tx
	deps    SetDeps
	company uuid.UUID
}

// write applies a change to a set and stores it: as a new row when it is a copy or was never stored. Without a
// difference it makes no copy.
func (w *setWriter) write(ctx context.Context, set *WebhookSet, c WebhookChange, asCopy bool) error {
	if err := set.open(w.deps.Box); err != nil {
		return err
	}
	before := *set
	if err := set.apply(c); err != nil {
		return err
	}
	if asCopy && sameSettings(&before, set) {
		return nil
	}
	isNew := asCopy || set.ID == uuid.Nil
	set.UpdatedAt = now()
	if isNew {
		set.ID, set.CompanyID, set.CreatedAt = pg.NewID(), w.company, set.UpdatedAt
	}
	if err := w.store(ctx, set, isNew); err != nil {
		return err
	}
	return w.syncWebhooks(ctx, set, isNew || c.Start != nil, isNew || c.Submission != nil)
}

func (w *setWriter) store(ctx context.Context, set *WebhookSet, isNew bool) error {
	if err := set.seal(w.deps.Box); err != nil {
		return err
	}
	var err error
	if isNew {
		_, err = w.tx.NewInsert().Model(set).Exec(ctx)
	} else {
		_, err = w.tx.NewUpdate().Model(set).WherePK().Exec(ctx)
	}
	if err != nil {
		return fmt.Errorf("store webhook set: %w", pg.Translate(err))
	}
	return nil
}

// audit writes an entry about a change of a set. It names what was sent: URLs and user names may be credentials.
func (w *setWriter) audit(ctx context.Context, set *WebhookSet, c WebhookChange, everywhere bool) error {
	sent := map[string]any{
		"start": c.Start != nil, "submission": c.Submission != nil, "auth": c.Auth != nil, "all_jobs": everywhere,
		"has_password": set.BasicPassword != nil, "has_apikey": set.APIKeyValue != nil,
	}
	return Audit(ctx, w.tx, &AuditEntry{
		CompanyID: &w.company, Actor: w.deps.Actor, Action: AuditUpdated, TargetType: AuditedSet,
		TargetID: set.ID.String(), After: sent,
	})
}

// sameSettings compares the client's settings of two sets, credentials included.
func sameSettings(a, b *WebhookSet) bool {
	return equal(a.StartStatus, b.StartStatus) && equal(a.StartURL, b.StartURL) &&
		equal(a.SubmissionStatus, b.SubmissionStatus) &&
		equal(a.SubmissionURL, b.SubmissionURL) &&
		equal(a.AuthType, b.AuthType) &&
		a.AuthStatus == b.AuthStatus &&
		equal(a.BasicUsername, b.BasicUsername) &&
		equal(a.password, b.password) &&
		equal(a.APIKeyHeader, b.APIKeyHeader) &&
		equal(a.apiKey, b.apiKey)
}

func equal[T comparable](a, b *T) bool { return a == b || a != nil && b != nil && *a == *b }

// syncWebhooks creates and updates the set's webhooks. It only changes whether a webhook is active when the client sent
// that target: a webhook that was disabled by a 410 answer stays disabled when other settings change.
func (w *setWriter) syncWebhooks(ctx context.Context, set *WebhookSet, start, submission bool) error {
	spoken := []bool{start, submission}
	for i, t := range set.targets() {
		hook, err := w.findWebhook(ctx, set.ID, t.event)
		switch {
		case err != nil:
			return err
		case hook != nil:
			err = w.update(ctx, set, hook, t, spoken[i])
		case spoken[i] && t.url != nil:
			err = w.create(ctx, set, t)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// findWebhook returns the set's webhook for that event; nil when there is none or it was deleted.
func (w *setWriter) findWebhook(ctx context.Context, set uuid.UUID, event string) (*delivery.Webhook, error) {
	h := new(delivery.Webhook)
	err := pg.Translate(
		w.tx.NewSelect().Model(h).Where("w.set_id = ? AND w.deleted_at IS NULL AND w.events @> ARRAY[?]", set, event).
			Limit(1).Scan(ctx),
	)
	if errors.Is(err, pg.ErrNotFound) {
		return nil, nil //nolint:nilnil // none is an ordinary answer
	}
	if err != nil {
		return nil, fmt.Errorf("get webhook of set: %w", err)
	}
	return h, nil
}

func (w *setWriter) create(ctx context.Context, set *WebhookSet, t target) error {
	if err := CheckWebhookQuota(ctx, w.tx, w.company, w.deps.MaxWebhooks); err != nil {
		return err
	}
	h, err := w.deps.NewWebhook(t.event, *t.url)
	if err != nil {
		return err
	}
	h.CompanyID, h.SetID, h.URL, h.Events, h.IsActive = &w.company, &set.ID, *t.url, []string{t.event}, t.active
	if h.Headers, err = w.headers(set, h.ID); err != nil {
		return err
	}
	return delivery.CreateWebhook(ctx, w.tx, h)
}

func (w *setWriter) update(
	ctx context.Context,
	set *WebhookSet,
	h *delivery.Webhook,
	t target,
	spoken bool,
) (err error) {
	if t.url == nil {
		return nil
	}
	h.URL = *t.url
	if h.Headers, err = w.headers(set, h.ID); err != nil {
		return err
	}
	columns := []string{"url", "headers"}
	if spoken && h.IsActive != t.active {
		if h.HeldByPlatform && !w.deps.Platform {
			return &pg.StateError{
				Resource: "webhook",
				State:    "deactivated by the platform, and only the platform can activate it",
			}
		}
		h.IsActive, h.DisabledReason, h.HeldByPlatform = t.active, nil, !t.active && w.deps.Platform
		columns = append(columns, "is_active", "disabled_reason", "held_by_platform")
	}
	return delivery.UpdateWebhook(ctx, w.tx, h, columns...)
}

// headers returns the set's credentials as a sealed header of one of its webhooks.
func (w *setWriter) headers(set *WebhookSet, hook uuid.UUID) ([]delivery.WebhookHeader, error) {
	name, value := set.credential()
	if name == "" {
		return []delivery.WebhookHeader{}, nil
	}
	sealed, err := w.deps.Box.Seal([]byte(value), hook, delivery.HeaderField(name))
	return []delivery.WebhookHeader{{Name: name, Sealed: sealed}}, err
}

func (s *WebhookSet) credential() (name, value string) {
	switch {
	case s.AuthType == nil || !s.AuthStatus || *s.AuthType == AuthBasic && s.password == nil ||
		*s.AuthType == AuthAPIKey && s.apiKey == nil:
		return "", ""
	case *s.AuthType == AuthBasic: // RFC 7617 §2
		return "Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte(*s.BasicUsername+":"+*s.password))
	}
	return *s.APIKeyHeader, *s.apiKey
}

// applyToAllJobs gives the set to all jobs of the company. It points the other sets' webhooks at the new URLs too, so
// that pending deliveries use them; removeUnused removes these once they are drained.
func (w *setWriter) applyToAllJobs(ctx context.Context, set *WebhookSet) error {
	var others []WebhookSet
	err := w.tx.NewSelect().
		Model(&others).
		Where("ws.company_id = ? AND ws.id <> ?", w.company, set.ID).
		Order("ws.id").
		Scan(ctx)
	if err != nil {
		return fmt.Errorf("list webhook sets: %w", err)
	}
	for _, o := range others {
		like := *set
		like.ID, like.CreatedAt = o.ID, o.CreatedAt
		if err := w.store(ctx, &like, false); err != nil {
			return err
		}
		if err := w.updateWebhooks(ctx, &like); err != nil {
			return err
		}
	}
	_, err = w.tx.ExecContext(
		ctx,
		"UPDATE jobs SET webhook_set_id = ? WHERE company_id = ? AND webhook_set_id IS DISTINCT FROM ?",
		set.ID,
		w.company,
		set.ID,
	)
	if err != nil {
		return fmt.Errorf("set jobs' webhooks: %w", err)
	}
	return nil
}

// updateWebhooks updates the set's existing webhooks to its settings.
func (w *setWriter) updateWebhooks(ctx context.Context, set *WebhookSet) error {
	for _, t := range set.targets() {
		hook, err := w.findWebhook(ctx, set.ID, t.event)
		if err == nil && hook != nil { // one that the platform deactivated stays so
			err = w.update(ctx, set, hook, t, !hook.HeldByPlatform || w.deps.Platform)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// removeUnused deletes sets without jobs, and their webhooks, once nothing is pending. It spares a set that changed
// within the last minute: a transaction that read it may be about to record an event.
func (w *setWriter) removeUnused(ctx context.Context) error {
	var unused []uuid.UUID
	err := w.tx.NewRaw(`SELECT s.id FROM webhook_sets s JOIN companies c ON c.id = s.company_id
		WHERE s.company_id = ? AND s.id IS DISTINCT FROM c.webhook_set_id AND s.updated_at < now() - interval '1 minute'
		AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.webhook_set_id = s.id)
		AND NOT EXISTS (SELECT 1 FROM webhooks w JOIN deliveries d ON live_webhook(d.status, d.webhook_id) = w.id
			WHERE w.set_id = s.id)`, w.company).Scan(ctx, &unused)
	if err != nil {
		return fmt.Errorf("list unused webhook sets: %w", err)
	}
	for _, id := range unused {
		if err := w.remove(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

func (w *setWriter) remove(ctx context.Context, set uuid.UUID) error {
	var hooks []uuid.UUID
	err := w.tx.NewRaw("SELECT id FROM webhooks WHERE set_id = ? AND deleted_at IS NULL ORDER BY id", set).
		Scan(ctx, &hooks)
	if err != nil {
		return fmt.Errorf("list webhooks of set: %w", err)
	}
	for _, id := range hooks {
		if err := delivery.DeleteWebhook(ctx, w.tx, id); err != nil {
			return err
		}
	}
	for _, query := range []string{"UPDATE webhooks SET set_id = NULL WHERE set_id = ?", "DELETE " +
		"FROM webhook_sets WHERE id = ?"} {
		if _, err := w.tx.ExecContext(ctx, query, set); err != nil {
			return fmt.Errorf("remove webhook set: %w", err)
		}
	}
	return nil
}

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

// setWriter stores sets and the webhooks that follow from them, under the lock of their company.
type setWriter struct {
	tx      bun.Tx
	kit     SetKit
	company uuid.UUID
}

// write changes set and stores it, as a new one when it is to be a copy or has never been stored. A change that changes
// nothing makes no copy.
func (w *setWriter) write(ctx context.Context, set *WebhookSet, c WebhookChange, asCopy bool) error {
	if err := set.open(w.kit.Box); err != nil {
		return err
	}
	before := *set
	if err := set.apply(c); err != nil {
		return err
	}
	if asCopy && alike(&before, set) {
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
	return w.follow(ctx, set, isNew || c.Start != nil, isNew || c.Submission != nil)
}

func (w *setWriter) store(ctx context.Context, set *WebhookSet, isNew bool) error {
	if err := set.seal(w.kit.Box); err != nil {
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

// alike compares what a client gave of two sets, credentials included.
func alike(a, b *WebhookSet) bool {
	return equal(a.StartStatus, b.StartStatus) && equal(a.StartURL, b.StartURL) && equal(a.SubmissionStatus, b.SubmissionStatus) &&
		equal(a.SubmissionURL, b.SubmissionURL) && equal(a.AuthType, b.AuthType) &&
		a.AuthStatus == b.AuthStatus &&
		equal(a.BasicUsername, b.BasicUsername) &&
		equal(a.password, b.password) &&
		equal(a.APIKeyHeader, b.APIKeyHeader) &&
		equal(a.apiKey, b.apiKey)
}

func equal[T comparable](a, b *T) bool { return a == b || a != nil && b != nil && *a == *b }

// follow makes the set's webhooks as the set says. Whether one is active is changed only when the client spoke of it: a
// receiver that was disabled because it answered 410 stays so when other settings change.
func (w *setWriter) follow(ctx context.Context, set *WebhookSet, start, submission bool) error {
	spoken := []bool{start, submission}
	for i, t := range set.targets() {
		hook, err := w.hook(ctx, set.ID, t.event)
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

// hook is the set's webhook for that event, nil when there is none or somebody deleted it.
func (w *setWriter) hook(ctx context.Context, set uuid.UUID, event string) (*delivery.Webhook, error) {
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
	h, err := w.kit.NewWebhook(t.event, *t.url)
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
		h.IsActive, h.DisabledReason = t.active, nil
		columns = append(columns, "is_active", "disabled_reason")
	}
	return delivery.UpdateWebhook(ctx, w.tx, h, columns...)
}

// headers are the set's credentials as a masked header of one of its webhooks.
func (w *setWriter) headers(set *WebhookSet, hook uuid.UUID) ([]delivery.WebhookHeader, error) {
	name, value := set.credential()
	if name == "" {
		return []delivery.WebhookHeader{}, nil
	}
	sealed, err := w.kit.Box.Seal([]byte(value), hook, delivery.HeaderField(name))
	return []delivery.WebhookHeader{{Name: name, Sealed: sealed}}, err
}

func (s *WebhookSet) credential() (name, value string) {
	switch {
	case s.AuthType == nil || !s.AuthStatus:
		return "", ""
	case *s.AuthType == AuthBasic: // RFC 7617 §2
		return "Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte(*s.BasicUsername+":"+*s.password))
	}
	return *s.APIKeyHeader, *s.apiKey
}

// unite gives set to all jobs of the company. What the other sets' webhooks still have to deliver follows to the new
// address: they are made like the set's own until they have nothing left.
func (w *setWriter) unite(ctx context.Context, set *WebhookSet) error {
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
		if err := w.chase(ctx, &like); err != nil {
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

// chase makes the webhooks that a set still has as the set says now.
func (w *setWriter) chase(ctx context.Context, set *WebhookSet) error {
	for _, t := range set.targets() {
		hook, err := w.hook(ctx, set.ID, t.event)
		if err == nil && hook != nil {
			err = w.update(ctx, set, hook, t, true)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// sweep removes sets that nobody has any more, with their webhooks, once these have nothing left to deliver. A set
// that was changed just now stays for the next time: an event whose transaction saw a job with it may be about to be
// recorded.
func (w *setWriter) sweep(ctx context.Context) error {
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
	for _, query := range []string{"UPDATE webhooks SET set_id = NULL WHERE set_id = ?", "DELETE FROM webhook_sets WHERE id = ?"} {
		if _, err := w.tx.ExecContext(ctx, query, set); err != nil {
			return fmt.Errorf("remove webhook set: %w", err)
		}
	}
	return nil
}

package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/catalog"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// Steps of an erasure, in their order. Deliveries come before events, because a delivery is matched by its event. The
// late steps find what was made meanwhile: an event in a transaction that was in progress, a delivery of a fan-out. An
// erased event has the candidate's id, so its deliveries match too.
const (
	stepDeliveries     = "deliveries"
	stepEvents         = "events"
	stepLateEvents     = "late events"
	stepLateDeliveries = "late deliveries"
	stepRecheck        = "recheck"
	stepAnswers        = "answers"
	stepFiles          = "files"
	stepNotify         = "notify"
	stepDone           = "done"
)

const (
	// erasePage bounds the rows that one transaction reads.
	erasePage = 1000
	// settleErasure is longer than an attempt takes from loading its body until its answer is recorded, and than a
	// transaction that publishes.
	settleErasure = 2 * time.Minute
	// fileRetry is how often an erasure looks whether its files are deleted.
	fileRetry = 10 * time.Second
)

// DueErasures returns erasures that have work to do now.
func DueErasures(ctx context.Context, db bun.IDB, limit int) ([]uuid.UUID, error) {
	ids := []uuid.UUID{}
	err := db.NewRaw(`SELECT id FROM erasures WHERE done_at IS NULL AND not_before <= now()
		ORDER BY not_before LIMIT ?`, limit).Scan(ctx, &ids)
	if err != nil {
		return nil, fmt.Errorf("list erasures: %w", err)
	}
	return ids, nil
}

// ContinueErasure does one page of an erasure in a transaction. more is false when nothing can be done now: it is done,
// it waits, or another process works on it.
func ContinueErasure(ctx context.Context, db *bun.DB, id uuid.UUID) (more bool, err error) {
	err = pg.InTx(ctx, db, func(ctx context.Context, tx bun.Tx) error {
		e := new(Erasure)
		err := tx.NewSelect().Model(e).Where("er.id = ? AND er.done_at IS NULL AND er.not_before <= now()", id).
			For("UPDATE SKIP LOCKED").Scan(ctx)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("load erasure: %w", err)
		}
		if err := e.page(ctx, tx); err != nil {
			return err
		}
		more = e.DoneAt == nil && !e.NotBefore.After(time.Now())
		_, err = tx.NewUpdate().Model(e).WherePK().
			Column("step", "cursor", "needles", "removed", "not_before", "event_id", "done_at").Exec(ctx)
		if err != nil {
			return fmt.Errorf("store erasure: %w", err)
		}
		return nil
	})
	return more, err
}

func (e *Erasure) page(ctx context.Context, tx bun.Tx) error {
	switch e.Step {
	case stepDeliveries:
		return e.pageOf(stepEvents, "deliveries", e.deliveries(ctx, tx))
	case stepEvents:
		return e.pageOf(stepLateEvents, "events", e.events(ctx, tx))
	case stepLateEvents:
		return e.pageOf(stepLateDeliveries, "events", e.events(ctx, tx))
	case stepLateDeliveries:
		return e.pageOf(stepRecheck, "deliveries", e.deliveries(ctx, tx))
	case stepRecheck:
		return e.pageOf(stepAnswers, "", func(after uuid.UUID) (delivery.ErasedPage, error) {
			return delivery.RecheckErased(
				ctx, tx, e.ID, e.CompanyID, after, string(delivery.ErasedData(e.CandidateID)), erasePage)
		})
	case stepAnswers:
		return e.eraseAnswers(ctx, tx)
	case stepFiles:
		return e.awaitFiles(ctx, tx)
	default:
		return e.notify(ctx, tx)
	}
}

type erasedPage func(after uuid.UUID) (delivery.ErasedPage, error)

func (e *Erasure) deliveries(ctx context.Context, tx bun.Tx) erasedPage {
	return func(after uuid.UUID) (delivery.ErasedPage, error) {
		return delivery.EraseDeliveries(ctx, tx, e.ID, e.CompanyID, after, e.person(), erasePage)
	}
}

func (e *Erasure) events(ctx context.Context, tx bun.Tx) erasedPage {
	return func(after uuid.UUID) (delivery.ErasedPage, error) {
		return delivery.EraseEvents(
			ctx, tx, e.CompanyID, after, e.person(), string(delivery.ErasedData(e.CandidateID)), erasePage)
	}
}

// pageOf does a page of the engine's rows, counts what it erased as kind, and goes to the next step after the last one.
// After the events it waits for publishers and for attempts in flight, also of deliveries that had ended: an operator
// may have repeated one. If deliveries were erased it waits after the late ones too, whichever page they were on.
func (e *Erasure) pageOf(next, kind string, do erasedPage) error {
	after, err := e.after("")
	if err != nil {
		return err
	}
	p, err := do(after)
	if err != nil {
		return err
	}
	if kind != "" {
		e.count(kind, p.Erased)
	}
	e.count("canceledDeliveries", p.Canceled)
	e.Cursor = p.Last.String()
	if p.Looked < erasePage {
		if e.Step == stepEvents || e.Step == stepLateDeliveries && e.Removed["deliveries"] > 0 {
			e.NotBefore = time.Now().Add(settleErasure)
		}
		e.Step, e.Cursor = next, ""
	}
	return nil
}

// after is the id that the current step, or the part of it whose cursors begin with part, continues after.
func (e *Erasure) after(part string) (uuid.UUID, error) {
	cursor := strings.TrimPrefix(e.Cursor, part)
	if cursor == "" {
		return uuid.Nil, nil
	}
	id, err := uuid.Parse(cursor)
	if err != nil {
		return id, fmt.Errorf("read cursor of an erasure: %w", err)
	}
	return id, nil
}

func (e *Erasure) count(kind string, n int) {
	if n > 0 {
		e.Removed[kind] += int64(n)
	}
}

// erasedAnswer replaces the stored answer to an idempotency key. Its request is answered with 410.
const erasedAnswer = `{"success":false,"data":null,"error":{"code":"RESOURCE_NOT_FOUND",` +
	`"message":"The person of this answer was erased","details":null}}`

// inProfiles begins the cursor of a step that deletes sourced profiles. It is a part of stepAnswers and no step of its
// own: a worker of an older version would take an unknown step for the last one, but fails to read this cursor.
const inProfiles = "profiles:"

// eraseSourced deletes a page of the sourced profiles that have the person.
func (e *Erasure) eraseSourced(ctx context.Context, tx bun.Tx) error {
	after, err := e.after(inProfiles)
	if err != nil {
		return err
	}
	p, err := EraseProfiles(ctx, tx, e.CompanyID, after, e.person(), erasePage)
	if err != nil {
		return err
	}
	e.count("sourcedProfiles", p.Erased)
	e.Cursor = inProfiles + p.Last.String()
	if p.Looked < erasePage {
		e.Cursor = inRuns
	}
	return nil
}

// inRuns begins the cursor of the part of stepAnswers that follows inProfiles.
const inRuns = "runs:"

// eraseRequests removes the person from a page of the requests to services.
func (e *Erasure) eraseRequests(ctx context.Context, tx bun.Tx) error {
	after, err := e.after(inRuns)
	if err != nil {
		return err
	}
	p, err := EraseRuns(ctx, tx, e.CompanyID, after, e.person(), erasePage)
	if err != nil {
		return err
	}
	e.count("sourcingRequests", p.Erased)
	e.Cursor = inRuns + p.Last.String()
	if p.Looked < erasePage {
		e.Step, e.Cursor = stepFiles, ""
	}
	return nil
}

// eraseAnswers replaces the company's and the platform's stored answers that have the person. A key that has the person
// is deleted. There are those of a day, so each API key's are one page. The sourced profiles follow, and the requests
// to services.
func (e *Erasure) eraseAnswers(ctx context.Context, tx bun.Tx) error {
	switch {
	case strings.HasPrefix(e.Cursor, inProfiles):
		return e.eraseSourced(ctx, tx)
	case strings.HasPrefix(e.Cursor, inRuns):
		return e.eraseRequests(ctx, tx)
	}
	after, err := e.after("")
	if err != nil {
		return err
	}
	var key uuid.UUID
	err = tx.NewRaw(`SELECT id FROM api_keys WHERE id > ? AND (company_id = ? OR company_id IS NULL) ORDER BY id LIMIT 1`,
		after, e.CompanyID).Scan(ctx, &key)
	if errors.Is(err, sql.ErrNoRows) {
		e.Cursor = inProfiles
		return nil
	}
	if err != nil {
		return fmt.Errorf("list API keys: %w", err)
	}
	answers, named, err := answersAbout(ctx, tx, key, e.person())
	if err != nil {
		return fmt.Errorf("look for idempotent answers: %w", err)
	}
	_, err = pg.Direct(tx).ExecContext(ctx, `UPDATE idempotency_keys SET response = $3, status_code = 410
		WHERE api_key_id = $1 AND key = ANY ($2::text[])`, key, answers, erasedAnswer)
	if err != nil {
		return fmt.Errorf("erase idempotent answers: %w", err)
	}
	e.count("idempotentAnswers", len(answers))
	_, err = pg.Direct(tx).ExecContext(ctx,
		"DELETE FROM idempotency_keys WHERE api_key_id = $1 AND key = ANY ($2::text[])", key, named)
	if err != nil {
		return fmt.Errorf("erase idempotency keys: %w", err)
	}
	e.Cursor = key.String()
	return nil
}

// keyWords separates the words of an idempotency key.
var keyWords = strings.NewReplacer("-", " ", "_", " ")

// answersAbout returns the idempotency keys of an API key whose answers have the person, and those that name the
// person.
func answersAbout(
	ctx context.Context, tx bun.Tx, apiKey uuid.UUID, who delivery.Person,
) (answers, named []string, err error) {
	rows, err := pg.Direct(tx).QueryContext(ctx, `SELECT key, response FROM idempotency_keys WHERE api_key_id = $1
		AND (lower(response) LIKE ANY ($2::text[]) OR lower(key) LIKE ANY ($2::text[]))`, apiKey, who.Patterns)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = rows.Close() }() // rows.Err reports its error
	for rows.Next() {
		var key, response string
		if err := rows.Scan(&key, &response); err != nil {
			return nil, nil, err
		}
		if who.In(response) {
			answers = append(answers, key)
		}
		if who.In(key) || who.In(keyWords.Replace(key)) {
			named = append(named, key)
		}
	}
	return answers, named, rows.Err()
}

// awaitFiles waits until the media store has deleted the person's files.
func (e *Erasure) awaitFiles(ctx context.Context, tx bun.Tx) error {
	var left int
	if len(e.Files) > 0 {
		err := tx.NewRaw("SELECT count(*) FROM stray_files WHERE file IN (?)", bun.List(e.Files)).Scan(ctx, &left)
		if err != nil {
			return fmt.Errorf("look for files: %w", err)
		}
	}
	if left > 0 {
		e.NotBefore = time.Now().Add(fileRetry)
		return nil
	}
	e.Step = stepNotify
	return nil
}

// notify records candidate.erased and ends the erasure. From then on nothing of the person is left in it.
func (e *Erasure) notify(ctx context.Context, tx bun.Tx) error {
	event := &delivery.Event{
		CompanyID: &e.CompanyID, Type: catalog.CandidateErased, Data: delivery.ErasedEventData(e.CandidateID, e.ID),
	}
	if err := delivery.RecordErased(ctx, tx, e.ID, event); err != nil {
		return err
	}
	done := now()
	e.EventID, e.DoneAt, e.Step, e.Needles = &event.ID, &done, stepDone, []string{}
	return nil
}

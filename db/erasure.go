package db

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/pg"
)

// ErasureReason is why a person is erased.
type ErasureReason string

// Requested: by a client. Expired: the candidate's gdprExpiryDate has passed.
const (
	ErasureRequested ErasureReason = "requested"
	ErasureExpired   ErasureReason = "expired"
)

// Erasure is the removal of one person. The row is the work: the leader does it step by step, each page in a
// transaction of its own that moves the cursor too, so a killed process repeats at most a page.
type Erasure struct {
	bun.BaseModel `bun:"table:erasures,alias:er"`

	ID          uuid.UUID     `bun:"id,pk"`
	CompanyID   uuid.UUID     `bun:"company_id"`
	CandidateID uuid.UUID     `bun:"candidate_id"`
	Reason      ErasureReason `bun:"reason"`
	Step        string        `bun:"step"`
	Cursor      string        `bun:"cursor"`
	// Needles are what the person is found by: ids, and until the erasure is done the e-mail address and the number.
	Needles []string `bun:"needles,array"`
	Files   []string `bun:"files,array"`
	// Removed counts what was removed, by kind.
	Removed     map[string]int64 `bun:"removed,type:jsonb"`
	NotBefore   time.Time        `bun:"not_before"`
	EventID     *uuid.UUID       `bun:"event_id"`
	RequestedAt time.Time        `bun:"requested_at"`
	DoneAt      *time.Time       `bun:"done_at"`
}

// Status is "running" or "done".
func (e *Erasure) Status() string {
	if e.DoneAt == nil {
		return "running"
	}
	return "done"
}

// ErasureReceiver is a webhook that got data of the person, or the event candidate.erased.
type ErasureReceiver struct {
	WebhookID  uuid.UUID
	DeliveryID *uuid.UUID
	Status     *string
	// ConfirmedAt is when the receiver accepted candidate.erased.
	ConfirmedAt *time.Time
	Deleted     bool
}

// CandidateCompany returns the company of a candidate, also of a deleted one.
func CandidateCompany(ctx context.Context, db bun.IDB, candidate uuid.UUID) (*Candidate, error) {
	c := new(Candidate)
	err := db.NewSelect().Model(c).Column("id", "company_id", "deleted_at").Where("c.id = ?", candidate).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("get candidate: %w", pg.Translate(err))
	}
	return c, nil
}

// BeginErasure deletes a candidate, cancels its interviews, removes the person from the platform's rows, and stores the
// work that remains. A second erasure of a candidate is the first one; begun is then false.
func BeginErasure(
	ctx context.Context, tx bun.Tx, candidate uuid.UUID, reason ErasureReason,
) (e *Erasure, begun bool, err error) {
	if err := lockPerson(ctx, tx, candidate); err != nil {
		return nil, false, err
	}
	c := new(Candidate)
	// Not FOR UPDATE, which conflicts with the foreign key of a row that a transaction with the interview's lock inserts.
	if err := tx.NewSelect().Model(c).Where("c.id = ?", candidate).For("NO KEY UPDATE").Scan(ctx); err != nil {
		return nil, false, fmt.Errorf("lock candidate: %w", pg.Translate(err))
	}
	if e, err = GetErasure(ctx, tx, candidate); !errors.Is(err, pg.ErrNotFound) {
		return e, false, err
	}
	e = &Erasure{
		ID: pg.NewID(), CompanyID: c.CompanyID, CandidateID: c.ID, Reason: reason, Step: stepDeliveries,
		Removed: map[string]int64{}, RequestedAt: now(), NotBefore: now(),
	}
	if e.Needles, err = needlesOf(ctx, tx, c); err != nil {
		return nil, false, err
	}
	e.Files = []string{}
	err = tx.NewRaw(`SELECT file FROM answer_videos WHERE candidate_id = ?0
		UNION SELECT file FROM attachments WHERE candidate_id = ?0`, c.ID).Scan(ctx, &e.Files)
	if err != nil {
		return nil, false, fmt.Errorf("list candidate's files: %w", err)
	}
	e.Removed["files"] = int64(len(e.Files))
	if err := eraseRows(ctx, tx, e); err != nil { // first: the events of the deletion have what the rows have
		return nil, false, err
	}
	if err := deleteForErasure(ctx, tx, c); err != nil {
		return nil, false, err
	}
	if _, err := tx.NewInsert().Model(e).Exec(ctx); err != nil {
		return nil, false, fmt.Errorf("begin erasure: %w", pg.Translate(err))
	}
	return e, true, Audit(ctx, tx, &AuditEntry{
		CompanyID: &c.CompanyID, Actor: actorOf(ctx), Action: AuditErased, TargetType: AuditedCandidate,
		TargetID: c.ID.String(), After: map[string]any{"reason": string(reason)},
	})
}

// deleteForErasure deletes the candidate, unless it is deleted, and cancels the interviews in progress too.
func deleteForErasure(ctx context.Context, tx bun.Tx, c *Candidate) error {
	var running []uuid.UUID
	err := tx.NewRaw(`SELECT id FROM interviews WHERE candidate_id = ? AND status = 'IN_PROGRESS'
		ORDER BY id FOR UPDATE`, c.ID).Scan(ctx, &running)
	if err != nil {
		return fmt.Errorf("list candidate's interviews: %w", err)
	}
	for _, id := range running {
		if _, err := CancelInterview(ctx, tx, id, ReasonCandidateDeleted); err != nil {
			return err
		}
	}
	if c.DeletedAt != nil {
		return nil
	}
	return DeleteCandidate(ctx, tx, c.ID)
}

// lockPerson makes the erasures of candidates with one address or number follow each other: of two at a time, each
// would take the other candidate for another person who has the same, and nobody would be found by it.
func lockPerson(ctx context.Context, tx bun.Tx, candidate uuid.UUID) error {
	c := new(Candidate)
	if err := tx.NewSelect().Model(c).Where("c.id = ?", candidate).Scan(ctx); err != nil {
		return fmt.Errorf("get candidate: %w", pg.Translate(err))
	}
	for _, shared := range []*string{c.Email, c.PhoneNumber} {
		if shared == nil || *shared == "" {
			continue
		}
		if err := lockEmail(ctx, tx, c.CompanyID, *shared); err != nil {
			return err
		}
	}
	return nil
}

// needlesOf returns the ids of the candidate and its interviews, and its e-mail address and number, unless another
// candidate of the company has the same: that person's events stay.
func needlesOf(ctx context.Context, tx bun.Tx, c *Candidate) ([]string, error) {
	needles := []string{c.ID.String()}
	var interviews []string
	err := tx.NewRaw("SELECT id::text FROM interviews WHERE candidate_id = ?", c.ID).Scan(ctx, &interviews)
	if err != nil {
		return nil, fmt.Errorf("list candidate's interviews: %w", err)
	}
	needles = append(needles, interviews...)
	for column, value := range map[string]*string{"email": c.Email, "phone_number": c.PhoneNumber} {
		if value == nil || *value == "" {
			continue
		}
		var shared bool
		err := tx.NewRaw(`SELECT EXISTS (SELECT FROM candidates WHERE company_id = ?0 AND id <> ?1
			AND lower(?2) = lower(?3) AND deleted_at IS NULL)`, c.CompanyID, c.ID, bun.Ident(column), *value).Scan(ctx, &shared)
		if err != nil {
			return nil, fmt.Errorf("look for another candidate: %w", err)
		}
		if !shared {
			needles = append(needles, *value)
		}
	}
	return needles, nil
}

// erasedRows are the statements that remove the person from the platform's rows, ?0 being the candidate.
var erasedRows = []struct{ kind, query string }{
	{"interviews", `UPDATE interviews SET answers = '[]', transcript = '[]', metadata = '{}', custom_field = NULL,
		invite_mail = false, invite_mail_error = NULL, analysis_due_at = NULL,
		analysis_status = NULLIF(analysis_status, 'PENDING'), updated_at = clock_timestamp() WHERE candidate_id = ?0`},
	{"calls", `UPDATE call_attempts SET notes = NULL, recording_url = NULL, updated_at = now()
		WHERE interview_id IN (SELECT id FROM interviews WHERE candidate_id = ?0)`},
	{"analyses", `UPDATE analyses SET general = NULL, specific = NULL, error = NULL, updated_at = now()
		WHERE candidate_id = ?0`},
	{"notes", `UPDATE notes SET text = '', deleted_at = COALESCE(deleted_at, now()), updated_at = now()
		WHERE candidate_id = ?0`},
	{"vetos", `UPDATE vetos SET comment = '', deleted_at = COALESCE(deleted_at, now()), updated_at = now()
		WHERE candidate_id = ?0`},
	{"ratings", `UPDATE ratings SET value = 0, criterion = NULL, deleted_at = COALESCE(deleted_at, now()),
		updated_at = now() WHERE candidate_id = ?0`},
	{"answerVideos", `UPDATE answer_videos SET deleted_at = COALESCE(deleted_at, now()), updated_at = now()
		WHERE candidate_id = ?0`},
	{"", "DELETE FROM attachments WHERE candidate_id = ?0"},
	{"", `UPDATE candidates SET first_name = '', last_name = '', email = NULL, email_identity = NULL, phone_number = NULL,
		metadata = '{}', suite = '{}', overall_rating = NULL, gdpr_expiry_date = NULL, updated_at = now() WHERE id = ?0`},
}

func eraseRows(ctx context.Context, tx bun.Tx, e *Erasure) error {
	for _, r := range erasedRows {
		res, err := tx.ExecContext(ctx, r.query, e.CandidateID)
		if err != nil {
			return fmt.Errorf("erase candidate's rows: %w", err)
		}
		if n, _ := res.RowsAffected(); r.kind != "" && n > 0 {
			e.Removed[r.kind] = n
		}
	}
	return nil
}

// GetErasure returns the erasure of a candidate.
func GetErasure(ctx context.Context, db bun.IDB, candidate uuid.UUID) (*Erasure, error) {
	e := new(Erasure)
	if err := db.NewSelect().Model(e).Where("er.candidate_id = ?", candidate).Scan(ctx); err != nil {
		return nil, fmt.Errorf("get erasure: %w", pg.Translate(err))
	}
	return e, nil
}

// ErasureReceivers returns the webhooks that got data of the person or the event candidate.erased.
func ErasureReceivers(ctx context.Context, db bun.IDB, e *Erasure) ([]ErasureReceiver, error) {
	rs := []ErasureReceiver{}
	err := db.NewRaw(`SELECT x.webhook_id, x.delivery_id, d.status, w.deleted_at IS NOT NULL AS deleted,
			CASE WHEN d.status = 'succeeded' THEN d.updated_at END AS confirmed_at
		FROM erasure_webhooks x LEFT JOIN webhooks w ON w.id = x.webhook_id LEFT JOIN deliveries d ON d.id = x.delivery_id
		WHERE x.erasure_id = ? ORDER BY x.webhook_id`, e.ID).Scan(ctx, &rs)
	if err != nil {
		return nil, fmt.Errorf("list receivers of an erasure: %w", err)
	}
	return rs, nil
}

// BeginExpired begins the erasure of up to limit candidates whose gdprExpiryDate is before today (UTC), also of deleted
// ones, and returns their number. One that fails does not hold up the others.
func BeginExpired(ctx context.Context, db *bun.DB, limit int) (n int, err error) {
	var ids []uuid.UUID
	err = db.NewRaw(`SELECT id FROM candidates WHERE gdpr_expiry_date < (now() AT TIME ZONE 'UTC')::date
		ORDER BY gdpr_expiry_date LIMIT ?`, limit).Scan(ctx, &ids)
	if err != nil {
		return 0, fmt.Errorf("list expired candidates: %w", err)
	}
	var faults []error
	for _, id := range ids {
		err := pg.InTx(ctx, db, func(ctx context.Context, tx bun.Tx) error {
			_, _, err := BeginErasure(WithActor(ctx, "expiry"), tx, id, ErasureExpired)
			return err
		})
		if err != nil {
			faults = append(faults, fmt.Errorf("erase candidate %s: %w", id, err))
			continue
		}
		n++
	}
	return n, errors.Join(faults...)
}

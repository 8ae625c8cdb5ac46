package delivery

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/catalog"
	"greenroom/db/pg"
)

// A notice is an operational event that is to be mailed: to the address of its webhook, or else of the webhook's
// company. It is stored with the event and deleted in the transaction that makes it part of a letter, so each change is
// in exactly one letter, whatever is killed. The address is that at the time of the letter: without one, the notices
// are dropped.

// recordOperational stores operational events, and notices of them for webhooks with an address.
func recordOperational(ctx context.Context, tx bun.Tx, es []*Event) error {
	if _, err := RecordEvents(ctx, tx, es); err != nil {
		return err
	}
	for _, e := range es {
		if _, err := tx.ExecContext(ctx, addNoticeSQL, e.ID, *e.About, e.Type, string(e.Data)); err != nil {
			return fmt.Errorf("add notice: %w", err)
		}
	}
	return nil
}

// noticeEmail is the address for a webhook w of a company c: none for a deleted one.
const noticeEmail = "CASE WHEN w.deleted_at IS NULL THEN COALESCE(w.notify_email, c.notify_email) END"

const addNoticeSQL = `
INSERT INTO notices (event_id, webhook_id, type, data)
SELECT ?0, w.id, ?2, ?3 FROM webhooks w
  LEFT JOIN companies c ON c.id = COALESCE(w.company_id, w.owner_company_id) AND c.deleted_at IS NULL
WHERE w.id = ?1 AND ` + noticeEmail + ` IS NOT NULL`

// NoticeLetter is a mail about changes of webhooks of one company (nil: of the platform) to one address.
type NoticeLetter struct {
	bun.BaseModel `bun:"table:notice_letters,alias:l"`

	ID        uuid.UUID  `bun:"id,pk"`
	CompanyID *uuid.UUID `bun:"company_id"`
	Email     string     `bun:"email"`
	// Content is encoded, so that a letter that is sent again is the same.
	Content   string     `bun:"content"`
	CreatedAt time.Time  `bun:"created_at"`
	NextAt    *time.Time `bun:"next_at"`
	Attempts  int        `bun:"attempts"`
	SentAt    *time.Time `bun:"sent_at"`
	Error     *string    `bun:"error"`
}

// NoticedWebhook is what a letter says of one webhook.
type NoticedWebhook struct {
	ID   uuid.UUID `json:"id"`
	Name string    `json:"name"`
	// URL is the scheme, host and port alone.
	URL string `json:"url"`
	// Changes are the oldest ones, without exhausted deliveries; More counts those that are not among them.
	Changes []NoticedChange `json:"changes"`
	More    int             `json:"more"`
	// Exhausted counts the deliveries that failed for good, from ExhaustedSince to ExhaustedUntil.
	Exhausted      int       `json:"exhausted"`
	ExhaustedSince time.Time `json:"exhaustedSince"`
	ExhaustedUntil time.Time `json:"exhaustedUntil"`
	// What the webhook was when the letter was written.
	IsActive        bool       `json:"isActive"`
	DisabledReason  *string    `json:"disabledReason"`
	CircuitOpenedAt *time.Time `json:"circuitOpenedAt"`
}

// NoticedChange is one operational event.
type NoticedChange struct {
	EventID uuid.UUID       `json:"eventId"`
	Type    string          `json:"type"`
	At      time.Time       `json:"at"`
	Data    json.RawMessage `json:"data"`
}

const (
	// noticeSettle is how long the first notice waits, so that changes that follow at once are in the same letter.
	noticeSettle = 10 * time.Second
	// noticesAtOnce bounds one statement, noticeRounds the statements of one letter; the rest is in the next letter.
	noticesAtOnce, noticeRounds = 10_000, 20
	// noticedChanges limits the changes of a webhook that a letter lists.
	noticedChanges = 50
	// noticeFor is how long a letter is tried, and a notice kept while no letter can be written.
	noticeFor = 72 * time.Hour
)

// addressed is a webhook with notices.
type addressed struct {
	WebhookID uuid.UUID
	CompanyID *uuid.UUID
	Email     *string
	Oldest    time.Time
	LastAt    *time.Time // the last letter to the address
	Now       time.Time
}

// addressedSQL lists the webhooks with notices, one index entry each however many notices they have.
const addressedSQL = `
WITH RECURSIVE p AS (
  (SELECT webhook_id FROM notices ORDER BY webhook_id LIMIT 1)
  UNION ALL
  SELECT (SELECT n.webhook_id FROM notices n WHERE n.webhook_id > p.webhook_id ORDER BY n.webhook_id LIMIT 1)
  FROM p WHERE p.webhook_id IS NOT NULL
)
SELECT a.*, now() AS now, (
    SELECT l.created_at FROM notice_letters l
    WHERE l.email = a.email AND l.company_id IS NOT DISTINCT FROM a.company_id ORDER BY l.created_at DESC LIMIT 1
  ) AS last_at
FROM (
  SELECT w.id AS webhook_id, COALESCE(w.company_id, w.owner_company_id) AS company_id, ` + noticeEmail + ` AS email,
    (SELECT n.created_at FROM notices n WHERE n.webhook_id = w.id ORDER BY n.webhook_id, n.event_id LIMIT 1) AS oldest
  FROM p JOIN webhooks w ON w.id = p.webhook_id
    LEFT JOIN companies c ON c.id = COALESCE(w.company_id, w.owner_company_id) AND c.deleted_at IS NULL
) a WHERE a.oldest IS NOT NULL ORDER BY a.webhook_id`

// WriteNoticeLetters makes letters of the notices, one for each address of a company. The first is written soon, the
// next after window at the earliest. It returns how many it wrote.
func WriteNoticeLetters(ctx context.Context, db *bun.DB, window time.Duration) (written int, err error) {
	var all []addressed
	if err := db.NewRaw(addressedSQL).Scan(ctx, &all); err != nil {
		return 0, fmt.Errorf("list notices: %w", err)
	}
	type address struct {
		company uuid.UUID
		email   string
	}
	due := map[address][]addressed{}
	for _, a := range all {
		if a.Email == nil {
			if _, err := db.ExecContext(ctx, "DELETE FROM notices WHERE webhook_id = ?", a.WebhookID); err != nil {
				return written, fmt.Errorf("drop notices without an address: %w", err)
			}
			continue
		}
		to := address{email: *a.Email}
		if a.CompanyID != nil {
			to.company = *a.CompanyID
		}
		due[to] = append(due[to], a)
	}
	for _, webhooks := range due {
		if !isDue(webhooks, window) {
			continue
		}
		did, err := writeNoticeLetter(ctx, db, webhooks)
		if err != nil {
			return written, fmt.Errorf("write letter: %w", err)
		}
		if did {
			written++
		}
	}
	return written, nil
}

// isDue reports whether a letter about the webhooks of one address may be written.
func isDue(webhooks []addressed, window time.Duration) bool {
	first := webhooks[0]
	if first.LastAt != nil && first.Now.Sub(*first.LastAt) < window {
		return false
	}
	for _, a := range webhooks {
		if a.Now.Sub(a.Oldest) >= min(noticeSettle, window) {
			return true
		}
	}
	return false
}

// writeNoticeLetter takes the notices of the webhooks and stores the letter, in one transaction. written is false when
// another process took them.
func writeNoticeLetter(ctx context.Context, db *bun.DB, webhooks []addressed) (written bool, err error) {
	err = pg.InTx(ctx, db, func(ctx context.Context, tx bun.Tx) error {
		ids := make([]uuid.UUID, len(webhooks))
		for i, a := range webhooks {
			ids[i] = a.WebhookID
		}
		content, err := takeNotices(ctx, tx, ids)
		if err != nil || len(content) == 0 {
			return err
		}
		encoded, err := json.Marshal(content)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "INSERT INTO notice_letters (id, company_id, email, content) VALUES (?, ?, ?, ?)",
			pg.NewID(), webhooks[0].CompanyID, *webhooks[0].Email, string(encoded))
		written = err == nil
		return err
	})
	return written && err == nil, err
}

func takeNotices(ctx context.Context, tx bun.Tx, webhooks []uuid.UUID) (content []NoticedWebhook, err error) {
	var hooks []Webhook
	err = tx.NewSelect().Model(&hooks).
		Column("id", "name", "url", "is_active", "disabled_reason", "circuit_opened_at").
		Where("w.id IN (?)", bun.List(webhooks)).Order("w.id").Scan(ctx)
	if err != nil {
		return nil, err
	}
	for i := range hooks {
		w := noticedWebhook(&hooks[i])
		taken, err := w.take(ctx, tx)
		if err != nil {
			return nil, err
		}
		if taken {
			content = append(content, w)
		}
	}
	return content, nil
}

func noticedWebhook(w *Webhook) NoticedWebhook {
	named := w.named()
	return NoticedWebhook{
		ID: w.ID, Name: w.Name, URL: named.URL, Changes: []NoticedChange{}, IsActive: w.IsActive,
		DisabledReason: w.DisabledReason, CircuitOpenedAt: w.CircuitOpenedAt,
	}
}

// take deletes the notices of the webhook, oldest first, and adds them to the letter.
func (w *NoticedWebhook) take(ctx context.Context, tx bun.Tx) (taken bool, err error) {
	for range noticeRounds {
		var notices []struct {
			EventID   uuid.UUID
			Type      string
			Data      string
			CreatedAt time.Time
		}
		err := tx.NewRaw(`
WITH n AS (
  DELETE FROM notices WHERE event_id IN (
    SELECT event_id FROM notices WHERE webhook_id = ?0 ORDER BY webhook_id, event_id LIMIT ?1)
  RETURNING event_id, type, data, created_at
)
SELECT * FROM n ORDER BY created_at, event_id`, w.ID, noticesAtOnce).Scan(ctx, &notices)
		if err != nil {
			return taken, err
		}
		for _, n := range notices {
			taken = true
			switch {
			case n.Type == catalog.DeliveryExhausted:
				if w.Exhausted++; w.Exhausted == 1 {
					w.ExhaustedSince = n.CreatedAt
				}
				w.ExhaustedUntil = n.CreatedAt
			case len(w.Changes) == noticedChanges:
				w.More++
			default:
				w.Changes = append(w.Changes, NoticedChange{n.EventID, n.Type, n.CreatedAt, json.RawMessage(n.Data)})
			}
		}
		if len(notices) < noticesAtOnce {
			break
		}
	}
	return taken, nil
}

// TakeNoticeLetter locks the letter that waits the longest until the transaction ends, so that no other process sends
// it. Letters of companies with one that has failed come after those of the others: an address at which the server
// hangs delays its own company. Letters of the companies in except, uuid.Nil being the platform, are left out. found is
// false when none is due. A letter whose address is no longer one of the company's is not wanted.
func TakeNoticeLetter(
	ctx context.Context, tx bun.Tx, except ...uuid.UUID,
) (l *NoticeLetter, wanted, found bool, err error) {
	l = new(NoticeLetter)
	q := tx.NewSelect().Model(l).Where("l.next_at <= now()").
		OrderExpr(`EXISTS (SELECT FROM notice_letters o WHERE o.next_at IS NOT NULL AND o.attempts > 0
			AND o.company_id IS NOT DISTINCT FROM l.company_id), l.next_at`).Limit(1).For("UPDATE OF l SKIP LOCKED")
	if len(except) > 0 {
		q = q.Where("COALESCE(l.company_id, ?) NOT IN (?)", uuid.Nil, bun.List(except))
	}
	err = q.Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, false, false, nil
	}
	if err == nil {
		err = tx.NewRaw(`SELECT
				EXISTS (SELECT FROM companies c WHERE c.notify_email = ?0 AND c.id = ?1 AND c.deleted_at IS NULL)
			OR EXISTS (SELECT FROM webhooks w WHERE w.notify_email = ?0 AND w.deleted_at IS NULL
				AND COALESCE(w.company_id, w.owner_company_id) IS NOT DISTINCT FROM ?1::uuid)`, l.Email, l.CompanyID).
			Scan(ctx, &wanted)
	}
	if err != nil {
		return nil, false, false, fmt.Errorf("take letter: %w", err)
	}
	return l, wanted, true, nil
}

// NoticeLetterEnded records that a letter was sent, or why it will not be sent.
func NoticeLetterEnded(ctx context.Context, tx bun.Tx, id uuid.UUID, refusal string) error {
	_, err := tx.ExecContext(ctx, `UPDATE notice_letters SET next_at = NULL, attempts = attempts + 1,
		sent_at = CASE WHEN ?1 = '' THEN clock_timestamp() END, error = NULLIF(?1, '') WHERE id = ?0`, id, refusal)
	if err != nil {
		return fmt.Errorf("record letter: %w", err)
	}
	return nil
}

// The pause before a letter is tried again doubles from the first to the last.
const (
	letterRetry     = 30 * time.Second
	letterRetryLast = time.Hour
)

// NoticeLetterFailed has a letter tried again later, until it is too old. ended: it is too old.
func NoticeLetterFailed(ctx context.Context, tx bun.Tx, l *NoticeLetter, reason string) (ended bool, err error) {
	pause := min(letterRetry<<min(l.Attempts, 10), letterRetryLast)
	err = tx.NewRaw(`UPDATE notice_letters SET attempts = attempts + 1, error = ?1,
		next_at = CASE WHEN created_at > now() - ?3 * interval '1 s' THEN clock_timestamp() + ?2 * interval '1 s' END
		WHERE id = ?0 RETURNING next_at IS NULL`, l.ID, reason, int(pause.Seconds()), int(noticeFor.Seconds())).
		Scan(ctx, &ended)
	if err != nil {
		return false, fmt.Errorf("record letter: %w", err)
	}
	return ended, nil
}

// DropNotices deletes the notices that no letter was written of in time, as without a mail server, and the letters that
// were written before a time.
func DropNotices(ctx context.Context, db bun.IDB, lettersBefore time.Time) error {
	_, err := db.ExecContext(ctx, `WITH n AS (DELETE FROM notices WHERE created_at < now() - ?0 * interval '1 s')
		DELETE FROM notice_letters WHERE created_at < ?1`, int(noticeFor.Seconds()), lettersBefore)
	if err != nil {
		return fmt.Errorf("drop notices: %w", err)
	}
	return nil
}

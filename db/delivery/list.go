package delivery

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/pg"
)

// Filter narrows a list; zero fields do not narrow.
type Filter struct {
	Webhook   *uuid.UUID
	Company   *uuid.UUID
	EventType string
	Status    Status
	Since     time.Time // made at or after
	Until     time.Time // made before
	Before    uuid.UUID // keyset: only ids below this one
	Limit     int64
	// WithoutTests leaves out the deliveries of test calls.
	WithoutTests bool
}

// LooksOfPage is how many deliveries a page of a list looks at.
const LooksOfPage = 5000

// Page is a page of a list of deliveries.
type Page struct {
	// Deliveries are at most Filter.Limit, newest first, without their bodies.
	Deliveries []Delivery
	// Next is the Before of the next page; zero: there is none.
	Next uuid.UUID
}

// ListDeliveries returns deliveries that the scope sees, newest first, at most f.Limit. Bodies are left out. It reads
// as many pages as it takes.
func ListDeliveries(ctx context.Context, db bun.IDB, s pg.Scope, f Filter) ([]Delivery, error) {
	all := []Delivery{}
	for rest := f; ; rest.Limit = f.Limit - int64(len(all)) {
		page, err := PageDeliveries(ctx, db, s, rest)
		if err != nil {
			return nil, err
		}
		all = append(all, page.Deliveries...)
		if int64(len(all)) >= f.Limit || page.Next == uuid.Nil {
			return all, nil
		}
		rest.Before = page.Next
	}
}

// PageDeliveries returns a page of the deliveries that the scope sees. It looks at LooksOfPage deliveries at most, so a
// page may have fewer than f.Limit, or none, although older ones match: Next says where to look on.
//
// No index has all combinations of filters, and the planner's guess which one suits may be as old as its statistics. So
// one index is walked for each kind of filter, in its own order, and other filters are applied to what it yields: that
// of the webhook, else that of the company, else all; of those that failed or were canceled where these are asked for;
// and that of the live ones, webhook by webhook.
func PageDeliveries(ctx context.Context, db bun.IDB, s pg.Scope, f Filter) (p Page, err error) {
	err = pg.InTx(ctx, db, func(ctx context.Context, tx bun.Tx) error {
		if err := planByIndex(ctx, tx); err != nil {
			return err
		}
		q := pageQuery{tx: tx, s: s, f: f}
		q.f.Limit++ // the extra row tells whether there is a next page
		q.company = s.Company
		if q.company == nil {
			q.company = f.Company
		}
		if f.Status != "" && !f.Status.Ended() && f.Webhook == nil {
			p, err = q.live(ctx)
		} else {
			p, err = q.walked(ctx)
		}
		return err
	})
	if err != nil {
		return Page{}, fmt.Errorf("list deliveries: %w", err)
	}
	if int64(len(p.Deliveries)) > f.Limit {
		p.Deliveries = p.Deliveries[:f.Limit]
		p.Next = p.Deliveries[f.Limit-1].ID
	}
	return p, nil
}

type pageQuery struct {
	tx      bun.Tx
	s       pg.Scope
	f       Filter
	company *uuid.UUID // the only one
}

// walk selects what one index yields, newest first.
func (q *pageQuery) walk() *bun.SelectQuery {
	var w *bun.SelectQuery
	switch {
	case q.f.Status != "" && !q.f.Status.Ended():
		w = q.liveOf("?", *q.f.Webhook)
	case q.f.Webhook != nil:
		w = q.along("d.webhook_id", *q.f.Webhook)
	case q.company != nil:
		w = q.along("d.company_id", *q.company)
	default:
		w = q.within().OrderExpr("d.id DESC")
	}
	if q.f.Status == Failed || q.f.Status == Canceled {
		w = w.Where("d.status IN ('failed', 'canceled')")
	}
	return w
}

// liveOf walks the live deliveries of a webhook in the filter's status. That they are live is said in the words of the
// index's condition, which nothing else implies.
func (q *pageQuery) liveOf(webhook string, args ...any) *bun.SelectQuery {
	return q.along("d.status", q.f.Status).Where("live_webhook(d.status, d.webhook_id) IS NOT NULL").
		Where("live_webhook(d.status, d.webhook_id) = "+webhook, args...)
}

// along walks an index by a column and the id, where the column has a value. The column is compared with bounds, not
// for equality, so it stays in the order, which no other index has. The walk begins at the comparison of the row and
// ends at that of the column: PostgreSQL would not end it at another comparison of the row.
func (q *pageQuery) along(column string, value any) *bun.SelectQuery {
	_, newer := q.bounds()
	return q.within().Where("("+column+", d.id) < (?, ?) AND "+column+" >= ?", value, newer, value).
		OrderExpr(column + " DESC, d.id DESC")
}

// bounds are the ids of the filter's time: from oldest on, and below newer.
func (q *pageQuery) bounds() (oldest, newer uuid.UUID) {
	newer = uuid.Max
	if !q.f.Since.IsZero() {
		oldest = pg.FloorID(q.f.Since)
	}
	if !q.f.Until.IsZero() {
		newer = pg.FloorID(q.f.Until)
	}
	if q.f.Before != uuid.Nil && bytes.Compare(q.f.Before[:], newer[:]) < 0 {
		newer = q.f.Before
	}
	return oldest, newer
}

// within selects deliveries of the filter's time. The bounds choose the partitions.
func (q *pageQuery) within() *bun.SelectQuery {
	oldest, newer := q.bounds()
	return q.tx.NewSelect().Model((*Delivery)(nil)).ExcludeColumn("body").Limit(LooksOfPage).
		Where("d.id >= ?", oldest).Where("d.id < ?", newer)
}

// matching applies the filters to deliveries d.
func (q *pageQuery) matching(w *bun.SelectQuery) *bun.SelectQuery {
	w = deliveriesOf(q.s, w)
	if q.f.Company != nil {
		w = w.Where("d.company_id = ?", *q.f.Company)
	}
	if q.f.EventType != "" {
		w = w.Where("d.event_type = ?", q.f.EventType)
	}
	if q.f.Status != "" {
		w = w.Where("d.status = ?", q.f.Status)
	}
	if q.f.WithoutTests {
		w = w.Where("NOT d.is_test")
	}
	return w
}

// walked is a page of one walk. The order of the walk is that of the page, so nothing is sorted and the walk ends with
// the page's last delivery.
func (q *pageQuery) walked(ctx context.Context) (p Page, err error) {
	p.Deliveries = []Delivery{}
	page := q.tx.NewSelect().Model(&p.Deliveries).ModelTableExpr("(?) AS d", q.walk()).ExcludeColumn("body").
		Limit(q.f.Limit)
	if err := q.matching(page).Scan(ctx); err != nil || int64(len(p.Deliveries)) >= q.f.Limit {
		return p, err
	}
	return p, q.end(ctx, &p, q.tx.NewSelect().ColumnExpr("d.id").TableExpr("(?) AS d", q.walk()).Offset(LooksOfPage-1))
}

// end ends a page with the last delivery that was looked at, if there are more. New ones may have come since, so the
// deliveries after that one are left to the next page.
func (q *pageQuery) end(ctx context.Context, p *Page, last *bun.SelectQuery) error {
	var ids []uuid.UUID
	if err := last.Scan(ctx, &ids); err != nil || len(ids) == 0 {
		return err
	}
	p.Next = ids[0]
	p.Deliveries = slices.DeleteFunc(p.Deliveries, func(d Delivery) bool { return bytes.Compare(d.ID[:], p.Next[:]) < 0 })
	return nil
}

// liveWebhooks bounds the webhooks with live deliveries that a list of all looks at. A company has no more.
const liveWebhooks = ownedWebhooks

// live is a page of the live deliveries of many webhooks: the newest of each. The webhooks are those of the company, or
// are found by skipping in the index from one to the next.
func (q *pageQuery) live(ctx context.Context) (p Page, err error) {
	hooks := q.tx.NewRaw(`WITH RECURSIVE hooks AS (
		(SELECT live_webhook(status, webhook_id) AS id FROM deliveries WHERE live_webhook(status, webhook_id) IS NOT NULL
		 ORDER BY live_webhook(status, webhook_id), status, id LIMIT 1)
		UNION ALL
		SELECT (SELECT live_webhook(status, webhook_id) FROM deliveries WHERE live_webhook(status, webhook_id) > h.id
		        ORDER BY live_webhook(status, webhook_id), status, id LIMIT 1)
		FROM hooks h WHERE h.id IS NOT NULL
	) SELECT id FROM hooks WHERE id IS NOT NULL LIMIT ?`, liveWebhooks)
	if q.company != nil {
		hooks = q.tx.NewRaw(`SELECT id FROM webhooks WHERE (company_id = ?0 OR owner_company_id = ?0) AND deleted_at IS NULL
			LIMIT ?1`, *q.company, liveWebhooks)
		if q.s.Company == nil { // an operator also sees what goes to webhooks of the platform
			hooks = q.tx.NewRaw(`SELECT id FROM webhooks WHERE (company_id = ?0 OR owner_company_id = ?0
				OR company_id IS NULL AND owner_company_id IS NULL) AND deleted_at IS NULL LIMIT ?1`, *q.company, liveWebhooks)
		}
	}
	each := q.liveOf("hooks.id")
	newest := q.matching(q.tx.NewSelect().ColumnExpr("d.*").TableExpr("(?) AS d", each).Limit(q.f.Limit))
	p.Deliveries = []Delivery{}
	err = q.tx.NewSelect().Model(&p.Deliveries).ExcludeColumn("body").
		ModelTableExpr("(SELECT d.* FROM (?) AS hooks CROSS JOIN LATERAL (?) AS d ORDER BY d.id DESC LIMIT ?) AS d",
			hooks, newest, q.f.Limit).
		OrderExpr("d.id DESC").Scan(ctx)
	if err != nil || q.company == nil && q.f.EventType == "" && !q.f.WithoutTests {
		return p, err
	}
	last := q.tx.NewSelect().ColumnExpr("d.id").
		TableExpr("(?) AS hooks CROSS JOIN LATERAL (SELECT d.id FROM (?) AS d OFFSET ? LIMIT 1) AS d",
			hooks, each, LooksOfPage-1).
		OrderExpr("d.id DESC").Limit(1)
	return p, q.end(ctx, &p, last)
}

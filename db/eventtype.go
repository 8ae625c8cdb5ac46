package db

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/uptrace/bun"

	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// EventType is a company's own event type, with the JSON Schema that published bodies must match.
type EventType struct {
	bun.BaseModel `bun:"table:event_types,alias:et"`

	ID          uuid.UUID `bun:"id,pk"`
	CompanyID   uuid.UUID `bun:"company_id"`
	Name        string    `bun:"name"`
	Description string    `bun:"description"`
	// Schema is stored byte for byte.
	Schema    string     `bun:"schema"`
	Version   int        `bun:"version"`
	CreatedAt time.Time  `bun:"created_at"`
	UpdatedAt time.Time  `bun:"updated_at"`
	DeletedAt *time.Time `bun:"deleted_at"`
}

// EventTypeVersion is one version of a type's schema; versions start at 1.
type EventTypeVersion struct {
	bun.BaseModel `bun:"table:event_type_versions,alias:ev"`

	EventTypeID uuid.UUID `bun:"event_type_id,pk"`
	Version     int       `bun:"version,pk"`
	Schema      string    `bun:"schema"`
	CreatedAt   time.Time `bun:"created_at"`
}

// CreateEventType stores a new type with its first version and sets its id, version and times. A name that the company
// has is ErrDuplicate.
func CreateEventType(ctx context.Context, tx bun.Tx, t *EventType) error {
	t.ID, t.Version, t.CreatedAt = pg.NewID(), 1, now()
	t.UpdatedAt = t.CreatedAt
	if _, err := tx.NewInsert().Model(t).Exec(ctx); err != nil {
		return fmt.Errorf("insert event type: %w", pg.Translate(err))
	}
	return t.keepVersion(ctx, tx)
}

// MaxEventTypeVersions is the number of versions of a type that are kept: the newest ones. A schema has up to 64 KiB.
const MaxEventTypeVersions = 100

// keepVersion stores the current schema as a version and deletes the oldest one of too many.
func (t *EventType) keepVersion(ctx context.Context, tx bun.Tx) error {
	v := &EventTypeVersion{EventTypeID: t.ID, Version: t.Version, Schema: t.Schema, CreatedAt: t.UpdatedAt}
	if _, err := tx.NewInsert().Model(v).Exec(ctx); err != nil {
		return fmt.Errorf("insert event type version: %w", pg.Translate(err))
	}
	_, err := tx.ExecContext(ctx, "DELETE FROM event_type_versions WHERE event_type_id = ? AND version <= ?",
		t.ID, t.Version-MaxEventTypeVersions)
	if err != nil {
		return fmt.Errorf("delete event type version: %w", err)
	}
	return nil
}

// GetEventType returns a company's type of that name, unless it was deleted.
func GetEventType(ctx context.Context, db bun.IDB, company uuid.UUID, name string) (*EventType, error) {
	return getEventType(ctx, db.NewSelect(), company, name)
}

// LockEventType is GetEventType with a row lock: concurrent changes wait until the transaction ends.
func LockEventType(ctx context.Context, tx bun.Tx, company uuid.UUID, name string) (*EventType, error) {
	return getEventType(ctx, tx.NewSelect().For("UPDATE"), company, name)
}

func getEventType(ctx context.Context, q *bun.SelectQuery, company uuid.UUID, name string) (*EventType, error) {
	t := new(EventType)
	err := q.Model(t).Where("et.company_id = ? AND et.name = ? AND et.deleted_at IS NULL", company, name).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("get event type: %w", pg.Translate(err))
	}
	return t, nil
}

// ListEventTypes returns all types of a company, by name, without their schemas.
func ListEventTypes(ctx context.Context, db bun.IDB, company uuid.UUID) ([]EventType, error) {
	types := []EventType{}
	err := db.NewSelect().
		Model(&types).
		ExcludeColumn("schema").
		Where("et.company_id = ? AND et.deleted_at IS NULL", company).
		Order("et.name").
		Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("list event types: %w", err)
	}
	return types, nil
}

// EventTypeKey names a type.
type EventTypeKey struct {
	CompanyID uuid.UUID
	Name      string
}

// EventTypeSchemas returns the schemas of the registered types among keys, in one query that the driver prepares once:
// every publish calls it.
func EventTypeSchemas(ctx context.Context, db *bun.DB, keys []EventTypeKey) (map[EventTypeKey]string, error) {
	companies, names := make([]pgtype.UUID, len(keys)), make([]string, len(keys))
	for i, k := range keys {
		companies[i], names[i] = pgtype.UUID{Bytes: k.CompanyID, Valid: true}, k.Name
	}
	rows, err := pg.Direct(db).QueryContext(ctx, eventTypeSchemasSQL, companies, names)
	if err != nil {
		return nil, fmt.Errorf("get event type schemas: %w", err)
	}
	defer func() { _ = rows.Close() }()
	out := make(map[EventTypeKey]string, len(keys))
	for rows.Next() {
		var k EventTypeKey
		var schema string
		if err := rows.Scan(&k.CompanyID, &k.Name, &schema); err != nil {
			return nil, fmt.Errorf("get event type schemas: %w", err)
		}
		out[k] = schema
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("get event type schemas: %w", err)
	}
	return out, nil
}

// eventTypeSchemasSQL: $1 the companies, $2 the names.
const eventTypeSchemasSQL = `
SELECT t.company_id, t.name, t.schema FROM unnest($1::uuid[], $2::text[]) AS k (company_id, name)
JOIN event_types t ON t.company_id = k.company_id AND t.name = k.name AND t.deleted_at IS NULL`

// UpdateEventType writes the description, and the schema as a new version. Older versions stay, since published events
// matched them, up to [MaxEventTypeVersions]. An identical schema creates no version. The caller must have
// locked the type.
func UpdateEventType(ctx context.Context, tx bun.Tx, t *EventType, description, schema string) error {
	changed := t.Schema != schema
	t.Description, t.Schema, t.UpdatedAt = description, schema, now()
	if changed {
		t.Version++
	}
	err := pg.One(tx.NewUpdate().Model(t).Column("description", "schema", "version", "updated_at").
		Where("id = ? AND deleted_at IS NULL", t.ID).Exec(ctx))
	if err != nil {
		return fmt.Errorf("update event type: %w", pg.Translate(err))
	}
	if !changed {
		return nil
	}
	return t.keepVersion(ctx, tx)
}

// DeleteEventType deletes a type and its versions; its name can be used again. Subscriptions stay. The rows are
// deleted: nothing refers to them, and a client that creates and deletes types must not fill the database.
func DeleteEventType(ctx context.Context, tx bun.Tx, id uuid.UUID) error {
	if _, err := tx.ExecContext(ctx, "DELETE FROM event_type_versions WHERE event_type_id = ?", id); err != nil {
		return fmt.Errorf("delete event type versions: %w", err)
	}
	if err := pg.One(tx.ExecContext(ctx, "DELETE FROM event_types WHERE id = ?", id)); err != nil {
		return fmt.Errorf("delete event type: %w", err)
	}
	return nil
}

// ListEventTypeVersions returns one page of the versions of a type, newest first, and the total.
func ListEventTypeVersions(
	ctx context.Context,
	db bun.IDB,
	id uuid.UUID,
	p pg.Page,
) ([]EventTypeVersion, int64, error) {
	versions := []EventTypeVersion{}
	total, err := db.NewSelect().Model(&versions).Where("ev.event_type_id = ?", id).Order("ev.version DESC").
		Limit(p.Limit).Offset(p.Offset).ScanAndCount(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("list event type versions: %w", err)
	}
	return versions, total, nil
}

// EventTypeSubscribers returns the ids of the company's webhooks that subscribe to the type, active or not, oldest
// first. Platform webhooks are left out: they may mean another company's type.
func EventTypeSubscribers(ctx context.Context, db bun.IDB, company uuid.UUID, name string) ([]uuid.UUID, error) {
	ids := []uuid.UUID{}
	err := db.NewSelect().Model((*delivery.Webhook)(nil)).Column("id").
		Where("(w.company_id = ?0 OR (w.company_id IS NULL AND w.owner_company_id = ?0)) AND w.deleted_at IS NULL "+
			"AND ?1 = ANY (w.events)", company, name).
		Order("w.id").Scan(ctx, &ids)
	if err != nil {
		return nil, fmt.Errorf("list subscribers of event type: %w", err)
	}
	return ids, nil
}

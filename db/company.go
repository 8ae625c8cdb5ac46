package db

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/pg"
)

// Company is a customer. Every row belongs to a company, except platform keys.
type Company struct {
	bun.BaseModel `bun:"table:companies,alias:co"`

	ID          uuid.UUID       `bun:"id,pk"`
	Number      int64           `bun:"number,autoincrement"`
	Name        string          `bun:"name"`
	Description *string         `bun:"description"`
	Metadata    json.RawMessage `bun:"metadata,type:jsonb"`
	OwnerEmail  *string         `bun:"owner_email"`
	Website     *string         `bun:"website"`
	Industry    *string         `bun:"industry"`
	Size        *string         `bun:"size"`
	Location    *string         `bun:"location"`
	Settings    json.RawMessage `bun:"settings,type:jsonb"`
	// Identifier is its name in URLs and logins: unique, never empty.
	Identifier string `bun:"identifier,nullzero,default:uuid_v7()"`
	// InvitesLeft is the number of AI interview invitations that are left; nil: unlimited.
	InvitesLeft *int `bun:"invites_left"`
	// NotifyEmail gets mail about changes of the company's webhooks; nil: nobody does.
	NotifyEmail *string `bun:"notify_email"`
	// WebhookSetID and AIGeneral are copied to each new job.
	WebhookSetID *uuid.UUID      `bun:"webhook_set_id"`
	AIGeneral    json.RawMessage `bun:"ai_general,type:jsonb,nullzero"`
	// Suite has the fields that only the interview suite's contract has.
	Suite     json.RawMessage `bun:"suite,type:jsonb,nullzero,default:'{}'"`
	CreatedAt time.Time       `bun:"created_at"`
	UpdatedAt time.Time       `bun:"updated_at"`
	DeletedAt *time.Time      `bun:"deleted_at"`
}

// CreateCompany stores a new company. A zero id or time is set; empty metadata and settings become {}. An empty
// identifier is derived from the name.
func CreateCompany(ctx context.Context, db bun.IDB, c *Company) error {
	if c.ID == uuid.Nil {
		c.ID = pg.NewID()
	}
	if c.CreatedAt.IsZero() {
		c.CreatedAt = time.Now().UTC()
	}
	c.UpdatedAt = c.CreatedAt
	c.Metadata, c.Settings = emptyObject(c.Metadata), emptyObject(c.Settings)
	return pg.InTx(ctx, db, func(ctx context.Context, tx bun.Tx) error {
		named := c.Identifier != ""
		if _, err := tx.NewInsert().Model(c).Exec(ctx); err != nil {
			return fmt.Errorf("insert company: %w", pg.Translate(err))
		}
		if named {
			return nil
		}
		return identify(ctx, tx, c)
	})
}

// emptyObject replaces missing JSON by {}: the JSON columns are NOT NULL.
func emptyObject(j json.RawMessage) json.RawMessage {
	if len(j) == 0 || string(j) == "null" {
		return json.RawMessage("{}")
	}
	return j
}

// GetCompany returns a company, unless it was deleted. The caller checks access.
func GetCompany(ctx context.Context, db bun.IDB, id uuid.UUID) (*Company, error) {
	c := new(Company)
	if err := db.NewSelect().Model(c).Where("co.id = ? AND co.deleted_at IS NULL", id).Scan(ctx); err != nil {
		return nil, fmt.Errorf("get company: %w", pg.Translate(err))
	}
	return c, nil
}

// CompanyExists reports whether a company with that id exists and was not deleted.
func CompanyExists(ctx context.Context, db bun.IDB, id uuid.UUID) (bool, error) {
	exists, err := db.NewSelect().Model((*Company)(nil)).Where("co.id = ? AND co.deleted_at IS NULL", id).Exists(ctx)
	if err != nil {
		return false, fmt.Errorf("look for company: %w", err)
	}
	return exists, nil
}

// ExistingCompanies returns those of the ids whose company exists and was not deleted.
func ExistingCompanies(ctx context.Context, db bun.IDB, ids []uuid.UUID) ([]uuid.UUID, error) {
	existing := []uuid.UUID{}
	if len(ids) == 0 {
		return existing, nil
	}
	err := db.NewSelect().
		Model((*Company)(nil)).
		Column("id").
		Where("co.id IN (?) AND co.deleted_at IS NULL", bun.List(ids)).
		Scan(ctx, &existing)
	if err != nil {
		return nil, fmt.Errorf("look for companies: %w", err)
	}
	return existing, nil
}

// CompaniesNamed returns the companies with exactly that name, oldest first; names are not unique. It scans the table:
// for the command line only.
func CompaniesNamed(ctx context.Context, db bun.IDB, name string) ([]Company, error) {
	cs := []Company{}
	err := db.NewSelect().Model(&cs).Where("co.name = ? AND co.deleted_at IS NULL", name).Order("co.id").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("find companies: %w", err)
	}
	return cs, nil
}

// ListCompanies returns one page of the companies that the scope sees, newest first, and the total.
func ListCompanies(ctx context.Context, db bun.IDB, s pg.Scope, p pg.Page) ([]Company, int64, error) {
	cs := []Company{}
	q := db.NewSelect().Model(&cs).Where("co.deleted_at IS NULL").Order("co.id DESC").Limit(p.Limit).Offset(p.Offset)
	if s.Company != nil {
		q = q.Where("co.id = ?", *s.Company)
	}
	total, err := q.ScanAndCount(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("list companies: %w", err)
	}
	return cs, total, nil
}

// UpdateCompany writes the named columns of c and its updated_at.
func UpdateCompany(ctx context.Context, db bun.IDB, c *Company, columns ...string) error {
	c.UpdatedAt = time.Now().UTC()
	err := pg.One(db.NewUpdate().Model(c).Column(append(columns, "updated_at")...).
		Where("id = ? AND deleted_at IS NULL", c.ID).Exec(ctx))
	if err != nil {
		return fmt.Errorf("update company: %w", pg.Translate(err))
	}
	return nil
}

package db

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/pg"
)

// AccountType decides what a staff user may do.
type AccountType string

// The account types of the interview suite, in ascending order of permissions (its reference, 2.6).
const (
	HiringManager AccountType = "hiring-manager"
	Recruiter     AccountType = "recruiter"
	Admin         AccountType = "admin"
	Owner         AccountType = "owner"
)

// AccountTypes are all types, in ascending order of permissions.
func AccountTypes() []AccountType { return []AccountType{HiringManager, Recruiter, Admin, Owner} }

// Above reports whether a has more permissions than b.
func (a AccountType) Above(b AccountType) bool {
	return slices.Index(AccountTypes(), a) > slices.Index(AccountTypes(), b)
}

// Scopes returns the scopes of the user's tokens: a hiring manager reads; the others have all scopes of the interview
// suite's API.
func (a AccountType) Scopes() []string {
	scopes := []string{"read:companies", "read:jobs", "read:candidates", "read:interviews"}
	if a == HiringManager {
		return scopes
	}
	return append(scopes, "write:companies", "write:jobs", "delete:jobs", "write:candidates", "delete:candidates",
		"write:interviews", "delete:interviews")
}

// Staff is a user of a company, who logs in with a password, rates answers and writes notes.
type Staff struct {
	bun.BaseModel `bun:"table:staff,alias:st"`

	ID          uuid.UUID   `bun:"id,pk"`
	Number      int64       `bun:"number,autoincrement"`
	CompanyID   uuid.UUID   `bun:"company_id"`
	Username    string      `bun:"username"`
	Email       *string     `bun:"email"`
	FirstName   string      `bun:"first_name"`
	LastName    string      `bun:"last_name"`
	AccountType AccountType `bun:"account_type"`
	IsActive    bool        `bun:"is_active"`
	// HeldByPlatform: a platform key made the user inactive, and only the platform makes it active again.
	HeldByPlatform bool `bun:"held_by_platform"`
	// PasswordHash is of HashPassword; nil: this user cannot log in.
	PasswordHash *string `bun:"password_hash"`
	// Suite has the fields that only the interview suite's contract has.
	Suite     json.RawMessage `bun:"suite,type:jsonb,nullzero,default:'{}'"`
	CreatedBy *uuid.UUID      `bun:"created_by"`
	CreatedAt time.Time       `bun:"created_at"`
	UpdatedAt time.Time       `bun:"updated_at"`
	DeletedAt *time.Time      `bun:"deleted_at"`
}

// CreateStaff stores a new user and sets its id and times. A username that the company has, in any case, is
// ErrDuplicate.
func CreateStaff(ctx context.Context, db bun.IDB, m *Staff) error {
	m.ID, m.CreatedAt = pg.NewID(), now()
	m.UpdatedAt = m.CreatedAt
	if _, err := db.NewInsert().Model(m).Exec(ctx); err != nil {
		return fmt.Errorf("insert staff user: %w", pg.Translate(err))
	}
	return nil
}

// GetStaff returns a user of any company, unless it was deleted.
func GetStaff(ctx context.Context, db bun.IDB, id uuid.UUID) (*Staff, error) {
	m := new(Staff)
	if err := db.NewSelect().Model(m).Where("st.id = ? AND st.deleted_at IS NULL", id).Scan(ctx); err != nil {
		return nil, fmt.Errorf("get staff user: %w", pg.Translate(err))
	}
	return m, nil
}

// StaffByNumber returns a company's user by its number.
func StaffByNumber(ctx context.Context, db bun.IDB, company uuid.UUID, number int64) (*Staff, error) {
	m := new(Staff)
	err := db.NewSelect().
		Model(m).
		Where("st.number = ? AND st.company_id = ? AND st.deleted_at IS NULL", number, company).
		Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("get staff user: %w", pg.Translate(err))
	}
	return m, nil
}

// StaffNumbers returns the numbers of the users with these ids, also of deleted users, whose texts stay theirs.
func StaffNumbers(ctx context.Context, db bun.IDB, ids []uuid.UUID) (map[uuid.UUID]int64, error) {
	numbers := make(map[uuid.UUID]int64, len(ids))
	if len(ids) == 0 {
		return numbers, nil
	}
	var rows []struct {
		ID     uuid.UUID
		Number int64
	}
	if err := db.NewRaw("SELECT id, number FROM staff WHERE id IN (?)", bun.List(ids)).Scan(ctx, &rows); err != nil {
		return nil, fmt.Errorf("list staff users: %w", err)
	}
	for _, r := range rows {
		numbers[r.ID] = r.Number
	}
	return numbers, nil
}

// KnownStaff returns those of the numbers that are users of the company.
func KnownStaff(ctx context.Context, db bun.IDB, company uuid.UUID, numbers []int64) ([]int64, error) {
	known := []int64{}
	if len(numbers) == 0 {
		return known, nil
	}
	err := db.NewRaw("SELECT number FROM staff WHERE number IN (?) AND company_id = ? "+
		"AND deleted_at IS NULL", bun.List(numbers), company).
		Scan(ctx, &known)
	if err != nil {
		return nil, fmt.Errorf("list staff users: %w", err)
	}
	return known, nil
}

// ListStaff returns one page of a company's users, oldest first, and the total. username, unless "", filters by
// username in any case.
func ListStaff(ctx context.Context, db bun.IDB, company uuid.UUID, username string, p pg.Page) ([]Staff, int64, error) {
	ms := []Staff{}
	q := db.NewSelect().Model(&ms).Where("st.company_id = ? AND st.deleted_at IS NULL", company).Order("st.number")
	if username != "" {
		q = q.Where("lower(st.username) = lower(?)", username)
	}
	total, err := q.Limit(p.Limit).Offset(p.Offset).ScanAndCount(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("list staff users: %w", err)
	}
	return ms, total, nil
}

// FindStaff returns the user who logs in to the company with that identifier: by username, or by e-mail address when
// exactly one user has it. Otherwise it is ErrNotFound.
func FindStaff(ctx context.Context, db bun.IDB, identifier, login string) (*Staff, error) {
	for _, column := range []string{"username", "email"} {
		var ms []Staff
		err := db.NewSelect().Model(&ms).Join("JOIN companies AS co ON co.id = st.company_id AND co.deleted_at IS NULL").
			Where("co.identifier = ? AND st.deleted_at IS NULL", identifier).
			Where("lower(st.?) = lower(?)", bun.Ident(column), login).Limit(2).Scan(ctx)
		if err != nil {
			return nil, fmt.Errorf("find staff user: %w", err)
		}
		if len(ms) == 1 {
			return &ms[0], nil
		}
	}
	return nil, fmt.Errorf("find staff user: %w", pg.ErrNotFound)
}

// UpdateStaff writes the named columns of m, and an entry in the audit log. The user's tokens lose the scopes that a
// new account type does not have. They are revoked when the password changed, when the user is no longer active, and
// when the new account type is above the old one: a token never becomes more than the log-in made it.
func UpdateStaff(ctx context.Context, tx bun.Tx, m *Staff, actor string, columns ...string) error {
	before := new(Staff)
	if err := tx.NewSelect().Model(before).Where("st.id = ?", m.ID).For("NO KEY UPDATE").Scan(ctx); err != nil {
		return fmt.Errorf("lock staff user: %w", pg.Translate(err))
	}
	m.UpdatedAt = now()
	err := pg.One(tx.NewUpdate().Model(m).Column(append(slices.Clone(columns), "updated_at")...).
		Where("id = ? AND deleted_at IS NULL", m.ID).Exec(ctx))
	if err != nil {
		return fmt.Errorf("update staff user: %w", pg.Translate(err))
	}
	was, is := ChangedFields(before.audited(), m.audited(), columns)
	is["fields"] = columns
	if err := AuditStaff(ctx, tx, m, AuditUpdated, actor, was, is); err != nil {
		return err
	}
	if !m.IsActive || slices.Contains(columns, "password_hash") || m.AccountType.Above(before.AccountType) {
		return revokeTokens(ctx, tx, m.ID, actor)
	}
	if slices.Contains(columns, "account_type") {
		return limitTokens(ctx, tx, m)
	}
	return nil
}

// DeleteStaff soft-deletes a user and revokes its tokens. Its notes and ratings stay.
func DeleteStaff(ctx context.Context, tx bun.Tx, id uuid.UUID, actor string) error {
	m, err := GetStaff(ctx, tx, id)
	if err != nil {
		return err
	}
	if err := softDelete(ctx, tx, "staff", id); err != nil {
		return fmt.Errorf("delete staff user: %w", err)
	}
	if err := AuditStaff(ctx, tx, m, AuditDeleted, actor, nil, nil); err != nil {
		return err
	}
	return revokeTokens(ctx, tx, id, actor)
}

// AuditStaff writes a change of a user to the audit log. CreateStaff does not, because it may run outside a
// transaction.
func AuditStaff(
	ctx context.Context,
	tx bun.Tx,
	m *Staff,
	action AuditAction,
	actor string,
	was, is map[string]any,
) error {
	return Audit(ctx, tx, &AuditEntry{
		CompanyID: &m.CompanyID, Actor: actor, Action: action, TargetType: AuditedStaff, TargetID: m.ID.String(),
		Before: was, After: is,
	})
}

// audited are the fields of a user that the audit log shows, by column. The others are personal data.
func (m *Staff) audited() map[string]any {
	return map[string]any{
		"account_type": m.AccountType, "is_active": m.IsActive, "held_by_platform": m.HeldByPlatform,
	}
}

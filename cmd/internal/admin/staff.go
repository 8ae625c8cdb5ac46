package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db"
	"greenroom/db/pg"
)

// StaffRequest describes a new staff user.
type StaffRequest struct {
	// Company is a name or an id.
	Company             string
	Username, Email     string
	FirstName, LastName string
	// AccountType is one of AccountTypes; "" means recruiter.
	AccountType string
	// Password has 8 to 72 bytes. With "" the user cannot log in.
	Password string
}

// StaffUser is the output for a staff user. A login needs CompanyIdentifier, the username and the password.
type StaffUser struct {
	ID                uuid.UUID `json:"id"`
	Number            int64     `json:"number"`
	CompanyID         uuid.UUID `json:"companyId"`
	CompanyIdentifier string    `json:"companyIdentifier"`
	Username          string    `json:"username"`
	Email             *string   `json:"email"`
	FirstName         string    `json:"firstName"`
	LastName          string    `json:"lastName"`
	AccountType       string    `json:"accountType"`
	State             string    `json:"state"`
	CreatedAt         time.Time `json:"createdAt"`
}

func showStaff(company *db.Company, m *db.Staff) StaffUser {
	return StaffUser{
		ID:                m.ID,
		Number:            m.Number,
		CompanyID:         m.CompanyID,
		CompanyIdentifier: company.Identifier,
		Username:          m.Username,
		Email:             m.Email,
		FirstName:         m.FirstName,
		LastName:          m.LastName,
		AccountType:       string(m.AccountType),
		State:             staffState(m),
		CreatedAt:         m.CreatedAt,
	}
}

func staffState(m *db.Staff) string {
	switch {
	case !m.IsActive:
		return "inactive"
	case m.PasswordHash == nil:
		return "without password"
	}
	return "active"
}

// AccountTypes lists the account types, from the fewest permissions to the most.
func AccountTypes() string {
	return join(db.AccountTypes())
}

// CreateStaff creates a staff user.
func (a *Admin) CreateStaff(ctx context.Context, r StaffRequest) (StaffUser, error) {
	m, err := r.row()
	if err != nil {
		return StaffUser{}, err
	}
	company, err := r.company(ctx, a.DB)
	if err != nil {
		return StaffUser{}, err
	}
	m.CompanyID = company.ID
	err = pg.InTx(ctx, a.DB, func(ctx context.Context, tx bun.Tx) error {
		if err := db.CreateStaff(ctx, tx, m); err != nil {
			return err
		}
		return db.AuditStaff(ctx, tx, m, db.AuditCreated, actor, nil, map[string]any{"account_type": m.AccountType})
	})
	if errors.Is(err, pg.ErrDuplicate) {
		return StaffUser{}, fmt.Errorf("%s already has a user named %q", company.Name, r.Username)
	}
	return showStaff(company, m), err
}

func (r StaffRequest) company(ctx context.Context, d bun.IDB) (*db.Company, error) {
	if r.Company == "" {
		return nil, errors.New("--company NAME_OR_ID is required")
	}
	return findCompany(ctx, d, r.Company)
}

// maxStaffText is the longest name or e-mail address in characters, as in the interview suite's API.
const maxStaffText = 255

func (r StaffRequest) row() (*db.Staff, error) {
	m := &db.Staff{
		Username: r.Username, FirstName: r.FirstName, LastName: r.LastName, IsActive: true,
		AccountType: db.AccountType(cmp.Or(r.AccountType, string(db.Recruiter))),
	}
	if r.Username == "" {
		return nil, errors.New("--username is required")
	}
	if !slices.Contains(db.AccountTypes(), m.AccountType) {
		return nil, fmt.Errorf("--type must be one of %s, not %q", AccountTypes(), r.AccountType)
	}
	for flag, text := range map[string]string{
		"username": r.Username, "email": r.Email, "first-name": r.FirstName, "last-name": r.LastName,
	} {
		if !utf8.ValidString(text) || strings.ContainsRune(text, 0) || utf8.RuneCountInString(text) > maxStaffText {
			return nil, fmt.Errorf("--%s must be text of at most %d characters", flag, maxStaffText)
		}
	}
	if r.Email != "" {
		m.Email = &r.Email
	}
	if r.Password == "" {
		return m, nil
	}
	hash, err := db.HashPassword(r.Password)
	if err != nil {
		return nil, fmt.Errorf("the password %w", err)
	}
	m.PasswordHash = &hash
	return m, nil
}

// ListStaff returns a company's users, oldest first.
func (a *Admin) ListStaff(ctx context.Context, company string) ([]StaffUser, error) {
	co, err := StaffRequest{Company: company}.company(ctx, a.DB)
	if err != nil {
		return nil, err
	}
	users, _, err := db.ListStaff(ctx, a.DB, co.ID, "", pg.Page{Limit: maxStaffListed})
	if err != nil {
		return nil, err
	}
	shown := make([]StaffUser, len(users))
	for i := range users {
		shown[i] = showStaff(co, &users[i])
	}
	return shown, nil
}

// maxStaffListed is far more than the number of users of any company.
const maxStaffListed = 10_000

// DeleteStaff deletes a user and ends its tokens. The user's notes and ratings stay. It returns the deleted user.
func (a *Admin) DeleteStaff(ctx context.Context, id uuid.UUID) (StaffUser, error) {
	m, company, err := a.staff(ctx, id)
	if err != nil {
		return StaffUser{}, err
	}
	err = pg.InTx(ctx, a.DB, func(ctx context.Context, tx bun.Tx) error {
		return describeMissing(db.DeleteStaff(ctx, tx, id, actor), "staff user", id)
	})
	shown := showStaff(company, m)
	shown.State = "deleted"
	return shown, err
}

func (a *Admin) staff(ctx context.Context, id uuid.UUID) (*db.Staff, *db.Company, error) {
	m, err := db.GetStaff(ctx, a.DB, id)
	if err != nil {
		return nil, nil, describeMissing(err, "staff user", id)
	}
	company, err := db.GetCompany(ctx, a.DB, m.CompanyID)
	return m, company, describeMissing(err, "company", m.CompanyID)
}

// StaffToken is the output for a created token.
type StaffToken struct {
	Token    string    `json:"token"`
	StaffID  uuid.UUID `json:"staffId"`
	Username string    `json:"username"`
	// IdleDays is after how many days without use the token expires; 0 means never.
	IdleDays int `json:"idleDays"`
}

// maxIdleDays is the limit of the interview suite (reference, 2.2).
const maxIdleDays = 30

// CreateToken creates a token for a user without the user's password. It expires after idleDays without use, or never
// for 0.
func (a *Admin) CreateToken(ctx context.Context, id uuid.UUID, idleDays int) (StaffToken, error) {
	if idleDays < 0 || idleDays > maxIdleDays {
		return StaffToken{}, fmt.Errorf("--idle-days must be 1 to %d", maxIdleDays)
	}
	m, _, err := a.staff(ctx, id)
	if err != nil {
		return StaffToken{}, err
	}
	shown := StaffToken{StaffID: m.ID, Username: m.Username, IdleDays: idleDays}
	err = pg.InTx(ctx, a.DB, func(ctx context.Context, tx bun.Tx) (err error) {
		shown.Token, err = db.CreateToken(ctx, tx, db.TokenRequest{
			Staff: id, Secret: a.Secret, IdleDays: idleDays, MaxAge: a.TokenMaxAge, RatePerMinute: a.PerMinute,
			RatePerHour: a.PerHour, Actor: actor,
		})
		return err
	})
	if errors.Is(err, pg.ErrNotFound) {
		return StaffToken{}, fmt.Errorf("user %s is not active", m.Username)
	}
	return shown, err
}

// StaffUser prints the new state of a user.
func (p Printer) StaffUser(m StaffUser) error {
	return p.Value(m, func(w io.Writer) {
		row(w, "user", m.ID, "is "+m.State)
		row(w, "username", m.Username)
		row(w, "company", m.CompanyIdentifier)
		row(w, "type", m.AccountType)
	})
}

// StaffUsers prints a list of users.
func (p Printer) StaffUsers(users []StaffUser) error {
	return p.Value(users, func(w io.Writer) {
		row(w, "ID", "NUMBER", "USERNAME", "TYPE", "STATE", "E-MAIL", "NAME", "COMPANY")
		for _, m := range users {
			name := strings.TrimSpace(m.FirstName + " " + m.LastName)
			row(w, m.ID, m.Number, m.Username, m.AccountType, m.State, m.Email, name, m.CompanyIdentifier)
		}
	})
}

// StaffToken prints a created token with its plain text.
func (p Printer) StaffToken(t StaffToken) error {
	return p.Value(t, func(w io.Writer) {
		row(w, "token", t.Token)
		row(w, "user", t.StaffID, t.Username)
		if t.IdleDays > 0 {
			row(w, "expires", fmt.Sprintf("after %d days without use, and at the setting staff.token_max_age", t.IdleDays))
		} else {
			row(w, "expires", "never; deleting the user ends it")
		}
		fmt.Fprintln(w, "\nKeep the token now: only a hash of it is stored, so it cannot be shown again.")
	})
}

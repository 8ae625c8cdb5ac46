package interviewsuite

import (
	"context"
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/api/surface"
	"greenroom/db"
	"greenroom/db/pg"
	"greenroom/db/token"
)

func (s *server) customerRoutes() []surface.Route {
	const list, one = "/api/v3/companies/:company/customers/", "/api/v3/companies/:company/customers/:customer/"
	return []surface.Route{
		surface.List(list, "read:companies", s.listCustomers, "page", "page_size", "username"),
		surface.Post(list, "write:companies", s.createCustomer),
		surface.Get(one, "read:companies", s.getCustomer),
		surface.Patch(one, "write:companies", s.updateCustomer),
		surface.Delete(one, "write:companies", s.deleteCustomer),
	}
}

// customer returns the staff user that the path's :customer names.
func (s *server) customer(c *gin.Context) (*db.Company, *db.Staff, error) {
	company, err := s.company(c)
	if err != nil {
		return nil, nil, err
	}
	number, err := surface.PathNumber(c, "customer", "Customer")
	if err != nil {
		return nil, nil, err
	}
	user, err := db.StaffByNumber(c.Request.Context(), s.DB, company.ID, number)
	return company, user, err
}

// minPassword is the least number of characters of a password.
const minPassword = 8

// customerInput has the writable fields of reference 2.6 and a password, which is never shown. The reference's other
// fields are read only.
type customerInput struct {
	Username          surface.Opt[string] `json:"username" validate:"min=1,max=255"`
	Email             surface.Opt[string] `json:"email" validate:"omitempty,max=254,email" null:"ok"`
	Password          surface.Opt[string] `json:"password" validate:"min=8"` // minPassword
	CurrentPassword   surface.Opt[string] `json:"current_password" validate:"max=1024"`
	FirstName         surface.Opt[string] `json:"first_name" validate:"max=100" null:"ok"`
	LastName          surface.Opt[string] `json:"last_name" validate:"max=100" null:"ok"`
	AccountType       surface.Opt[string] `json:"account_type" validate:"oneof=hiring-manager recruiter admin owner"`
	IsActive          surface.Opt[bool]   `json:"is_active"`
	PreferredLanguage surface.Opt[string] `json:"preferred_language" validate:"max=35" null:"ok"`
	Phone             surface.Opt[string] `json:"phone" validate:"max=64" null:"ok"`
	Gender            surface.Opt[string] `json:"gender" validate:"omitempty,oneof=mr mrs" null:"ok"`
	Role              surface.Opt[string] `json:"role" validate:"max=255" null:"ok"`
	Position          surface.Opt[string] `json:"position" validate:"max=255" null:"ok"`
	Notifications     surface.Opt[bool]   `json:"receive_interview_notifications"`
	SeenWelcome       surface.Opt[bool]   `json:"seen_welcome"`
}

// apply sets the sent fields in the row and returns the columns to update.
func (in *customerInput) apply(user *db.Staff) (columns []string, err error) {
	u := surface.Update{}
	surface.Set(&u, "username", &user.Username, in.Username)
	surface.SetNull(&u, "email", &user.Email, nullable(in.Email))
	surface.Set(&u, "first_name", &user.FirstName, in.FirstName)
	surface.Set(&u, "last_name", &user.LastName, in.LastName)
	surface.Set(&u, "account_type", &user.AccountType,
		surface.Opt[db.AccountType]{Set: in.AccountType.Set, Value: db.AccountType(in.AccountType.Value)})
	surface.Set(&u, "is_active", &user.IsActive, in.IsActive)
	if in.Password.Set {
		hash, err := hashed(in.Password.Value)
		if err != nil {
			return nil, err
		}
		user.PasswordHash, u.Columns = &hash, append(u.Columns, "password_hash")
	}
	own, err := decoded[customerSuite](user.Suite)
	if err != nil {
		return nil, err
	}
	setIfSent(&own.PreferredLanguage, in.PreferredLanguage)
	setIfSent(&own.Phone, in.Phone)
	setIfSent(&own.Gender, in.Gender)
	setIfSent(&own.Role, in.Role)
	setIfSent(&own.Position, in.Position)
	setPtrIfSent(&own.Notifications, in.Notifications)
	setIfSent(&own.SeenWelcome, in.SeenWelcome)
	user.Suite = surface.Encoded(own)
	return append(u.Columns, "suite"), nil
}

type customerOutput struct {
	ResourceURI       string         `json:"resource_uri"`
	Company           string         `json:"company"`
	PreferredLanguage string         `json:"preferred_language"`
	AccountType       db.AccountType `json:"account_type"`
	User              int64          `json:"user"`
	Username          string         `json:"username"`
	FirstName         string         `json:"first_name"`
	LastName          string         `json:"last_name"`
	Email             string         `json:"email"`
	Phone             string         `json:"phone"`
	Gender            string         `json:"gender"`
	Status            string         `json:"status"`
	IsActive          bool           `json:"is_active"`
	InvitationDate    string         `json:"invitationdate"`
	ConfirmationDate  *string        `json:"confirmationdate"`
	// ActivationKey is only in the answer to a creation, for a caller who may give it.
	ActivationKey *string `json:"activation_key"`
	CreatedBy     *string `json:"created_by"`
	Role          string  `json:"role"`
	Position      string  `json:"position"`
	Notifications bool    `json:"receive_interview_notifications"`
	Photo         string  `json:"photo"`
	Projects      string  `json:"projects"`
	SeenWelcome   bool    `json:"seen_welcome"`
}

// showCustomer needs the numbers of the users' creators and the list of users with a photo.
func (s *server) showCustomer(
	company *db.Company, user *db.Staff, creators map[uuid.UUID]int64, files db.Attachments,
) (customerOutput, error) {
	own, err := decoded[customerSuite](user.Suite)
	out := customerOutput{
		ResourceURI:       s.customerURI(company.Number, user.Number),
		Company:           s.companyURI(company.Number),
		PreferredLanguage: own.PreferredLanguage,
		AccountType:       user.AccountType,
		User:              user.Number,
		Username:          user.Username,
		FirstName:         user.FirstName,
		LastName:          user.LastName,
		Email:             orEmpty(user.Email),
		Phone:             own.Phone,
		Gender:            own.Gender,
		Status:            customerStatus(user, own),
		IsActive:          user.IsActive,
		InvitationDate:    stamp(user.CreatedAt),
		ConfirmationDate:  own.ConfirmationDate,
		Role:              own.Role,
		Position:          own.Position,
		Notifications:     orDefault(own.Notifications, true),
		Projects:          s.companyURI(company.Number) + "projects/",
		SeenWelcome:       own.SeenWelcome,
	}
	out.Photo = attachmentURI(out.ResourceURI, files[user.ID], db.Photo)
	if user.CreatedBy != nil {
		creator := s.customerURI(company.Number, creators[*user.CreatedBy])
		out.CreatedBy = &creator
	}
	return out, err
}

// customerStatus is invited until the first log-in.
func customerStatus(user *db.Staff, own customerSuite) string {
	switch {
	case !user.IsActive:
		return "inactive"
	case own.ConfirmationDate == nil:
		return "invited"
	}
	return "confirmed"
}

func (s *server) showCustomers(ctx context.Context, company *db.Company, users []db.Staff) ([]customerOutput, error) {
	var ids, creatorIDs []uuid.UUID
	for i := range users {
		ids = append(ids, users[i].ID)
		if users[i].CreatedBy != nil {
			creatorIDs = append(creatorIDs, *users[i].CreatedBy)
		}
	}
	creators, err := db.StaffNumbers(ctx, s.DB, creatorIDs)
	if err != nil {
		return nil, err
	}
	files, err := db.StaffAttachments(ctx, s.DB, ids...)
	if err != nil {
		return nil, err
	}
	out := make([]customerOutput, len(users))
	for i := range users {
		if out[i], err = s.showCustomer(company, &users[i], creators, files); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (s *server) answerCustomer(c *gin.Context, status int, company *db.Company, user *db.Staff) error {
	out, err := s.showCustomers(c.Request.Context(), company, []db.Staff{*user})
	if err != nil {
		return err
	}
	return ok(c, status, out[0])
}

// listCustomers lists all users, or the one that ?username= names (reference 2.6).
func (s *server) listCustomers(c *gin.Context) error {
	company, err := s.company(c)
	if err != nil {
		return err
	}
	p, err := pageOf(c)
	if err != nil {
		return err
	}
	username, err := surface.QueryText(c, "username")
	if err != nil {
		return err
	}
	users, total, err := db.ListStaff(c.Request.Context(), s.DB, company.ID, username, p.Window())
	if err != nil {
		return err
	}
	out, err := s.showCustomers(c.Request.Context(), company, users)
	if err != nil {
		return err
	}
	return okPage(s, c, p, out, total)
}

func (s *server) getCustomer(c *gin.Context) error {
	company, user, err := s.customer(c)
	if err != nil {
		return err
	}
	return s.answerCustomer(c, http.StatusOK, company, user)
}

func (s *server) createCustomer(c *gin.Context) error {
	company, err := s.company(c)
	if err != nil {
		return err
	}
	in, err := surface.BindKnown[customerInput](c)
	if err != nil {
		return err
	}
	if !in.Username.Set {
		return surface.Missing("username")
	}
	user := &db.Staff{
		CompanyID:   company.ID,
		AccountType: db.Recruiter,
		IsActive:    true,
		CreatedBy:   surface.Caller(c).Key.StaffID,
	}
	if _, err := in.apply(user); err != nil {
		return err
	}
	user.HeldByPlatform = !user.IsActive && surface.Caller(c).Platform()
	if err := s.authorizeGrant(c, user.AccountType); err != nil {
		return err
	}
	if err := s.authorizePassword(c, &in); err != nil {
		return err
	}
	activates := false
	if user.Activatable() {
		if activates, err = s.mayActivate(c, &in); err != nil {
			return err
		}
	}
	err = pg.InTx(c.Request.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
		if err := db.CreateStaff(ctx, tx, user); err != nil {
			return err
		}
		if activates && s.Mails && user.Email != nil {
			if err := db.MailActivation(ctx, tx, user); err != nil {
				return err
			}
		}
		return db.AuditStaff(ctx, tx, user, db.AuditCreated, caller(c), nil, gin.H{"account_type": user.AccountType})
	})
	if err != nil {
		return usernameTaken(err)
	}
	c.Header("Location", s.customerURI(company.Number, user.Number))
	out, err := s.showCustomers(c.Request.Context(), company, []db.Staff{*user})
	if err != nil {
		return err
	}
	if activates {
		key := token.ActivationKey(s.Secret, token.StaffActivation, user.Number, user.ID)
		out[0].ActivationKey = &key
	}
	return ok(c, http.StatusCreated, out[0])
}

// usernameTaken turns a duplicate into an error of the field username.
func usernameTaken(err error) error {
	if errors.Is(err, pg.ErrDuplicate) {
		return surface.Invalid("username", "A user with that username already exists")
	}
	return err
}

func (s *server) updateCustomer(c *gin.Context) error {
	company, user, err := s.customer(c)
	if err != nil {
		return err
	}
	in, err := surface.BindKnown[customerInput](c)
	if err != nil {
		return err
	}
	if err := s.authorizeManage(c, user); err != nil { // again below, on the locked row: this one spares the hashing
		return err
	}
	if err := s.authorizePassword(c, &in); err != nil {
		return err
	}
	err = pg.InTx(c.Request.Context(), s.DB, func(ctx context.Context, tx bun.Tx) (err error) {
		if err := db.Lock(ctx, tx, "staff", user.ID); err != nil {
			return err
		}
		if user, err = db.GetStaff(ctx, tx, user.ID); err != nil {
			return err
		}
		if err := s.authorizeManage(c, user); err != nil {
			return err
		}
		before := *user
		columns, err := in.apply(user)
		if err != nil {
			return err
		}
		if user.AccountType != before.AccountType || in.Password.Set || user.IsActive && !before.IsActive {
			if err := s.authorizeGrant(c, user.AccountType); err != nil {
				return err
			}
		}
		held, err := heldByPlatform(c, &before, user)
		if err != nil {
			return err
		}
		user.HeldByPlatform = held
		return db.UpdateStaff(ctx, tx, user, caller(c), append(columns, "held_by_platform")...)
	})
	if err != nil {
		return usernameTaken(err)
	}
	return s.answerCustomer(c, http.StatusAccepted, company, user)
}

func (s *server) deleteCustomer(c *gin.Context) error {
	_, user, err := s.customer(c)
	if err != nil {
		return err
	}
	if err := s.authorizeManage(c, user); err != nil {
		return err
	}
	err = pg.InTx(c.Request.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
		return db.DeleteStaff(ctx, tx, user.ID, caller(c))
	})
	if err != nil {
		return err
	}
	return noContent(c)
}

package interviewsuite

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/uptrace/bun"

	"greenroom/api/surface"
	"greenroom/db"
	"greenroom/db/pg"
)

// idleDays is the number of days without use after which a token expires, unless the log-in asks for another period.
// Reference 2.2 says only that tokens expire and that at most 30 days can be requested.
const idleDays = 14

func (s *server) authRoutes() []surface.Route {
	return []surface.Route{
		surface.Post("/api/v3/api-token-auth/", surface.Public, s.logIn),
		surface.Get("/api/v3/whoami/candidate/", surface.Public, s.whoAmI),
		surface.Get("/cfev3/register/:key", surface.Public, s.register),
	}
}

// logInInput follows reference 2.2.
type logInInput struct {
	Username string `json:"username" validate:"required,max=255"`
	Password string `json:"password" validate:"required,max=1024"`
	Company  string `json:"company" validate:"required,max=255"`
	Extended *int   `json:"extended_expiration_period" validate:"gte=1,lte=30"`
}

// errLogIn does not reveal which of the three credentials was wrong.
var errLogIn = surface.Invalid("non_field_errors", "Unable to log in with provided credentials")

// logIn answers with a new token of the user. The limit of attempts is checked before the password. A successful
// log-in resets the user's count.
func (s *server) logIn(c *gin.Context) error {
	in, err := surface.BindKnown[logInInput](c)
	if err != nil {
		return err
	}
	ctx := c.Request.Context()
	if err := s.limits.logIn(ctx, c.ClientIP(), in.Company, in.Username); err != nil {
		return err
	}
	user, err := db.FindStaff(ctx, s.DB, in.Company, in.Username)
	if err != nil && !errors.Is(err, pg.ErrNotFound) {
		return err
	}
	if !user.PasswordIs(in.Password) {
		return errLogIn
	}
	plain, err := s.newToken(ctx, user, in.Extended)
	if errors.Is(err, pg.ErrNotFound) { // inactive, or deleted since it was read
		return errLogIn
	}
	if err != nil {
		return err
	}
	s.limits.forget(ctx, in.Company, in.Username)
	return ok(c, http.StatusOK, gin.H{"token": plain})
}

func (s *server) newToken(ctx context.Context, user *db.Staff, extended *int) (plain string, err error) {
	r := db.TokenRequest{
		Staff: user.ID, Secret: s.Secret, IdleDays: idleDays, RatePerMinute: s.PerMinute, RatePerHour: s.PerHour,
		Actor: actorOf(user),
	}
	if extended != nil {
		r.IdleDays = *extended
	}
	err = pg.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) (err error) {
		plain, err = db.CreateToken(ctx, tx, r)
		return err
	})
	return plain, err
}

// actorOf returns the user's name in the audit log of keys.
func actorOf(user *db.Staff) string { return fmt.Sprintf("staff:%s", user.ID) }

// caller returns the caller's name in the audit log of keys.
func caller(c *gin.Context) string {
	key := surface.Caller(c).Key
	if key.StaffID != nil {
		return fmt.Sprintf("staff:%s", *key.StaffID)
	}
	return fmt.Sprintf("key:%s", key.ID)
}

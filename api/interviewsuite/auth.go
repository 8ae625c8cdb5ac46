package interviewsuite

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

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
		surface.Post("/api/v3/api-token-auth/", surface.Public, s.logIn).ByNetwork(), // before the body is read
		surface.Get("/api/v3/whoami/candidate/", surface.Public, s.whoAmI).ByNetwork(),
		surface.Get("/cfev3/register/:key", surface.Public, s.register).ByNetwork(),
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

// logIn answers with a new token of the user. The limits of attempts are checked before the password. A successful
// log-in resets the user's count.
func (s *server) logIn(c *gin.Context) error {
	_, plain, err := s.tokenFor(c)
	if err != nil {
		return err
	}
	return ok(c, http.StatusOK, gin.H{"token": plain})
}

// tokenFor returns the user whose credentials the body has, and a new token.
func (s *server) tokenFor(c *gin.Context) (user *db.Staff, plain string, err error) {
	ctx := c.Request.Context()
	in, err := surface.BindKnown[logInInput](c)
	if err != nil {
		return nil, "", err
	}
	user, err = db.FindStaff(ctx, s.DB, in.Company, in.Username)
	if err != nil && !errors.Is(err, pg.ErrNotFound) {
		return nil, "", err
	}
	right, err := s.checkPassword(c, loginName(user, in.Company, in.Username), user, in.Password)
	if err != nil {
		return nil, "", err
	}
	if !right {
		return nil, "", errLogIn
	}
	plain, err = s.newToken(ctx, user, in.Extended)
	if errors.Is(err, pg.ErrNotFound) { // inactive, or deleted since it was read
		return nil, "", errLogIn
	}
	return user, plain, err
}

func (s *server) newToken(ctx context.Context, user *db.Staff, extended *int) (plain string, err error) {
	r := db.TokenRequest{
		Staff:         user.ID,
		Secret:        s.Secret,
		IdleDays:      idleDays,
		MaxAge:        s.TokenMaxAge,
		RatePerMinute: s.PerMinute,
		RatePerHour:   s.PerHour,
		Actor:         actorOf(user),
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

// actorOf returns the user's name in the audit log.
func actorOf(user *db.Staff) string { return fmt.Sprintf("staff:%s", user.ID) }

// caller returns the caller's name in the audit log.
func caller(c *gin.Context) string { return surface.Caller(c).Actor() }

// passwordIs compares the password of a user, within the limits of log-ins.
func (s *server) passwordIs(c *gin.Context, user *db.Staff, password string) (bool, error) {
	return s.checkPassword(c, loginName(user, "", ""), user, password)
}

// checkPassword compares a password within the limits. user may be nil.
func (s *server) checkPassword(c *gin.Context, name string, user *db.Staff, password string) (right bool, err error) {
	ctx, network := c.Request.Context(), surface.Network(c.ClientIP())
	done, err := s.limits.hash(ctx, name, network)
	if err != nil {
		return false, err
	}
	defer done()
	if err := s.limits.attempt(ctx, name, network); err != nil {
		return false, err
	}
	if right = user.PasswordIs(password); right {
		s.limits.succeeded(ctx, name, network)
	} else {
		s.limits.failed(ctx, network)
	}
	return right, nil
}

// loginName is what attempts are counted by: the user, whose name and e-mail address are one, or the name of a user
// that does not exist.
func loginName(user *db.Staff, company, username string) string {
	if user != nil {
		return user.ID.String()
	}
	return strings.ToLower(company) + "\x00" + strings.ToLower(username)
}

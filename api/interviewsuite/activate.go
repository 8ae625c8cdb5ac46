package interviewsuite

import (
	"bytes"
	"context"
	"crypto/rand"
	_ "embed" // the page is part of the binary
	"errors"
	"fmt"
	"html/template"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/uptrace/bun"

	"greenroom/api/surface"
	"greenroom/db"
	"greenroom/db/pg"
	"greenroom/db/token"
)

// maxActivation bounds the form or the body with a password, in bytes.
const maxActivation = 16 << 10

func (s *server) activateRoutes() []surface.Route {
	const path = "/cfev3/activate/:key"
	return []surface.Route{
		surface.Get(path, surface.Public, s.showActivation).ByNetwork(),
		surface.Post(path, surface.Public, s.activate).MaxBody(maxActivation).ByNetwork(),
	}
}

//go:embed activate.html
var activateHTML string

var activateTemplate = template.Must(template.New("activate").Parse(activateHTML))

// activatePage is what the page shows.
type activatePage struct {
	Nonce, Username, Company string
	// Missing: the link is not valid, and the other fields are empty. Done: the password was set. Refused says why the
	// password was not taken.
	Missing, Done bool
	Refused       string
}

func (p activatePage) write(c *gin.Context, status int) error {
	p.Nonce = rand.Text()
	var page bytes.Buffer
	if err := activateTemplate.Execute(&page, p); err != nil {
		return fmt.Errorf("write page: %w", err)
	}
	c.Header("Content-Security-Policy", "default-src 'none'; style-src 'nonce-"+p.Nonce+
		"'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	c.Header("Referrer-Policy", "no-referrer") // the link is a credential
	c.Header("X-Content-Type-Options", "nosniff")
	c.Data(status, "text/html; charset=utf-8", page.Bytes())
	return nil
}

// pendingUser returns the user that the path's activation key belongs to, who has no password yet, and the company.
func (s *server) pendingUser(c *gin.Context) (*db.Staff, *db.Company, error) {
	ctx, key := c.Request.Context(), c.Param("key")
	number, isKey := token.ActivationNumber(key)
	if !isKey {
		return nil, nil, pg.ErrNotFound
	}
	user, err := db.StaffByNumberUnscoped(ctx, s.DB, number)
	if err != nil {
		return nil, nil, err
	}
	if !user.Activatable() || !s.isActivationKey(key, token.StaffActivation, number, user.ID) {
		return nil, nil, pg.ErrNotFound
	}
	company, err := db.GetCompany(ctx, s.DB, user.CompanyID)
	return user, company, err
}

// showActivation serves the link of the activation e-mail: a page with a form for the password.
func (s *server) showActivation(c *gin.Context) error {
	user, company, err := s.pendingUser(c)
	if errors.Is(err, pg.ErrNotFound) {
		return activatePage{Missing: true}.write(c, http.StatusNotFound)
	}
	if err != nil {
		return err
	}
	return activatePage{Username: user.Username, Company: company.Name}.write(c, http.StatusOK)
}

type activateInput struct {
	Password string `json:"password" validate:"required"`
}

// activate sets the password, of a form or of JSON. A form is answered with the page.
func (s *server) activate(c *gin.Context) error {
	user, company, err := s.pendingUser(c) // check the key before the body
	isForm := c.ContentType() == "application/x-www-form-urlencoded"
	var in activateInput
	if err == nil {
		if isForm {
			in.Password = c.PostForm("password")
		} else if in, err = surface.BindKnown[activateInput](c); err != nil {
			return err
		}
		err = s.setFirstPassword(c, user, in.Password)
	}
	var refused *surface.Error
	switch {
	case !isForm && err != nil:
		return err
	case !isForm:
		return noContent(c)
	case errors.Is(err, pg.ErrNotFound):
		return activatePage{Missing: true}.write(c, http.StatusNotFound)
	case errors.As(err, &refused) && refused.Field() == "password":
		return activatePage{Username: user.Username, Company: company.Name, Refused: refused.Message}.
			write(c, http.StatusBadRequest)
	case err != nil:
		return err
	}
	return activatePage{Username: user.Username, Company: company.Name, Done: true}.write(c, http.StatusOK)
}

// setFirstPassword hashes within the limits of log-ins, because hashing is expensive.
func (s *server) setFirstPassword(c *gin.Context, user *db.Staff, password string) error {
	if len([]rune(password)) < minPassword {
		return surface.Invalid("password", fmt.Sprintf("password must be at least %d characters", minPassword))
	}
	done, err := s.limits.hash(c.Request.Context(), loginName(user, "", ""), surface.Network(c.ClientIP()))
	if err != nil {
		return err
	}
	hash, err := hashed(password)
	done()
	if err != nil {
		return err
	}
	return pg.InTx(c.Request.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
		return db.ActivateStaff(ctx, tx, user.ID, hash)
	})
}

// hashed hashes a password; it refuses one that is too long.
func hashed(password string) (string, error) {
	hash, err := db.HashPassword(password)
	if errors.Is(err, db.ErrPassword) {
		return "", surface.Invalid("password", fmt.Sprintf("password %v", db.ErrPassword))
	}
	return hash, err
}

// mayActivate reports whether the caller may give a new user without a password the means to choose one. As for setting
// one (authorizePassword), a user confirms with their own password, and a key must be bound neither to addresses nor to
// a time: a stolen token must not become an account.
func (s *server) mayActivate(c *gin.Context, in *customerInput) (bool, error) {
	me, err := s.staff(c)
	switch {
	case err != nil:
		return false, err
	case me == nil:
		return !surface.Caller(c).Key.Restricted(), nil
	case !in.CurrentPassword.Set:
		return false, nil
	}
	right, err := s.passwordIs(c, me, in.CurrentPassword.Value)
	if err == nil && !right {
		err = surface.Invalid("current_password", "current_password is not the password of the calling user")
	}
	return right, err
}

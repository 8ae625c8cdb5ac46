package interviewsuite

import (
	"context"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/uptrace/bun"

	"greenroom/api/surface"
	"greenroom/db"
	"greenroom/db/pg"
)

// sessionCookie has the token of a browser's session. The reference says that most resources accept a session cookie
// (2.2), but neither its name nor how a client gets it.
const sessionCookie = "interview_suite_session"

func (s *server) sessionRoutes() []surface.Route {
	const path = "/api/v3/session/"
	return []surface.Route{
		surface.Post(path, surface.Public, s.openSession).ByNetwork(), // as a log-in
		surface.Delete(path, "", s.closeSession),
	}
}

type sessionOutput struct {
	Company  string `json:"company"`
	Customer string `json:"customer"`
}

// openSession logs a user in, as logIn does, and gives the token to the browser alone: no script can read the cookie.
func (s *server) openSession(c *gin.Context) error {
	if err := surface.SameOrigin(c); err != nil {
		return err
	}
	user, plain, err := s.tokenFor(c)
	if err != nil {
		return err
	}
	company, err := db.GetCompany(c.Request.Context(), s.DB, user.CompanyID)
	if err != nil {
		return err
	}
	s.setSession(c, plain, 0)
	return ok(c, http.StatusOK, sessionOutput{s.companyURI(company.Number), s.customerURI(company.Number, user.Number)})
}

// closeSession revokes the token of the request. A key of the company and a permanent token are no session.
func (s *server) closeSession(c *gin.Context) error {
	key := surface.Caller(c).Key
	if key.StaffID == nil || key.IdleDays == nil {
		return surface.Denied("session")
	}
	err := pg.InTx(c.Request.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
		return db.RevokeAPIKey(ctx, tx, key.ID, caller(c))
	})
	if err != nil {
		return err
	}
	s.setSession(c, "", -1)
	return noContent(c)
}

// setSession sets the cookie for maxAge seconds: 0 until the browser ends, negative removes it.
func (s *server) setSession(c *gin.Context, token string, maxAge int) {
	http.SetCookie(c.Writer, &http.Cookie{ //nolint:gosec // Secure wherever the API is reached over https
		Name: sessionCookie, Value: token, Path: "/api/v3/", MaxAge: maxAge, HttpOnly: true,
		SameSite: http.SameSiteStrictMode, Secure: c.Request.TLS != nil || strings.HasPrefix(s.PublicURL, "https://"),
	})
}

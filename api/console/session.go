package console

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/ulule/limiter/v3"

	"greenroom/api/surface"
	"greenroom/db"
	"greenroom/db/pg"
)

const (
	cookieName = "greenroom_console"
	// sessionLife is a working day: a session also ends with its key.
	sessionLife = 8 * time.Hour
	// PortalLife is how long a link to the portal works.
	PortalLife = time.Hour
)

var (
	// failures of one network to sign in. A key has 256 random bits: the limit only bounds the cost of attempts.
	failures = limiter.Rate{Period: time.Minute, Limit: 10}
	// perSession bounds the requests of one key's sessions: some thirty pages that refresh themselves.
	perSession = limiter.Rate{Period: time.Minute, Limit: 600}
)

// The fields that sealed values are bound to: a link to the portal is no session of the console.
const (
	sessionField = "console session"
	portalField  = "portal link"
)

// session is what a cookie or a link to the portal has, sealed.
type session struct {
	// Key is the hash of the API key that began it.
	Key  []byte    `json:"k"`
	Ends time.Time `json:"e"`
	// Company and Frames are those of a link to the portal. Frames are the origins that may frame its pages.
	Company *uuid.UUID `json:"c,omitempty"`
	Frames  []string   `json:"f,omitempty"`
}

// portalScopes are what a link to the portal hands on of its key, as far as that holds them.
func portalScopes() []string {
	return []string{"read:webhooks", "write:webhooks", "read:deliveries", "write:deliveries", "read:events"}
}

// PortalLink returns the path of a link to the pages of one company that ends with the caller's key, and after
// PortalLife at the latest.
func PortalLink(
	core *surface.Core, key *db.APIKey, company uuid.UUID, frames []string,
) (path string, ends time.Time, err error) {
	ends = time.Now().Add(PortalLife).UTC().Truncate(time.Second)
	token, err := sealed(core, portalField, session{Key: key.Hash, Ends: ends, Company: &company, Frames: frames})
	return portalPath + "/" + token, ends, err
}

func sealed(core *surface.Core, field string, s session) (string, error) {
	plain, err := json.Marshal(s)
	if err != nil {
		return "", err
	}
	raw, err := core.Box.Seal(plain, uuid.Nil, field)
	return base64.RawURLEncoding.EncodeToString(raw), err
}

var errSignedOut = &surface.Error{
	Status: http.StatusUnauthorized, Code: surface.CodeInvalidKey, Message: "Sign in to see this page",
}

var errLinkEnded = &surface.Error{
	Status: http.StatusUnauthorized, Code: surface.CodeInvalidKey,
	Message: "This link has ended. Ask for a new one where you found it.",
}

// opened returns the session in a sealed text that has not ended.
func (c *console) opened(field, text string) (s session, valid bool) {
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return s, false
	}
	plain, err := c.Box.Open(raw, uuid.Nil, field)
	if err != nil || json.Unmarshal(plain, &s) != nil {
		return s, false
	}
	return s, time.Now().Before(s.Ends)
}

// signedIn serves a view to the holder of a session. Others are sent to the sign-in page.
func (c *console) signedIn(show view) surface.Handler {
	return func(g *gin.Context) error {
		guard(g, "")
		text, err := g.Cookie(cookieName)
		s, valid := c.opened(sessionField, text)
		if err != nil || !valid {
			return c.askToSignIn(g)
		}
		who, err := c.resume(g, s)
		var refused *surface.Error
		if errors.As(err, &refused) && refused.Status == http.StatusUnauthorized {
			c.setCookie(g, "", -1)
			return c.askToSignIn(g)
		}
		if err != nil {
			return err
		}
		return c.visit(&visit{c: g, console: c, who: who, base: Path}, show)
	}
}

// inPortal serves a view to the holder of a link to the portal.
func (c *console) inPortal(show view) surface.Handler {
	return func(g *gin.Context) error {
		guard(g, "")
		s, valid := c.opened(portalField, g.Param("token"))
		if !valid || s.Company == nil {
			return errLinkEnded
		}
		guard(g, strings.Join(s.Frames, " "))
		who, err := c.resume(g, s)
		if err != nil {
			return err
		}
		key := *who.Key
		if key.CompanyID != nil && *key.CompanyID != *s.Company {
			return errLinkEnded
		}
		key.CompanyID = s.Company
		key.Scopes = slices.DeleteFunc(portalScopes(), func(scope string) bool { return !who.Holds(scope) })
		portal := &visit{
			c: g, console: c, who: surface.Principal{Key: &key}, base: portalPath + "/" + g.Param("token"), portal: true,
		}
		return c.visit(portal, show)
	}
}

// visit limits the requests of a key's sessions, refuses a POST from another site, and shows the view.
func (c *console) visit(v *visit, show view) error {
	name := v.who.Key.ID.String()
	if v.portal { // the visitors of one company do not use up those of another
		name += " " + v.who.Key.CompanyID.String()
	}
	if err := c.count(v.c, name, perSession, "This session"); err != nil {
		return err
	}
	if err := c.sameOrigin(v.c); err != nil {
		return err
	}
	return show(v)
}

func (c *console) resume(g *gin.Context, s session) (surface.Principal, error) {
	who, err := c.Resume(g, s.Key)
	if err == nil && !who.Holds(Scope) {
		err = errSignedOut
	}
	return who, err
}

func (c *console) sameOrigin(g *gin.Context) error {
	if c.origins.Check(g.Request) == nil {
		return nil
	}
	return &surface.Error{
		Status: http.StatusForbidden, Code: surface.CodeDenied, Message: "This request came from another site",
	}
}

func (c *console) count(g *gin.Context, name string, rate limiter.Rate, who string) error {
	now, err := c.counts.Get(g.Request.Context(), name, rate)
	if err != nil || !now.Reached {
		return err
	}
	return surface.RateLimited(who+" has sent too many requests", now.Limit, time.Until(time.Unix(now.Reset, 0)))
}

// askToSignIn sends a reader to the sign-in page, which leads back, and refuses an action. Browsers leave the cookie
// out when a link on another site leads here, so such a reader is first led to the same page from here.
func (c *console) askToSignIn(g *gin.Context) error {
	if g.Request.Method != http.MethodGet && g.Request.Method != http.MethodHead {
		return errSignedOut
	}
	if g.GetHeader("Sec-Fetch-Site") == "cross-site" && g.GetHeader("Sec-Fetch-Mode") == "navigate" {
		to := next(g.Request.URL.RequestURI())
		return c.render(g, http.StatusOK, "continue", page{Title: "Greenroom", Refresh: to, Body: to})
	}
	g.Redirect(http.StatusSeeOther, Path+"/sign-in?next="+url.QueryEscape(g.Request.URL.RequestURI()))
	return nil
}

// next is where a sign-in leads: a page of the console, never another site.
func next(sent string) string {
	to, err := url.Parse(sent)
	if err != nil || to.Host != "" || to.Scheme != "" || to.Opaque != "" ||
		to.Path != Path && !strings.HasPrefix(to.Path, Path+"/") || strings.Contains(to.Path, "/sign-") {
		return Path
	}
	return (&url.URL{Path: to.Path, RawQuery: to.RawQuery}).String()
}

type signInForm struct{ Next, Problem, Link string }

func (c *console) signInPage(g *gin.Context) error {
	guard(g, "")
	return c.render(g, http.StatusOK, "signin", page{Title: "Sign in", Body: signInForm{Next: next(g.Query("next"))}})
}

func (c *console) signIn(g *gin.Context) error {
	guard(g, "")
	if err := c.sameOrigin(g); err != nil {
		return err
	}
	network := "failed:" + surface.Network(g.ClientIP())
	now, err := c.counts.Peek(g.Request.Context(), network, failures)
	if err == nil && now.Remaining <= 0 {
		return surface.RateLimited("Too many attempts to sign in", now.Limit, time.Until(time.Unix(now.Reset, 0)))
	}
	plain := strings.TrimSpace(g.PostForm("key"))
	problem, err := c.begin(g, plain)
	if err != nil {
		return err
	}
	to := next(g.PostForm("next"))
	if problem == "" {
		g.Redirect(http.StatusSeeOther, to)
		return nil
	}
	_, _ = c.counts.Get(g.Request.Context(), network, failures) // without it the limit is only higher
	return c.render(g, http.StatusUnauthorized, "signin",
		page{Title: "Sign in", Body: signInForm{Next: to, Problem: problem}})
}

// begin starts a session of the key, or says why it does not.
func (c *console) begin(g *gin.Context, plain string) (problem string, err error) {
	if plain == "" {
		return "Enter an API key", nil
	}
	for _, secret := range c.Secrets() {
		problem, err = c.beginWith(g, db.HashKey(secret, plain))
		if err != nil || problem == "" {
			return problem, err
		}
	}
	return problem, nil
}

func (c *console) beginWith(g *gin.Context, hash []byte) (problem string, err error) {
	who, err := c.Resume(g, hash)
	var refused *surface.Error
	switch {
	case errors.As(err, &refused) && refused.Code == surface.CodeInvalidKey:
		return "This key is not known, or it was revoked or has expired", nil
	case errors.As(err, &refused) && refused.Status < http.StatusInternalServerError:
		return refused.Message, nil
	case err != nil:
		return "", err
	case !who.Holds(Scope):
		return `This key does not have the scope "console"`, nil
	}
	text, err := sealed(c.Core, sessionField, session{Key: hash, Ends: time.Now().Add(sessionLife)})
	if err != nil {
		return "", err
	}
	c.setCookie(g, text, int(sessionLife.Seconds()))
	return "", nil
}

// setCookie is Strict: a link from another site opens the sign-in page, and no other site acts in a session.
func (c *console) setCookie(g *gin.Context, text string, age int) {
	http.SetCookie(g.Writer, &http.Cookie{ //nolint:gosec // Secure wherever the API is reached over https
		Name: cookieName, Value: text, Path: Path, MaxAge: age, HttpOnly: true, SameSite: http.SameSiteStrictMode,
		Secure: g.Request.TLS != nil || strings.HasPrefix(c.PublicURL, "https://"),
	})
}

func (c *console) signOut(g *gin.Context) error {
	guard(g, "")
	if err := c.sameOrigin(g); err != nil {
		return err
	}
	c.setCookie(g, "", -1)
	g.Redirect(http.StatusSeeOther, Path+"/sign-in")
	return nil
}

// linkPage shows the button that uses a one-time link: a preview of the link by a chat or a mail scanner does not.
func (c *console) linkPage(g *gin.Context) error {
	guard(g, "")
	valid, err := db.ConsoleLinkIsValid(g.Request.Context(), c.DB, g.Param("link"))
	if err != nil {
		return err
	}
	if !valid {
		return errLinkEnded
	}
	return c.render(
		g,
		http.StatusOK,
		"enter",
		page{Title: "Sign in", Body: signInForm{Link: g.Param("link"), Next: next(g.Query("next"))}},
	)
}

func (c *console) enter(g *gin.Context) error {
	guard(g, "")
	if err := c.sameOrigin(g); err != nil {
		return err
	}
	hash, err := db.UseConsoleLink(g.Request.Context(), c.DB, g.Param("link"))
	if errors.Is(err, pg.ErrNotFound) {
		return errLinkEnded
	}
	if err != nil {
		return err
	}
	problem, err := c.beginWith(g, hash)
	if err != nil {
		return err
	}
	if problem != "" {
		return &surface.Error{Status: http.StatusUnauthorized, Code: surface.CodeInvalidKey, Message: problem}
	}
	g.Redirect(http.StatusSeeOther, next(g.PostForm("next")))
	return nil
}

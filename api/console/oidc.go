package console

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"golang.org/x/oauth2"

	"greenroom/api/surface"
	"greenroom/db"
	"greenroom/db/pg"
)

// OIDC configures sign-in with an OpenID Connect provider.
type OIDC struct {
	// Issuer is the provider's; "": people sign in with keys alone.
	Issuer, ClientID, ClientSecret string
	// Access says who may sign in. The first rule that a person fits applies.
	Access []AccessRule
	// Client calls the provider.
	Client *http.Client
}

// AccessRule gives a person the rights of an API key: its scopes and company, as long as it is valid. The key's plain
// text is needed by nobody.
type AccessRule struct {
	// Who is an email address, "@" and a domain, or "group:" and a name in the claim "groups".
	Who string
	Key uuid.UUID
}

// ParseAccess reads rules such as "ann@example.com=KEY, @example.com=KEY, group:support=KEY".
func ParseAccess(text string) (rules []AccessRule, err error) {
	for _, one := range strings.Split(text, ",") {
		at := strings.LastIndexByte(one, '=')
		if at < 0 {
			return nil, errAccess
		}
		who := strings.TrimSpace(one[:at])
		id, valid := pg.ParseID(strings.TrimSpace(one[at+1:]))
		group, isGroup := strings.CutPrefix(who, "group:")
		_, domain, isEmail := strings.Cut(who, "@")
		if !valid || isGroup && group == "" || !isGroup && (!isEmail || domain == "") {
			return nil, errAccess
		}
		rules = append(rules, AccessRule{who, id})
	}
	return rules, nil
}

var errAccess = errors.New(
	"must be rules such as ann@example.com=KEY, @example.com=KEY, group:support=KEY, where KEY is the id of an API key")

// person is what the provider says about who signs in.
type person struct {
	Email    string   `json:"email"`
	Verified verified `json:"email_verified"`
	Groups   groups   `json:"groups"`
}

// groups reads a list of names, or the name alone of an only group, which some providers send. What has another form
// names no group.
type groups []string

// UnmarshalJSON implements json.Unmarshaler.
func (g *groups) UnmarshalJSON(raw []byte) error {
	var one string
	var all []string
	switch {
	case json.Unmarshal(raw, &all) == nil:
		*g = all
	case json.Unmarshal(raw, &one) == nil:
		*g = groups{one}
	}
	return nil
}

// verified reads a boolean that some providers send as a text.
type verified bool

// UnmarshalJSON implements json.Unmarshaler.
func (v *verified) UnmarshalJSON(raw []byte) error {
	*v = string(raw) == "true" || string(raw) == `"true"`
	return nil
}

// rule returns the first rule that a person fits.
func (o *OIDC) rule(p person) (AccessRule, bool) {
	_, domain, _ := strings.Cut(p.Email, "@")
	for _, r := range o.Access {
		group, isGroup := strings.CutPrefix(r.Who, "group:")
		fits := same(r.Who, p.Email) || r.Who[0] == '@' && same(r.Who[1:], domain)
		if isGroup {
			fits = slices.Contains(p.Groups, group)
		}
		if fits {
			return r, true
		}
	}
	return AccessRule{}, false
}

// same compares addresses without regard to the case of ASCII: letters such as the Kelvin sign, which fold to an ASCII
// letter and are longer, are others.
func same(a, b string) bool { return len(a) == len(b) && strings.EqualFold(a, b) }

// stands reports whether a rule by which a session began is still there.
func (o *OIDC) stands(who string, key uuid.UUID) bool {
	return slices.Contains(o.Access, AccessRule{who, key})
}

const (
	oidcCookie = "greenroom_console_oidc"
	oidcField  = "console oidc"
	oidcPath   = Path + "/oidc"
	// oidcLife is how long a sign-in at the provider may take.
	oidcLife = 10 * time.Minute
	// oidcLimit bounds what a request waits for the provider.
	oidcLimit = 10 * time.Second
)

// oidcAttempt is a sign-in under way, sealed in a cookie of the browser that began it.
type oidcAttempt struct {
	State, Nonce, Verifier, Next string
	Ends                         time.Time
}

// provider is the OpenID provider, whose description is read at the first sign-in and then kept.
type provider struct {
	mu    sync.Mutex
	known *oidc.Provider
}

func (c *console) oidcProvider(ctx context.Context) (*oidc.Provider, error) {
	c.provider.mu.Lock()
	defer c.provider.mu.Unlock()
	if c.provider.known != nil {
		return c.provider.known, nil
	}
	found, err := oidc.NewProvider(ctx, c.o.OIDC.Issuer)
	if err == nil {
		c.provider.known = found
	}
	return found, err
}

// oidcConfig asks for groups where the provider has a scope for them; others send them without, or refuse the scope.
func (c *console) oidcConfig(p *oidc.Provider) *oauth2.Config {
	scopes := []string{oidc.ScopeOpenID, "email", "profile"}
	var has struct {
		Scopes []string `json:"scopes_supported"`
	}
	if p.Claims(&has) == nil && slices.Contains(has.Scopes, "groups") {
		scopes = append(scopes, "groups")
	}
	return &oauth2.Config{
		ClientID: c.o.OIDC.ClientID, ClientSecret: c.o.OIDC.ClientSecret, Endpoint: p.Endpoint(),
		RedirectURL: c.PublicURL + oidcPath + "/callback", Scopes: scopes,
	}
}

// beginOIDC leads to the provider, with a state, a nonce and a PKCE challenge that only this browser's cookie fits.
func (c *console) beginOIDC(g *gin.Context) error {
	guard(g, "")
	if c.o.OIDC.Issuer == "" {
		return surface.NotFound("Page", g.Request.URL.Path)
	}
	ctx, cancel := c.providerContext(g)
	defer cancel()
	p, err := c.oidcProvider(ctx)
	if err != nil {
		return c.providerFailed(g, err)
	}
	a := oidcAttempt{
		State: oauth2.GenerateVerifier(), Nonce: oauth2.GenerateVerifier(), Verifier: oauth2.GenerateVerifier(),
		Next: next(g.Query("next")), Ends: time.Now().Add(oidcLife),
	}
	plain, err := json.Marshal(a)
	if err != nil {
		return err
	}
	text, err := sealText(c.Core, oidcField, plain)
	if err != nil {
		return err
	}
	c.setOIDCCookie(g, text, int(oidcLife.Seconds()))
	to := c.oidcConfig(p).AuthCodeURL(a.State, oidc.Nonce(a.Nonce), oauth2.S256ChallengeOption(a.Verifier))
	g.Redirect(http.StatusSeeOther, to)
	return nil
}

// setOIDCCookie is Lax: the provider's answer is a navigation from another site.
func (c *console) setOIDCCookie(g *gin.Context, text string, age int) {
	http.SetCookie(g.Writer, &http.Cookie{ //nolint:gosec // Secure wherever the API is reached over https
		Name: oidcCookie, Value: text, Path: oidcPath, MaxAge: age, HttpOnly: true, SameSite: http.SameSiteLaxMode,
		Secure: g.Request.TLS != nil || strings.HasPrefix(c.PublicURL, "https://"),
	})
}

// providerContext has the client for the provider, and bounds what a request waits for it.
func (c *console) providerContext(g *gin.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(oidc.ClientContext(g.Request.Context(), c.o.OIDC.Client), oidcLimit)
}

// providerFailed refuses a sign-in because of the provider or the settings; the cause is in the log alone.
func (c *console) providerFailed(g *gin.Context, err error) error {
	c.Logger.WarnContext(
		g.Request.Context(),
		"sign-in with OpenID Connect failed",
		"issuer",
		c.o.OIDC.Issuer,
		"error",
		err,
	)
	return &surface.Error{
		Status: http.StatusBadGateway, Code: surface.CodeUnavailable,
		Message: "The provider of sign-ins does not answer as it should. Sign in with a key, or try again.",
	}
}

// endOIDC takes the provider's answer: it begins a session if the answer belongs to this browser's attempt and the
// person has access.
func (c *console) endOIDC(g *gin.Context) error {
	guard(g, "")
	if c.o.OIDC.Issuer == "" {
		return surface.NotFound("Page", g.Request.URL.Path)
	}
	if err := c.countFailures(g); err != nil {
		return err
	}
	a, valid := c.oidcAttemptOf(g)
	c.setOIDCCookie(g, "", -1) // an attempt has one answer
	if !valid || subtle.ConstantTimeCompare([]byte(a.State), []byte(g.Query("state"))) != 1 {
		return c.refuseOIDC(g, Path, "This sign-in was not begun in this browser, or it took too long. Begin again.")
	}
	if refused := g.Query("error"); refused != "" {
		return c.refuseOIDC(g, a.Next, "The provider refused the sign-in: "+surface.Clip(refused))
	}
	ctx, cancel := c.providerContext(g)
	defer cancel()
	who, err := c.identify(ctx, a, g.Query("code"))
	var wrong *identityError
	switch {
	case errors.As(err, &wrong):
		c.Logger.WarnContext(ctx, "sign-in with OpenID Connect was refused", "error", wrong.err)
		return c.refuseOIDC(g, a.Next, "The provider's answer is not valid. Begin again.")
	case err != nil:
		return c.providerFailed(g, err)
	case who.Email == "" || !bool(who.Verified):
		return c.refuseOIDC(g, a.Next, "The provider has not verified an email address of yours")
	}
	rule, found := c.o.OIDC.rule(who)
	if !found {
		return c.refuseOIDC(g, a.Next, who.Email+" has no access to this console")
	}
	problem, err := c.beginAs(g, who.Email, rule)
	if err != nil {
		return err
	}
	if problem != "" {
		return c.refuseOIDC(g, a.Next, problem)
	}
	// The browser would leave the new cookie out of a redirect, because the navigation began at another site.
	return c.render(g, http.StatusOK, "continue", page{Title: "Greenroom", Refresh: a.Next, Body: a.Next})
}

func (c *console) oidcAttemptOf(g *gin.Context) (a oidcAttempt, valid bool) {
	text, err := g.Cookie(oidcCookie)
	if err != nil {
		return a, false
	}
	plain, opened := c.openText(oidcField, text)
	return a, opened && json.Unmarshal(plain, &a) == nil && time.Now().Before(a.Ends)
}

// identityError is an answer that proves no identity.
type identityError struct{ err error }

func (e *identityError) Error() string { return e.err.Error() }

// identify exchanges the code and verifies the identity: signature, issuer, audience, expiry and nonce.
func (c *console) identify(ctx context.Context, a oidcAttempt, code string) (who person, err error) {
	p, err := c.oidcProvider(ctx)
	if err != nil {
		return who, err
	}
	tokens, err := c.oidcConfig(p).Exchange(ctx, code, oauth2.VerifierOption(a.Verifier))
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) && refused.Response.StatusCode < http.StatusInternalServerError {
		return who, &identityError{fmt.Errorf("exchange the code: %s", refused.ErrorCode)}
	}
	if err != nil {
		return who, fmt.Errorf("exchange the code: %w", err)
	}
	raw, _ := tokens.Extra("id_token").(string)
	token, err := p.VerifierContext(ctx, &oidc.Config{ClientID: c.o.OIDC.ClientID}).Verify(ctx, raw)
	if err != nil {
		return who, &identityError{err}
	}
	if subtle.ConstantTimeCompare([]byte(token.Nonce), []byte(a.Nonce)) != 1 {
		return who, &identityError{errors.New("another nonce")}
	}
	if err := token.Claims(&who); err != nil {
		return who, &identityError{err}
	}
	if who.Email == "" && p.UserInfoEndpoint() != "" {
		return askForUser(ctx, p, tokens, token.Subject)
	}
	return who, nil
}

// askForUser asks the provider about the person of an identity without an email address: with a code, a provider may
// tell the address there alone (OpenID Connect Core, 5.4).
func askForUser(ctx context.Context, p *oidc.Provider, tokens *oauth2.Token, subject string) (who person, err error) {
	told, err := p.UserInfo(ctx, oauth2.StaticTokenSource(tokens))
	if err != nil {
		return who, fmt.Errorf("ask for the user: %w", err)
	}
	if told.Subject != subject {
		return who, &identityError{errors.New("another user than that of the identity")}
	}
	if err := told.Claims(&who); err != nil {
		return who, &identityError{err}
	}
	return who, nil
}

// beginAs starts a session of a person with the rights of a rule's key, or says why it does not.
func (c *console) beginAs(g *gin.Context, email string, rule AccessRule) (problem string, err error) {
	key, err := db.GetAPIKey(g.Request.Context(), c.DB, rule.Key)
	if errors.Is(err, pg.ErrNotFound) {
		c.Logger.WarnContext(g.Request.Context(), "console.oidc.access names a key that does not exist", "key_id", rule.Key)
		return "The access of " + rule.Who + " is set up with a key that does not exist", nil
	}
	if err != nil {
		return "", err
	}
	return c.beginWith(g, session{Key: key.Hash, Person: email, Rule: rule.Who})
}

// refuseOIDC shows the sign-in page with a problem.
func (c *console) refuseOIDC(g *gin.Context, to, problem string) error {
	c.noteFailure(g)
	return c.showSignIn(g, http.StatusUnauthorized, signInForm{Next: to, Problem: problem})
}

// issuerName is the provider's host, for the button; "" without one.
func (c *console) issuerName() string {
	u, err := url.Parse(c.o.OIDC.Issuer)
	if err != nil {
		return ""
	}
	return u.Host
}

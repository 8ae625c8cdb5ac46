package webhook

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"sync"

	"golang.org/x/net/http/httpguts"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
	"golang.org/x/sync/singleflight"
)

// AuthType is a way to authenticate to a receiver. The values are stored.
type AuthType = string

// The ways to authenticate: RFC 7617, RFC 6750, and RFC 6749 §4.4 (client credentials).
const (
	AuthBasic  AuthType = "basic"
	AuthBearer AuthType = "bearer"
	AuthOAuth2 AuthType = "oauth2"
)

// Auth are the credentials that a webhook's requests carry in Authorization.
type Auth struct {
	Type AuthType
	// User is the user name of AuthBasic, or the client id of AuthOAuth2.
	User string
	// Secret is the password, the token, or the client secret.
	Secret string
	// TokenURL and Scopes are those of AuthOAuth2.
	TokenURL string
	Scopes   []string
}

// CheckAuth returns an error for credentials that HTTP cannot carry. It does not repeat them, and begins with the name
// of the part: user, secret or scope.
func CheckAuth(a *Auth) error {
	switch a.Type {
	case AuthBasic:
		if strings.ContainsFunc(a.User, control) || strings.Contains(a.User, ":") {
			return errors.New("user must not contain colons and control characters") // RFC 7617 §2
		}
		if strings.ContainsFunc(a.Secret, control) {
			return errors.New("secret must not contain control characters")
		}
	case AuthBearer:
		if !visible(a.Secret) {
			return errors.New("secret must be visible ASCII characters without spaces")
		}
	case AuthOAuth2:
		for _, scope := range a.Scopes {
			if !visible(scope) || strings.ContainsAny(scope, `"\`) { // RFC 6749 §3.3
				return errors.New("scope must be visible ASCII characters without spaces, quotes and backslashes")
			}
		}
	}
	return nil
}

func control(r rune) bool { return r < 0x20 || r == 0x7f }

func visible(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r <= 0x20 || r > 0x7e })
}

// authorization is the value of Authorization of one POST.
type authorization struct {
	value string
	token *oauth2.Token // AuthOAuth2 alone
	// fresh: the token was requested for this attempt.
	fresh bool
}

// authorize returns the value of Authorization; an empty one for a webhook without credentials. For AuthOAuth2 it
// requests a token, unless one is remembered.
func (c *Client) authorize(ctx context.Context, r *Request) (a authorization, err error) {
	switch {
	case r.Auth == nil:
		return a, nil
	case r.Auth.Type == AuthBasic:
		a.value = basic(r.Auth.User, r.Auth.Secret)
	case r.Auth.Type == AuthBearer:
		a.value = "Bearer " + r.Auth.Secret
	case r.Auth.Type == AuthOAuth2:
		if a.token, a.fresh, err = c.tokens.get(ctx, r); err != nil {
			return a, err
		}
		a.value = a.token.Type() + " " + a.token.AccessToken
	default:
		return a, fmt.Errorf("%w: unknown type of credentials %q", ErrInvalidHeader, r.Auth.Type)
	}
	switch {
	case httpguts.ValidHeaderFieldValue(a.value):
		return a, nil
	case a.token != nil:
		return a, &tokenError{errors.New("the token cannot be sent in a header")}
	}
	return a, fmt.Errorf("%w: value of Authorization", ErrInvalidHeader)
}

const (
	// maxTokens bounds the webhooks whose tokens a process remembers. One that is forgotten is requested again.
	maxTokens = 10_000
	// maxToken is the longest token in bytes: most servers refuse larger headers. It bounds what is remembered.
	maxToken = 16 << 10
	// maxTokenAnswer bounds the answer of a token endpoint in bytes.
	maxTokenAnswer = 64 << 10
)

// tokens are the OAuth2 tokens of a process, by webhook.
type tokens struct {
	http   *http.Client
	mu     sync.Mutex
	grants map[string]*grant
}

// grant is the current token of one webhook's credentials. Attempts that need a new one at the same time share a
// request.
type grant struct {
	auth   Auth
	config *clientcredentials.Config // remembers how its endpoint takes the client's credentials
	flight singleflight.Group

	mu    sync.Mutex
	token *oauth2.Token
}

// get returns the webhook's token while it is valid, or requests one within ctx. A request that others wait for too is
// not canceled with ctx, but ends at its deadline.
func (t *tokens) get(ctx context.Context, r *Request) (token *oauth2.Token, fresh bool, err error) {
	g := t.grantOf(r)
	if token := g.valid(); token != nil {
		return token, false, nil
	}
	shared := context.WithoutCancel(ctx)
	deadline, bounded := ctx.Deadline()
	result := g.flight.DoChan("", func() (any, error) {
		if token := g.valid(); token != nil { // another attempt has just got it
			return token, nil
		}
		if bounded {
			var cancel context.CancelFunc
			shared, cancel = context.WithDeadline(shared, deadline)
			defer cancel()
		}
		token, err := g.config.Token(context.WithValue(shared, oauth2.HTTPClient, t.http))
		switch {
		case err != nil:
			return nil, &tokenError{err}
		case len(token.TokenType)+len(token.AccessToken) > maxToken:
			return nil, &tokenError{errors.New("the token is too long")}
		}
		// not the rest of the answer, which can take far more memory than its text
		token = &oauth2.Token{TokenType: token.TokenType, AccessToken: token.AccessToken, Expiry: token.Expiry}
		g.set(nil, token)
		return token, nil
	})
	select {
	case <-ctx.Done():
		return nil, false, &tokenError{ctx.Err()}
	case got := <-result:
		token, _ = got.Val.(*oauth2.Token)
		return token, true, got.Err
	}
}

// forget makes the next attempt request a token, unless another attempt has replaced the one that was refused.
func (t *tokens) forget(r *Request, refused *oauth2.Token) { t.grantOf(r).set(refused, nil) }

// grantOf returns the grant of the request's webhook. Changed credentials begin a new one.
func (t *tokens) grantOf(r *Request) *grant {
	t.mu.Lock()
	defer t.mu.Unlock()
	if g := t.grants[r.WebhookID]; g != nil && reflect.DeepEqual(g.auth, *r.Auth) {
		return g
	}
	for id := range t.grants {
		if len(t.grants) < maxTokens {
			break
		}
		delete(t.grants, id)
	}
	g := &grant{auth: *r.Auth, config: &clientcredentials.Config{
		ClientID: r.Auth.User, ClientSecret: r.Auth.Secret, TokenURL: r.Auth.TokenURL, Scopes: r.Auth.Scopes,
	}}
	t.grants[r.WebhookID] = g
	return g
}

func (g *grant) valid() *oauth2.Token {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.token.Valid() {
		return g.token
	}
	return nil
}

// set replaces the token if it is before, or whatever it is if before is nil.
func (g *grant) set(before, token *oauth2.Token) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if before == nil || g.token == before {
		g.token = token
	}
}

// tokenError means that the attempt got no token, so nothing was sent to the receiver.
type tokenError struct{ err error }

func (e *tokenError) Error() string { return "request token: " + e.err.Error() }
func (e *tokenError) Unwrap() error { return e.err }

// tokenFailure says why there is no token. The answer's own text is not repeated, except for its error code.
func tokenFailure(err error) (ErrorKind, string) {
	const failed = "OAuth2 token request failed: "
	var refused *oauth2.RetrieveError
	switch kind, text := transportFailure(err); {
	case errors.As(err, &refused):
		text = "the token endpoint answered " + statusText(refused.Response.StatusCode)
		if refused.ErrorCode != "" {
			text += " (" + clip(refused.ErrorCode) + ")"
		}
		return KindToken, failed + text
	case errors.Is(err, context.DeadlineExceeded):
		return KindToken, failed + "no answer in time"
	case kind == KindProxy: // not the endpoint's fault
		return kind, text
	case kind != KindNone:
		return KindToken, failed + text
	}
	return KindToken, failed + "the token endpoint gave no valid answer"
}

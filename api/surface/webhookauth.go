package surface

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/google/uuid"

	"greenroom/activities/webhook"
	"greenroom/db/delivery"
)

// Auth are the credentials of a webhook in a body. Which fields it has depends on its type.
type Auth struct {
	Type         string   `json:"type" validate:"required,oneof=basic bearer oauth2"`
	Username     string   `json:"username" validate:"max=255"`
	Password     string   `json:"password" validate:"max=4096"`
	Token        string   `json:"token" validate:"max=4096"`
	TokenURL     string   `json:"tokenUrl" validate:"max=2048"`
	ClientID     string   `json:"clientId" validate:"max=255"`
	ClientSecret string   `json:"clientSecret" validate:"max=4096"`
	Scopes       []string `json:"scopes" validate:"max=50,dive,min=1,max=255"`
}

// authField is a field of an Auth for the types in of. part is its name in the errors of webhook.CheckAuth.
type authField struct {
	name, part, of string
	isSet          bool
}

func (a *Auth) fields() []authField {
	return []authField{
		{"username", "user", webhook.AuthBasic, a.Username != ""},
		{"password", "secret", webhook.AuthBasic, a.Password != ""},
		{"token", "secret", webhook.AuthBearer, a.Token != ""},
		{"tokenUrl", "", webhook.AuthOAuth2, a.TokenURL != ""},
		{"clientId", "user", webhook.AuthOAuth2, a.ClientID != ""},
		{"clientSecret", "secret", webhook.AuthOAuth2, a.ClientSecret != ""},
		{"scopes", "scope", webhook.AuthOAuth2, len(a.Scopes) > 0},
	}
}

// SealAuth checks the credentials of a webhook and seals their secret; nil stays nil.
func (s *Core) SealAuth(id uuid.UUID, in *Auth) (*delivery.WebhookAuth, error) {
	if in == nil {
		return nil, nil //nolint:nilnil // none is an ordinary value
	}
	for _, f := range in.fields() {
		switch path := "auth." + f.name; {
		case f.of != in.Type && f.isSet:
			return nil, Invalid(path, fmt.Sprintf("%s is not a field of the type %s", path, in.Type))
		case f.of == in.Type && !f.isSet && f.name != "scopes":
			return nil, Missing(path)
		}
	}
	if in.TokenURL != "" {
		if err := s.CheckURL(in.TokenURL); err != nil {
			return nil, Invalid("auth.tokenUrl", "auth.tokenUrl"+strings.TrimPrefix(err.Error(), "url"))
		}
	}
	plain := webhook.Auth{
		Type: in.Type, User: in.Username + in.ClientID, Secret: in.Password + in.Token + in.ClientSecret, // one of each
		TokenURL: in.TokenURL, Scopes: in.Scopes,
	}
	if err := webhook.CheckAuth(&plain); err != nil {
		part, reason, _ := strings.Cut(err.Error(), " ")
		for _, f := range in.fields() {
			if f.of == in.Type && f.part == part {
				return nil, Invalid("auth."+f.name, "auth."+f.name+" "+reason)
			}
		}
		return nil, err
	}
	sealed, err := s.Box.Seal([]byte(plain.Secret), id, delivery.AuthField)
	return &delivery.WebhookAuth{
		Type: plain.Type, User: plain.User, TokenURL: plain.TokenURL, Scopes: plain.Scopes, Sealed: sealed,
	}, err
}

// CheckAuthorization refuses credentials of a webhook whose requests have another Authorization header.
func CheckAuthorization(p *webhook.Profile, w *delivery.Webhook) error {
	if w.Auth == nil {
		return nil
	}
	const name = "Authorization"
	if p.CheckHeader(webhook.Header{Name: name, Value: "x"}) != nil {
		return Invalid("auth", "auth cannot be set: deliveries of the profile "+p.Name+" have their own Authorization header")
	}
	for _, h := range w.Headers {
		if strings.EqualFold(h.Name, name) {
			return Invalid("auth", "auth cannot be set beside the custom header Authorization: remove one of them")
		}
	}
	return nil
}

// auditedAuth is what the audit log shows of credentials: user names may be part of them.
func auditedAuth(a *delivery.WebhookAuth) any {
	if a == nil {
		return nil
	}
	return map[string]any{"type": a.Type, "token_url": originOf(a.TokenURL)}
}

// originOf returns scheme, host and port of a URL; "" if it has none.
func originOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

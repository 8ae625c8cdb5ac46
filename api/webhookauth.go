package api

import (
	"greenroom/activities/webhook"
	"greenroom/db/delivery"
)

// authOutput shows the credentials of a webhook without the secret. It has the fields of its type.
type authOutput struct {
	Type      string    `json:"type"`
	Username  *string   `json:"username,omitempty"`
	TokenURL  *string   `json:"tokenUrl,omitempty"`
	ClientID  *string   `json:"clientId,omitempty"`
	Scopes    *[]string `json:"scopes,omitempty"`
	HasSecret bool      `json:"hasSecret"`
}

func showAuth(a *delivery.WebhookAuth) *authOutput {
	if a == nil {
		return nil
	}
	out := &authOutput{Type: a.Type, HasSecret: len(a.Sealed) > 0}
	switch a.Type {
	case webhook.AuthBasic:
		out.Username = &a.User
	case webhook.AuthOAuth2:
		scopes := append([]string{}, a.Scopes...)
		out.TokenURL, out.ClientID, out.Scopes = &a.TokenURL, &a.User, &scopes
	}
	return out
}

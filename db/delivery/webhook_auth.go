package delivery

// AuthField is the field name that the sealed secret of a WebhookAuth is bound to.
const AuthField = "auth"

// WebhookAuth are the credentials that a webhook's requests carry in Authorization. A change replaces them as a whole,
// so that a secret is never sent to another token endpoint than it was given for.
type WebhookAuth struct {
	// Type is one of webhook.AuthType.
	Type string `json:"type"`
	// User is the user name or the client id.
	User     string   `json:"user,omitempty"`
	TokenURL string   `json:"tokenUrl,omitempty"`
	Scopes   []string `json:"scopes,omitempty"`
	// Sealed is the password, token or client secret (seal field AuthField). It is never shown.
	Sealed []byte `json:"sealed"`
}

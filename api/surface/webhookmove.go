package surface

import (
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"greenroom/activities/webhook"
	"greenroom/db/delivery"
	"greenroom/db/pg"
	"greenroom/db/seal"
)

// MoveWebhook sets the URL of a webhook, for a transaction that has locked the row, and returns the columns to update.
// A receiver at another scheme, host or port is another one, and must not get the credentials of the old one: the
// credentials and the custom headers, which may be some, are dropped. A profile whose deliveries carry
// a key gets a new signing secret, since the key is derived from it; newSecret is that secret in plain text, to be
// shown once, and nil for other webhooks.
func MoveWebhook(box *seal.Box, w *delivery.Webhook, to string) (columns []string, newSecret []byte, err error) {
	same := delivery.SameOrigin(w.URL, to)
	w.URL = to
	if same {
		return []string{"url"}, nil, nil
	}
	w.Headers = []delivery.WebhookHeader{}
	columns = []string{"url", "headers"}
	if w.Auth != nil {
		w.Auth, columns = nil, append(columns, "auth")
	}
	p, err := ProfileOf(w.Profile)
	if err != nil || p.KeyHeader == "" {
		return columns, nil, err
	}
	newSecret = webhook.GenerateSecret()
	sealed, err := box.Seal(newSecret, w.ID, delivery.SecretField)
	if err != nil {
		return columns, nil, err
	}
	w.SetSecret(sealed, time.Now())
	return append(columns, "secret", "secret_created_at", "key_derived_at"), newSecret, nil
}

// ActivateWebhook sets whether a webhook is active, for a transaction that has locked the row, and returns the columns
// to update. What the platform deactivated only the platform activates.
func ActivateWebhook(c *gin.Context, w *delivery.Webhook, active bool) ([]string, error) {
	platform := Caller(c).Platform()
	if active && w.HeldByPlatform && !platform {
		return nil, HeldWebhook()
	}
	if active || platform {
		w.HeldByPlatform = !active
	}
	w.IsActive, w.DisabledReason = active, nil
	return []string{"is_active", "disabled_reason", "held_by_platform"}, nil
}

// HeldWebhook refuses a company that activates a webhook which the platform deactivated.
func HeldWebhook() error {
	return &pg.StateError{Resource: "webhook", State: "deactivated by the platform, and only the platform can activate it"}
}

// WebhookFields are the fields of a webhook that the audit log shows, by column. A path or a query may be a credential,
// so a URL is shown without them, and headers by name.
func WebhookFields(w *delivery.Webhook) map[string]any {
	return map[string]any{
		"url": originOf(
			w.URL,
		),
		"auth":             auditedAuth(w.Auth),
		"events":           w.Events,
		"filter":           w.Filter,
		"is_active":        w.IsActive,
		"rate_limit":       w.RateLimit,
		"ordering":         w.Ordering,
		"ordering_blocks":  w.OrderingBlocks,
		"headers":          Mapped(w.Headers, func(h *delivery.WebhookHeader) string { return h.Name }),
		"held_by_platform": w.HeldByPlatform,
		"notify_email":     AuditedEmail(w.NotifyEmail),
	}
}

// AuditedEmail is what the audit log shows of an address of a person: its domain.
func AuditedEmail(address *string) any {
	if address == nil {
		return nil
	}
	_, domain, _ := strings.Cut(*address, "@")
	return "…@" + domain
}

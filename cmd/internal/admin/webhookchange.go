package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/go-playground/validator/v10"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/activities/webhook"
	"greenroom/activities/webhook/profiles"
	"greenroom/api"
	"greenroom/api/client"
	"greenroom/api/surface"
	"greenroom/db"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// WebhookDetail is a webhook with all its settings. Values of headers and credentials are never shown.
type WebhookDetail struct {
	Webhook
	Description     string   `json:"description"`
	Headers         []string `json:"headers"`
	HasAuth         bool     `json:"hasAuth"`
	RateLimit       int      `json:"rateLimit"`
	CircuitRecovery *string  `json:"circuitRecovery"`
	// NotifyEmail nil: that of the company.
	NotifyEmail *string `json:"notifyEmail"`
	// Ordering and OrderingOnFailure are as in the API.
	Ordering          *string `json:"ordering"`
	OrderingOnFailure string  `json:"orderingOnFailure"`
	// Filter selects among the events by their content; nil: all.
	Filter json.RawMessage `json:"filter"`
	// MaxRetries and TimeoutMS are those of each delivery.
	MaxRetries int `json:"maxRetries"`
	TimeoutMS  int `json:"timeoutMs"`
	// SignatureAlgorithms are as in the API.
	SignatureAlgorithms []string  `json:"signatureAlgorithms"`
	HeldByPlatform      bool      `json:"heldByPlatform"`
	UpdatedAt           time.Time `json:"updatedAt"`
}

func showWebhookDetail(w *delivery.Webhook) WebhookDetail {
	shown := WebhookDetail{
		Webhook: showWebhook(w), Description: w.Description, HasAuth: w.Auth != nil, RateLimit: w.RateLimit,
		Headers:     surface.Mapped(w.Headers, func(h *delivery.WebhookHeader) string { return h.Name }),
		NotifyEmail: w.NotifyEmail, Ordering: w.Ordering, OrderingOnFailure: api.OrderingOnFailure(w),
		MaxRetries: w.MaxRetries, TimeoutMS: w.TimeoutMS, SignatureAlgorithms: api.SignatureAlgorithms(w),
		CircuitRecovery: w.CircuitRecovery, HeldByPlatform: w.HeldByPlatform, UpdatedAt: w.UpdatedAt,
	}
	if w.Filter != nil {
		shown.Filter = json.RawMessage(*w.Filter)
	}
	return shown
}

// GetWebhook returns a webhook.
func (a *Admin) GetWebhook(ctx context.Context, id uuid.UUID) (WebhookDetail, error) {
	if a.api != nil {
		w, err := answered[remoteWebhook](a.api.GetWebhook(ctx, id.String()))
		return w.shown(), err
	}
	w, err := delivery.GetWebhook(ctx, a.DB, id)
	if err != nil {
		return WebhookDetail{}, describeMissing(err, "webhook", id)
	}
	return showWebhookDetail(w), nil
}

// WebhookChange has the new values of a webhook; nil fields stay.
type WebhookChange struct {
	URL, Name, Description *string
	// Events are names or numbers in the profile.
	Events    *[]string
	RateLimit *int
	// CircuitRecovery is "manual" or "probe"; "" means the setting circuit.recovery.
	CircuitRecovery *string
	// NotifyEmail "": that of the company. Ordering is "subject" or "", OrderingOnFailure one of api's.
	NotifyEmail, Ordering, OrderingOnFailure *string

	Active *bool
}

// maxRateLimit is that of the API.
const maxRateLimit = 10_000

// UpdateWebhook changes a webhook. A URL at another scheme, host or port drops headers and credentials, and gives a
// webhook whose deliveries carry a key a new signing secret, which only the returned value has.
func (a *Admin) UpdateWebhook(ctx context.Context, id uuid.UUID, change WebhookChange) (WebhookDetail, error) {
	if change == (WebhookChange{}) {
		return WebhookDetail{}, errors.New("there is nothing to change: see greenroom webhooks update --help")
	}
	if a.api != nil {
		return a.remoteUpdateWebhook(ctx, id, change)
	}
	var shown WebhookDetail
	err := pg.InTx(ctx, a.DB, func(ctx context.Context, tx bun.Tx) error {
		w, err := delivery.LockWebhook(ctx, tx, id)
		if err != nil {
			return describeMissing(err, "webhook", id)
		}
		before := *w
		columns, secret, err := a.apply(change, w)
		if err != nil {
			return err
		}
		e := &db.AuditEntry{
			CompanyID: w.Company(), Actor: actor, Action: db.AuditUpdated, TargetType: db.AuditedWebhook, TargetID: id.String(),
		}
		e.Before, e.After = db.ChangedFields(surface.WebhookFields(&before), surface.WebhookFields(w), columns)
		e.After["fields"] = columns
		if err := delivery.UpdateWebhook(ctx, tx, w, columns...); err != nil {
			return err
		}
		shown = showWebhookDetail(w)
		if secret != nil {
			shown.SigningSecret, shown.SigningSecretWhsec = webhook.SecretHex(secret), webhook.SecretWhsec(secret)
			shown.AuthorizationKey = api.AuthorizationKey(w, secret)
		}
		return db.Audit(ctx, tx, e)
	})
	return shown, err
}

// apply writes the new values to the row and returns their columns, and a new signing secret if there is one.
func (a *Admin) apply(change WebhookChange, w *delivery.Webhook) (columns []string, secret []byte, err error) {
	if w.SetID != nil && (change.URL != nil || change.Events != nil) {
		return nil, nil, errors.New(
			"the webhook follows from the settings of AI interviews: change its URL and events there (PATCH of the company)")
	}
	if change.URL != nil {
		if err := a.CheckURL(*change.URL); err != nil {
			return nil, nil, asFlag(err)
		}
		if columns, secret, err = surface.MoveWebhook(a.Box, w, *change.URL); err != nil {
			return nil, nil, err
		}
	}
	if change.Events != nil {
		p, err := profiles.ByName(w.Profile)
		if err != nil {
			return nil, nil, err
		}
		if w.Events, err = eventTypes(p, *change.Events); err != nil {
			return nil, nil, err
		}
		columns = append(columns, "events")
	}
	for _, text := range []struct {
		column     string
		field, new *string
	}{{"name", &w.Name, change.Name}, {"description", &w.Description, change.Description}} {
		if text.new != nil {
			*text.field, columns = *text.new, append(columns, text.column)
		}
	}
	if err := api.CheckWebhook(w); err != nil {
		return nil, nil, asFlag(err)
	}
	more, err := change.applySettings(w)
	columns = append(columns, more...)
	return columns, secret, err
}

func (change WebhookChange) applySettings(w *delivery.Webhook) (columns []string, err error) {
	if limit := change.RateLimit; limit != nil {
		if *limit < 0 || *limit > maxRateLimit {
			return nil, fmt.Errorf("--rate-limit must be 0 to %d", maxRateLimit)
		}
		w.RateLimit, columns = *limit, append(columns, "rate_limit")
	}
	if mode := change.CircuitRecovery; mode != nil {
		switch *mode {
		case "":
			w.CircuitRecovery = nil
		case "manual", "probe":
			w.CircuitRecovery = mode
		default:
			return nil, fmt.Errorf("--recovery must be manual, probe or empty, not %q", *mode)
		}
		columns = append(columns, "circuit_recovery")
	}
	more, err := change.applyOrdering(w)
	if columns = append(columns, more...); err != nil {
		return nil, err
	}
	if address := change.NotifyEmail; address != nil {
		if w.NotifyEmail = orNone(address); w.NotifyEmail != nil && validator.New().Var(*address, "email,max=254") != nil {
			return nil, fmt.Errorf("--notify-email must be an e-mail address or empty, not %q", *address)
		}
		columns = append(columns, "notify_email")
	}
	if active := change.Active; active != nil { // the shell is the platform
		w.IsActive, w.HeldByPlatform, w.DisabledReason = *active, !*active, nil
		columns = append(columns, "is_active", "disabled_reason", "held_by_platform")
	}
	return columns, nil
}

func (change WebhookChange) applyOrdering(w *delivery.Webhook) (columns []string, err error) {
	if ordering := change.Ordering; ordering != nil {
		if *ordering != "" && *ordering != delivery.BySubject {
			return nil, fmt.Errorf("--ordering must be subject or empty, not %q", *ordering)
		}
		w.Ordering, columns = orNone(ordering), append(columns, "ordering")
	}
	if then := change.OrderingOnFailure; then != nil {
		if *then != api.SkipSubject && *then != api.BlockSubject {
			return nil, fmt.Errorf("--ordering-on-failure must be skip or block, not %q", *then)
		}
		w.OrderingBlocks, columns = *then == api.BlockSubject, append(columns, "ordering_blocks")
	}
	return columns, nil
}

// orNone returns nil for an empty text.
func orNone(text *string) *string {
	if *text == "" {
		return nil
	}
	return text
}

// TestResult is the outcome of a test call.
type TestResult struct {
	WebhookID uuid.UUID `json:"webhookId"`
	*api.TestResult
}

// TestWebhook has a worker send a ping, and waits for its outcome.
func (a *Admin) TestWebhook(ctx context.Context, id uuid.UUID) (TestResult, error) {
	if a.api != nil {
		r, err := answered[api.TestResult](a.api.TestWebhook(ctx, id.String(), client.TestInput{}))
		return TestResult{id, &r}, err
	}
	w, err := delivery.GetWebhook(ctx, a.DB, id)
	if err != nil {
		return TestResult{}, describeMissing(err, "webhook", id)
	}
	r, err := api.TestWebhook(ctx, a.DB, w)
	return TestResult{id, r}, err
}

// WebhookDetail prints a webhook with all its settings.
func (p Printer) WebhookDetail(w WebhookDetail) error {
	return p.Value(w, func(out io.Writer) {
		row(out, "webhook", w.ID)
		row(out, "name", w.Name)
		row(out, "description", w.Description)
		row(out, "url", w.URL)
		row(out, "company", companyText(w.sourceCompany()))
		row(out, "profile", w.Profile)
		row(out, "events", w.Events)
		if w.Filter != nil {
			row(out, "filter", string(w.Filter))
		}
		row(out, "state", w.State)
		row(out, "disabled because", w.DisabledReason)
		row(out, "failures in a row", w.ConsecutiveFailures)
		row(out, "circuit opened", w.CircuitOpenedAt)
		row(out, "circuit recovery", w.CircuitRecovery)
		row(out, "mail goes to", w.NotifyEmail)
		if w.Ordering != nil {
			row(out, "ordering", *w.Ordering+", a failure leads to "+w.OrderingOnFailure)
		}
		row(out, "retries", w.MaxRetries)
		row(out, "time-out", time.Duration(w.TimeoutMS)*time.Millisecond)
		row(out, "signatures", w.SignatureAlgorithms)
		row(out, "rate limit", rateText(w.RateLimit))
		row(out, "headers", w.Headers)
		row(out, "credentials", map[bool]string{true: "set", false: ""}[w.HasAuth])
		row(out, "created", w.CreatedAt)
		row(out, "updated", w.UpdatedAt)
		if w.SigningSecret != "" {
			row(out, "new signing secret", w.SigningSecret)
			row(out, "the same for Standard Webhooks", w.SigningSecretWhsec)
			row(out, "key in Authorization", w.AuthorizationKey)
			fmt.Fprintln(out, "\nKeep the secret now: it cannot be shown again.")
		}
	})
}

func rateText(perSecond int) string {
	if perSecond == 0 {
		return "none"
	}
	return fmt.Sprintf("%d deliveries a second", perSecond)
}

// TestResult prints the outcome of a test call.
func (p Printer) TestResult(r TestResult) error {
	return p.Value(r, func(out io.Writer) {
		row(out, "webhook", r.WebhookID)
		row(out, "result", r.Message)
		if r.DeliveryID != nil {
			row(out, "delivery", *r.DeliveryID)
			row(out, "answer", attemptResult(r.HTTPStatus, nil))
		}
		if r.DurationMS != nil {
			row(out, "duration", fmt.Sprintf("%d ms", *r.DurationMS))
		}
	})
}

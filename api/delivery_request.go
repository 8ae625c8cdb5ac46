package api

import (
	"cmp"
	"crypto/hmac"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"greenroom/activities/webhook"
	"greenroom/api/surface"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// sentRequest is the request of an attempt. Body is stored; the rest is derived from it, from the attempt's time and
// from what the webhook is now.
type sentRequest struct {
	Method string `json:"method"`
	URL    string `json:"url"`
	// Timestamp is the signed time, in seconds since 1970.
	Timestamp int64 `json:"timestamp"`
	// Attempt is the one made at that time; null: there is none.
	Attempt    *attemptOutput   `json:"attempt"`
	Headers    []sentHeader     `json:"headers"`
	Body       string           `json:"body"`
	Signatures []checkedSecret  `json:"signatures"`
	Check      *checkedByCaller `json:"check"`
}

// sentHeader is one header. Value is null for a credential, which is not shown.
type sentHeader struct {
	Name   string  `json:"name"`
	Value  *string `json:"value"`
	Source string  `json:"source"`
}

// Sources of a header: derived again, or set on the webhook, whose present value is not shown.
const (
	headerDerived = "derived"
	headerSet     = "webhook"
)

// checkedSecret is a signing secret in use, with the signature that it makes of the request.
type checkedSecret struct {
	Fingerprint string             `json:"fingerprint"`
	IsCurrent   bool               `json:"isCurrent"`
	CreatedAt   surface.Timestamp  `json:"createdAt"`
	ExpiresAt   *surface.Timestamp `json:"expiresAt"`
	// Signs: the secret was in use at the signed time, so the request had this signature.
	Signs     bool   `json:"signs"`
	Signature string `json:"signature"`
	// Matches: the signature that the caller sent has this one; null: the caller sent none.
	Matches *bool `json:"matches"`
}

// checkedByCaller is the result for the signature that the caller sent.
type checkedByCaller struct {
	Matches bool   `json:"matches"`
	Why     string `json:"why"`
}

// getDeliveryRequest derives a delivery's request again: at ?timestamp=, by default that of the last attempt. With
// ?signature= it says which secret made a signature.
func (s *server) getDeliveryRequest(c *gin.Context) error {
	d, err := s.delivery(c)
	if err != nil {
		return err
	}
	w, err := delivery.GetWebhook(c.Request.Context(), s.DB, d.WebhookID)
	switch {
	case errors.Is(err, pg.ErrNotFound):
		return surface.InvalidState("The webhook was deleted, and with it what its requests are derived from", nil)
	case err != nil:
		return err
	case d.Body == nil:
		return surface.InvalidState("There is no request yet: the first attempt makes it", nil)
	}
	attempts, err := delivery.ListAttempts(c.Request.Context(), s.DB, d.ID)
	if err != nil {
		return err
	}
	at, made, err := attemptAt(c, d, attempts)
	if err != nil {
		return err
	}
	out, err := s.deriveRequest(d, w, at)
	if err != nil {
		return err
	}
	if made != nil {
		shown := showAttempt(made)
		out.Attempt = &shown
	}
	if sent := c.Query("signature"); sent != "" {
		out.check(sent)
	}
	return ok(c, http.StatusOK, out)
}

// attemptAt returns the time of ?timestamp= with the attempt of that second, or the last attempt. A delivery without
// one has only the time of its last change.
func attemptAt(
	c *gin.Context, d *delivery.Delivery, attempts []delivery.Attempt,
) (at time.Time, made *delivery.Attempt, err error) {
	raw, sent := c.GetQuery("timestamp")
	if !sent {
		if len(attempts) == 0 {
			return d.UpdatedAt, nil, nil
		}
		made = &attempts[len(attempts)-1]
		return made.StartedAt, made, nil
	}
	seconds, err := strconv.ParseInt(raw, 10, 64)
	if err != nil || seconds < 0 || seconds > 1<<40 {
		return at, nil, surface.Invalid("timestamp", "timestamp must be whole seconds since 1970, as in webhook-timestamp")
	}
	at = time.Unix(seconds, 0)
	for i := range attempts {
		if attempts[i].StartedAt.Unix() == seconds {
			return attempts[i].StartedAt, &attempts[i], nil
		}
	}
	return at, nil, nil
}

// deriveRequest makes the request as an attempt at that time does. Of the secrets it uses those in use now: one that
// was replaced and has expired is no longer stored.
func (s *server) deriveRequest(d *delivery.Delivery, w *delivery.Webhook, at time.Time) (*sentRequest, error) {
	p, err := surface.ProfileOf(w.Profile)
	if err != nil {
		return nil, err
	}
	r := webhook.Request{
		Profile: p, Body: d.Body, Test: d.IsTest,
		Message: webhook.Message{
			DeliveryID: d.ID.String(), EventID: d.EventID.String(), EventType: d.EventType, EventName: p.NameOf(d.EventType),
			Endpoint: w.URL,
		},
	}
	out := &sentRequest{
		Method: http.MethodPost, URL: w.URL, Timestamp: at.Unix(), Body: string(d.Body), Signatures: []checkedSecret{},
	}
	for _, live := range w.LiveSecrets(time.Now()) {
		secret, err := s.Box.Open(live.Sealed, w.ID, delivery.SecretField)
		if err != nil {
			return nil, fmt.Errorf("derive request: %w", err)
		}
		one := webhook.Request{Profile: p, Message: r.Message, Body: d.Body, Secrets: webhook.Secrets{secret}}
		signs := !live.CreatedAt.After(at)
		if live.SigningKey != nil {
			raw, err := s.Box.Open(live.SigningKey, w.ID, delivery.SigningKeyField)
			if err != nil {
				return nil, fmt.Errorf("derive request: %w", err)
			}
			key, err := webhook.ParseSigningKey(raw)
			if err != nil {
				return nil, fmt.Errorf("derive request: %w", err)
			}
			one.SigningKeys = webhook.SigningKeys{key}
		}
		h, err := one.Header(at)
		if err != nil {
			return nil, fmt.Errorf("derive request: %w", err)
		}
		out.Signatures = append(out.Signatures, checkedSecret{
			Fingerprint: webhook.Fingerprint(secret), IsCurrent: live.ExpiresAt == nil,
			CreatedAt: surface.Timestamp(live.CreatedAt), ExpiresAt: surface.Maybe(live.ExpiresAt),
			Signs: signs, Signature: h.Get(webhook.HeaderSignature),
		})
		if signs {
			r.Secrets, r.SigningKeys = append(r.Secrets, secret), append(r.SigningKeys, one.SigningKeys...)
		}
	}
	h, err := r.Header(at)
	if err != nil {
		return nil, fmt.Errorf("derive request: %w", err)
	}
	out.Headers = showHeaders(h, w, p)
	return out, nil
}

// showHeaders lists derived headers, then those that are set on the webhook, without their values.
func showHeaders(h http.Header, w *delivery.Webhook, p *webhook.Profile) (shown []sentHeader) {
	for name := range h {
		value := h.Get(name)
		shown = append(shown, sentHeader{name, &value, headerDerived})
	}
	hide := func(name string) {
		if _, derived := h[http.CanonicalHeaderKey(name)]; !derived {
			shown = append(shown, sentHeader{name, nil, headerSet})
		}
	}
	if p.KeyHeader != "" {
		hide(p.KeyHeader)
	}
	if w.Auth != nil && p.KeyHeader != "Authorization" {
		hide("Authorization")
	}
	for _, custom := range w.Headers {
		if !webhook.ReservedHeader(custom.Name) && (w.Auth == nil || !strings.EqualFold(custom.Name, "Authorization")) {
			hide(custom.Name)
		}
	}
	slices.SortStableFunc(shown, func(a, b sentHeader) int {
		return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.Name, b.Name))
	})
	return shown
}

// check compares the caller's signature, in the form of webhook-signature, with that of each secret.
func (r *sentRequest) check(sent string) {
	r.Check = &checkedByCaller{
		Why: "no secret that is in use makes this signature at this time: the body or the time was " +
			"changed on the way, or the secret is another one",
	}
	for i := range r.Signatures {
		one := &r.Signatures[i]
		matches := false
		for _, own := range strings.Fields(one.Signature) {
			for _, given := range strings.Fields(sent) {
				matches = matches || hmac.Equal([]byte(own), []byte(given))
			}
		}
		one.Matches = &matches
		switch {
		case matches && one.IsCurrent:
			r.Check.Matches, r.Check.Why = true, "the current secret made it"
		case matches && !r.Check.Matches:
			r.Check.Matches, r.Check.Why = true, "an earlier secret made it, which signs until it expires"
		}
	}
}

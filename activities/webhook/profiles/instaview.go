package profiles

import (
	"net/http"
	"strconv"
	"time"

	"greenroom/activities/webhook"
	"greenroom/db/catalog"
)

// instaview is the contract of receivers written for the InstaView API: {"event","timestamp","deliveryId","data"},
// any 2xx, a timeout of 30 s and up to 3 retries, as that API documents.
//
// The original does not publish its waits and its signature header; these were chosen here. Waits: 5 s for a short
// failure, 30 s for a restart, 5 min for a deployment. Signature: the most literal reading of "an HMAC with the hex
// secret", that is the hex HMAC-SHA256 of the raw body, keyed with the secret's 64 characters as text:
//
//	crypto.createHmac('sha256', process.env.INSTAVIEW_WEBHOOK_SECRET).update(rawBody).digest('hex')
//
// The Standard Webhooks signature, sent too, is keyed with the 32 decoded bytes and also covers id and time; prefer it.
var instaview = webhook.Profile{
	Name: Default,
	// The ids 0–5 are part of the contract; the four events added on 25 May 2026 have no published id.
	Events: same(
		catalog.AnalysisCompleted,
		catalog.AnalysisFailed,
		catalog.Ping,
		catalog.InterviewCompleted,
		catalog.InterviewFailed,
		catalog.InterviewStarted,
		catalog.SourcingCompleted,
		catalog.SourcingFailed,
		catalog.EnrichCompleted,
		catalog.EnrichFailed,
	),
	Numbered:       6,
	Schedule:       []time.Duration{5 * time.Second, 30 * time.Second, 5 * time.Minute},
	Timeout:        30 * time.Second,
	ManualRecovery: true,
	Success:        webhook.Success2xx,
	SuccessRule:    webhook.Success2xxRule,
	UserAgent:      webhook.UserAgent,
	Signature:      "X-Webhook-Signature: sha256=<hex HMAC-SHA256 of the body, keyed with the secret's hex text>",
	Render:         renderInstaview,
	Sign:           signInstaview,
}

func renderInstaview(m webhook.Message) ([]byte, error) {
	data, err := dataOf(m)
	if err != nil {
		return nil, err
	}
	b := append(newBody(data), `{"event":`...)
	b = appendString(b, m.EventName)
	b = append(b, `,"timestamp":`...)
	b = appendTime(b, m.OccurredAt)
	b = append(b, `,"deliveryId":`...)
	b = appendString(b, m.DeliveryID)
	b = append(b, `,"data":`...)
	b = append(b, data...)
	return append(b, '}'), nil
}

// signInstaview signs with the current secret only, because receivers compare a single value.
func signInstaview(h http.Header, m webhook.Message, s webhook.Secrets, body []byte, at time.Time) {
	h["X-Webhook-Event"] = []string{m.EventName}
	h["X-Webhook-Delivery-Id"] = []string{m.DeliveryID}
	h["X-Webhook-Timestamp"] = []string{strconv.FormatInt(at.Unix(), 10)}
	if len(s) > 0 {
		h["X-Webhook-Signature"] = []string{"sha256=" + hexHMAC([]byte(webhook.SecretHex(s[0])), body)}
	}
}

package activities

import (
	"encoding/json"
	"fmt"
	"time"

	"greenroom/db/catalog"
	"greenroom/db/delivery"
)

// noticeWords are the values of the templates of a letter about webhooks.
type noticeWords struct {
	Company  string
	Webhooks []webhookWords
}

type webhookWords struct {
	// Title is the name and where it sends to, or the latter alone.
	Title string
	Lines []lineWords
	More  int
	// Exhausted and Now are sentences.
	Exhausted, Now string
	// Link is the console's page; "": there are Commands.
	Link     string
	Commands []commandWords
}

type lineWords struct{ At, Text string }

// commandWords are a command and what it is for.
type commandWords struct{ What, Line string }

// maxNoticedName limits a name, in runes: a subject and a heading are short.
const maxNoticedName = 60

func noticedTitle(w *delivery.NoticedWebhook) string {
	name := []rune(oneLine(w.Name))
	switch {
	case len(name) == 0:
		return w.URL
	case len(name) > maxNoticedName:
		name = append(name[:maxNoticedName], '…')
	}
	return string(name) + " (" + w.URL + ")"
}

func (m *NoticeMailer) aboutWebhook(w *delivery.NoticedWebhook) webhookWords {
	words := webhookWords{Title: noticedTitle(w), More: w.More, Now: noticedState(w)}
	for i := range w.Changes {
		c := &w.Changes[i]
		words.Lines = append(words.Lines, lineWords{formatSecond(c.At), noticedChange(c)})
	}
	switch {
	case w.Exhausted == 1:
		words.Exhausted = "1 delivery failed for good at " + formatSecond(w.ExhaustedSince) + "."
	case w.Exhausted > 1:
		words.Exhausted = fmt.Sprintf("%d deliveries failed for good, from %s to %s.", w.Exhausted,
			formatSecond(w.ExhaustedSince), formatSecond(w.ExhaustedUntil))
	}
	if m.ConsoleURL != "" {
		words.Link = m.ConsoleURL + "/webhooks/" + w.ID.String()
		return words
	}
	words.Commands = m.commands(w)
	return words
}

// commands mend a webhook through the API.
func (m *NoticeMailer) commands(w *delivery.NoticedWebhook) []commandWords {
	at := m.PublicURL + "/webhooks/" + w.ID.String()
	const curl = `curl -H "Authorization: Bearer $GREENROOM_KEY" `
	const asJSON = `-H "Content-Type: application/json" `
	list := []commandWords{{
		"See the deliveries", curl + "'" + m.PublicURL + "/deliveries?webhookId=" + w.ID.String() + "'",
	}}
	switch {
	case !w.IsActive:
		list = append(list, commandWords{
			"Activate it, once the receiver works", curl + asJSON + `-X PATCH -d '{"isActive": true}' ` + at,
		})
	case w.CircuitOpenedAt != nil:
		list = append(list, commandWords{
			"Close the circuit, once the receiver works", curl + "-X POST " + at + "/reset-circuit",
		})
	}
	if w.Exhausted > 0 {
		since := w.ExhaustedSince.AddDate(0, 0, -7).UTC().Format(time.RFC3339)
		list = append(list, commandWords{
			"Send again what failed", curl + asJSON + `-d '{"since": "` + since + `", "status": ["failed"]}' ` + at + "/replays",
		})
	}
	return list
}

// noticedState is what the webhook was when the letter was written.
func noticedState(w *delivery.NoticedWebhook) string {
	switch {
	case !w.IsActive && w.DisabledReason != nil:
		return "it is not active (" + oneLine(*w.DisabledReason) + "), and gets no new events; deliveries wait."
	case !w.IsActive:
		return "it is not active, and gets no new events; deliveries wait."
	case w.CircuitOpenedAt != nil:
		return "its circuit is open since " + formatSecond(*w.CircuitOpenedAt) + "; deliveries wait."
	}
	return "it is active and its circuit is closed."
}

// noticedData are the members of the operational events' data that the letters show.
type noticedData struct {
	Failures       int        `json:"failures"`
	LastStatusCode *int       `json:"lastStatusCode"`
	LastError      *string    `json:"lastError"`
	Cause          string     `json:"cause"`
	Reason         string     `json:"reason"`
	Kind           string     `json:"kind"`
	State          string     `json:"state"`
	Replayed       int64      `json:"replayed"`
	PreviousUntil  *time.Time `json:"previousUntil"`
}

// last is how the last attempt failed.
func (d *noticedData) last() string {
	switch {
	case d.LastStatusCode != nil:
		return fmt.Sprintf("; the last was answered %d", *d.LastStatusCode)
	case d.LastError != nil:
		return "; the last: " + oneLine(*d.LastError)
	}
	return ""
}

// noticedChange says a change in a sentence.
func noticedChange(c *delivery.NoticedChange) string {
	var d noticedData
	if json.Unmarshal(c.Data, &d) != nil {
		return c.Type
	}
	switch c.Type {
	case catalog.WebhookFailing:
		return fmt.Sprintf("It is failing: %d attempts in a row failed%s.", d.Failures, d.last())
	case catalog.WebhookCircuitOpened:
		return fmt.Sprintf("Its circuit opened: %d attempts in a row failed%s.", d.Failures, d.last())
	case catalog.WebhookCircuitClosed:
		return "Its circuit closed by a " + d.Cause + "; waiting deliveries are sent."
	case catalog.WebhookDisabled:
		return "It was disabled: " + oneLine(d.Reason) + "."
	case catalog.ReplayFinished:
		return fmt.Sprintf("A %s ended as %s; it made %d deliveries.", d.Kind, d.State, d.Replayed)
	case catalog.SecretRotated:
		if d.PreviousUntil != nil {
			return "Its signing secret was replaced; the one before ends at " + formatSecond(*d.PreviousUntil) + "."
		}
		return "Its signing secret was replaced; the one before has ended."
	}
	return c.Type
}

// subjects are the words for a subject, the most urgent first.
var subjects = []struct{ event, words string }{
	{catalog.WebhookDisabled, "disabled"},
	{catalog.WebhookCircuitOpened, "circuit opened"},
	{catalog.WebhookFailing, "failing"},
	{catalog.DeliveryExhausted, "deliveries failed for good"},
	{catalog.WebhookCircuitClosed, "circuit closed"},
	{catalog.SecretRotated, "signing secret replaced"},
	{catalog.ReplayFinished, "replay ended"},
}

// noticeSubject names the webhook and its most urgent change.
func noticeSubject(content []delivery.NoticedWebhook) string {
	happened, changes := map[string]bool{}, 0
	for i := range content {
		w := &content[i]
		for _, c := range w.Changes {
			happened[c.Type] = true
		}
		happened[catalog.DeliveryExhausted] = happened[catalog.DeliveryExhausted] || w.Exhausted > 0
		changes += len(w.Changes) + w.More
		if w.Exhausted > 0 {
			changes++
		}
	}
	words := "changed"
	for _, s := range subjects {
		if happened[s.event] {
			words = s.words
			break
		}
	}
	if changes > 1 {
		words += fmt.Sprintf(", and %d more", changes-1)
	}
	if len(content) == 1 {
		return "Webhook " + noticedTitle(&content[0]) + ": " + words
	}
	return fmt.Sprintf("%d webhooks: %s", len(content), words)
}

func formatSecond(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

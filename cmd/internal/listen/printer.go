package listen

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/fatih/color"
)

// Printer prints deliveries as text or as JSON lines. It is not safe for concurrent use.
type Printer struct {
	out  io.Writer
	json bool

	// Good, Bad, Dim and Bold colour a text if the output is a terminal and NO_COLOR is not set. Otherwise they return it
	// unchanged.
	Good, Bad, Dim, Bold func(...any) string
}

// NewPrinter returns a Printer that writes to out. It uses colours only if standard output is a terminal.
func NewPrinter(out io.Writer, asJSON bool) *Printer {
	plain := out != os.Stdout || color.NoColor
	style := func(attribute color.Attribute) func(...any) string {
		c := color.New(attribute)
		if plain {
			c.DisableColor()
		}
		return c.SprintFunc()
	}
	return &Printer{
		out: out, json: asJSON,
		Good: style(color.FgGreen), Bad: style(color.FgRed), Dim: style(color.Faint), Bold: style(color.Bold),
	}
}

// Print writes one delivery: a line and its indented body, or one line of JSON.
func (p *Printer) Print(d Delivery) {
	if p.json {
		p.printJSON(d)
		return
	}
	p.PrintLine(d)
	var pretty bytes.Buffer
	if json.Indent(&pretty, d.Body, "    ", "  ") != nil {
		pretty.Reset()
		pretty.WriteString(strings.ToValidUTF8(string(d.Body), "�"))
	}
	fmt.Fprintf(p.out, "    %s\n", p.Dim(pretty.String()))
}

// PrintLine writes the one line of a delivery, without its body.
func (p *Printer) PrintLine(d Delivery) {
	parts := []string{p.Dim(d.At.Format("15:04:05.000")), p.mark(d), p.Bold(orDash(d.Event)), orDash(d.ID)}
	if d.Attempt != "" {
		parts = append(parts, "attempt "+d.Attempt)
	}
	parts = append(parts, fmt.Sprintf("%d B", len(d.Body)))
	if d.Age >= 0 {
		parts = append(parts, fmt.Sprintf("%d ms", d.Age.Milliseconds()))
	}
	if d.Repeat {
		parts = append(parts, p.Bad(fmt.Sprintf("duplicate (seen %d×)", d.Seen)))
	} else if d.Seen > 1 {
		parts = append(parts, fmt.Sprintf("retry (seen %d×)", d.Seen))
	}
	if d.Status >= 300 {
		parts = append(parts, p.Bad(fmt.Sprintf("→ responded %d", d.Status)))
	}
	if d.Refusal != "" {
		parts = append(parts, p.Bad("not forwarded: "+d.Refusal))
	}
	fmt.Fprintln(p.out, strings.Join(parts, "  "))
}

func (p *Printer) mark(d Delivery) string {
	if d.Verified {
		return p.Good("✓ verified")
	}
	return p.Bad("✗ " + d.Reason)
}

func orDash(s string) string {
	if s == "" {
		return "–"
	}
	return s
}

// jsonLine is the output of --json. Its fields are never removed or renamed.
type jsonLine struct {
	ReceivedAt string `json:"receivedAt"`
	Verified   bool   `json:"verified"`
	Reason     string `json:"reason,omitempty"`
	Event      string `json:"event"`
	WebhookID  string `json:"webhookId"`
	Attempt    string `json:"attempt,omitempty"`
	Seen       int    `json:"seen"`
	Duplicate  bool   `json:"duplicate"`
	Status     int    `json:"status"`
	Refusal    string `json:"refusal,omitempty"`
	AgeMs      *int64 `json:"ageMs,omitempty"`
	Body       any    `json:"body"` // the JSON value, or a string when the body is not JSON
}

func (p *Printer) printJSON(d Delivery) {
	l := jsonLine{
		ReceivedAt: d.At.UTC().
			Format("2006-01-02T15:04:05.000Z"),
		Verified:  d.Verified,
		Reason:    d.Reason,
		Event:     d.Event,
		WebhookID: d.ID,
		Attempt:   d.Attempt,
		Seen:      d.Seen,
		Duplicate: d.Repeat,
		Status:    d.Status,
		Refusal:   d.Refusal,
		Body:      string(d.Body),
	}
	if json.Valid(d.Body) {
		l.Body = json.RawMessage(d.Body)
	}
	if d.Age >= 0 {
		ms := d.Age.Milliseconds()
		l.AgeMs = &ms
	}
	enc := json.NewEncoder(p.out)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(l) // ignored as with fmt.Println
}

// PrintSummary prints the counts after the last delivery.
func (p *Printer) PrintSummary(s Summary) {
	fmt.Fprintf(p.out, "%d received, %d verified, %d duplicates\n", s.Received, s.Verified, s.Duplicates)
}

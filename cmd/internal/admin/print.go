package admin

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"
)

// Printer prints the result of a command as a table or, with JSON, as one JSON value.
type Printer struct {
	Out  io.Writer
	JSON bool
}

// Value prints v as JSON, or calls table to print it.
func (p Printer) Value(v any, table func(io.Writer)) error {
	if p.JSON {
		encoder := json.NewEncoder(p.Out)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		return encoder.Encode(v)
	}
	w := tabwriter.NewWriter(p.Out, 0, 0, 2, ' ', 0)
	table(w)
	return w.Flush()
}

// row writes one line of a table.
func row(w io.Writer, cells ...any) {
	texts := make([]string, len(cells))
	for i, c := range cells {
		texts[i] = cell(c)
	}
	fmt.Fprintln(w, strings.Join(texts, "\t"))
}

// cell formats a value for a table: "-" for no value, times in UTC to the second. It replaces control characters by
// spaces, so that a receiver's response cannot move the terminal's cursor.
func cell(v any) string {
	text := ""
	switch v := v.(type) {
	case time.Time:
		if !v.IsZero() {
			text = v.UTC().Format(time.RFC3339)
		}
	case *time.Time:
		if v != nil {
			text = v.UTC().Format(time.RFC3339)
		}
	case *uuid.UUID:
		if v != nil {
			text = v.String()
		}
	case *string:
		if v != nil {
			text = *v
		}
	case *int:
		if v != nil {
			text = fmt.Sprint(*v)
		}
	case []string:
		text = strings.Join(v, ",")
	default:
		text = fmt.Sprint(v)
	}
	if text == "" {
		return "-"
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r <= 0x9f {
			return ' '
		}
		return r
	}, text)
}

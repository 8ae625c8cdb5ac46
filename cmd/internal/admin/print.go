package admin

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"greenroom/api/surface"
)

// Printer prints the result of a command as a table or, with JSON, as one JSON value.
type Printer struct {
	Out  io.Writer
	JSON bool
	// Width is how many columns the lines of a table may have; 0: any number.
	Width int
	// Colour: states have a colour.
	Colour bool
}

// jsonOptions format a value as the API does: lists are never null, times have milliseconds.
var jsonOptions = json.JoinOptions(
	jsontext.WithIndent("  "), jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true),
	json.Deterministic(true), json.FormatNilMapAsNull(true),
	json.WithMarshalers(json.MarshalToFunc(func(e *jsontext.Encoder, t time.Time) error {
		return e.WriteToken(jsontext.String(surface.Timestamp(t).String()))
	})),
)

// Value prints v as JSON, or calls table to print it.
func (p Printer) Value(v any, table func(io.Writer)) error {
	if p.JSON {
		if err := json.MarshalWrite(p.Out, v, jsonOptions); err != nil {
			return fmt.Errorf("write JSON: %w", err)
		}
		_, err := io.WriteString(p.Out, "\n")
		return err
	}
	var rows strings.Builder
	table(&rows)
	return p.write(rows.String())
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
	return printable(text)
}

// printable replaces control characters by spaces.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r <= 0x9f {
			return ' '
		}
		return r
	}, text)
}

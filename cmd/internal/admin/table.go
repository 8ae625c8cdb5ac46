package admin

import (
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/fatih/color"
	"golang.org/x/term"
)

// NewPrinter returns a Printer for a command. At a terminal, tables fit its width and states have a colour, unless
// NO_COLOR is set. In a pipe or file, nothing is cut.
func NewPrinter(out io.Writer, asJSON bool) Printer {
	p := Printer{Out: out, JSON: asJSON}
	file, isFile := out.(*os.File)
	if !isFile || !term.IsTerminal(int(file.Fd())) {
		return p
	}
	if width, _, err := term.GetSize(int(file.Fd())); err == nil {
		p.Width = width
	}
	p.Colour = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return p
}

const (
	columnGap = "  "
	// leastColumn is the width below which a column is left out rather than cut.
	leastColumn = 8
	// leastList is the number of columns from which a table is a list.
	leastList = 4
	ellipsis  = "…"
)

// write aligns the columns of rows, which are separated by tabs. Consecutive lines with tabs are one table.
func (p Printer) write(rows string) error {
	var table [][]string
	var text strings.Builder
	end := func() {
		p.align(&text, table)
		table = nil
	}
	for line := range strings.Lines(rows) {
		line = strings.TrimSuffix(line, "\n")
		if !strings.Contains(line, "\t") {
			end()
			text.WriteString(line + "\n")
			continue
		}
		table = append(table, strings.Split(line, "\t"))
	}
	end()
	_, err := io.WriteString(p.Out, text.String())
	return err
}

// align writes one table. The last cell of a line does not widen its column. The lines of a list are cut to the width
// of the terminal; those of one thing are not, because their texts are what a person wants to read.
func (p Printer) align(out *strings.Builder, table [][]string) {
	columns := 0
	for _, cells := range table {
		columns = max(columns, len(cells))
	}
	cuts := p.Width > 0 && columns >= leastList
	widths := make([]int, columns)
	for _, cells := range table {
		for i, c := range cells {
			if i < len(cells)-1 || cuts {
				widths[i] = max(widths[i], utf8.RuneCountInString(c))
			}
		}
	}
	if cuts {
		widths = fit(widths, p.Width)
	}
	for _, cells := range table {
		cells = cells[:min(len(cells), len(widths))]
		for i, c := range cells {
			if cuts {
				c = cut(c, widths[i])
			}
			out.WriteString(p.coloured(c))
			if i < len(cells)-1 {
				out.WriteString(strings.Repeat(" ", max(widths[i]-utf8.RuneCountInString(c), 0)) + columnGap)
			}
		}
		out.WriteByte('\n')
	}
}

// fit leaves out the last columns that have no room, and narrows the widest of the others until a line fits. The first
// one stays whole: it has the id that other commands take.
func fit(widths []int, most int) []int {
	sum, least, columns := 0, 0, 0
	for i, w := range widths {
		smallest := min(w, leastColumn)
		if i == 0 {
			smallest = w
		}
		if least += smallest; i > 0 && least+i*len(columnGap) > most {
			break
		}
		sum += w
		columns++
	}
	widths = widths[:columns]
	for sum += (columns - 1) * len(columnGap); sum > most && columns > 1; sum-- {
		widest := 1
		for i := 2; i < columns; i++ {
			if widths[i] > widths[widest] {
				widest = i
			}
		}
		widths[widest]--
	}
	return widths
}

func cut(text string, width int) string {
	if r := []rune(text); len(r) > width {
		return string(r[:max(width-1, 0)]) + ellipsis
	}
	return text
}

// coloured colours a cell that is a state.
func (p Printer) coloured(cell string) string {
	attribute, isState := stateColours[strings.TrimPrefix(cell, "is ")]
	if !p.Colour || !isState {
		return cell
	}
	c := color.New(attribute)
	c.EnableColor()
	return c.Sprint(cell)
}

var stateColours = map[string]color.Attribute{
	"active": color.FgGreen, "succeeded": color.FgGreen, "completed": color.FgGreen, "ok": color.FgGreen,
	"pending": color.FgCyan, "running": color.FgCyan,
	"retrying": color.FgYellow, "paused": color.FgYellow, "suspended": color.FgYellow, "inactive": color.FgYellow,
	"warning": color.FgYellow,
	"failed":  color.FgRed, "circuit open": color.FgRed, "revoked": color.FgRed, "expired": color.FgRed,
	"deleted": color.FgRed, "missing": color.FgRed, "problem": color.FgRed,
	"canceled":  color.Faint,
	"SCHEDULED": color.FgCyan, "IN_PROGRESS": color.FgCyan, "COMPLETED": color.FgGreen, "FAILED": color.FgRed,
	"CANCELED": color.Faint,
}

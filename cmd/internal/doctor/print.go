package doctor

import (
	"fmt"
	"io"

	"greenroom/cmd/internal/admin"
)

// Print prints the findings, each problem with its cure below it.
func Print(p admin.Printer, findings []Finding) error {
	return p.Value(findings, func(out io.Writer) {
		for _, f := range findings {
			fmt.Fprintf(out, "%s\t%s\t%s\n", f.State, f.Check, f.Found)
			if f.Cure != "" {
				fmt.Fprintf(out, "\t\t→ %s\n", f.Cure)
			}
		}
	})
}

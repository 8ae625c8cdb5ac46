// Package doctor examines an installation: its settings, its stores and what it reaches. It uses the same clients as
// the API and the workers, so it finds what they would find, and it names the setting or command that mends each
// problem. It changes nothing, except that it writes and deletes one small file where uploads are stored.
package doctor

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"greenroom/cmd/internal/config"
	"greenroom/db/pg"
)

// State is the outcome of a check.
type State string

// A Problem keeps a part of the product from working, or can lose data. A Warning is worth a look. Skipped checks need
// something that a problem prevents, or that is not configured.
const (
	OK      State = "ok"
	Warning State = "warning"
	Problem State = "problem"
	Skipped State = "skipped"
)

// Finding is what one check found.
type Finding struct {
	Check string `json:"check"`
	State State  `json:"state"`
	Found string `json:"found"`
	// Cure is the setting or command that mends it; "" for OK and Skipped.
	Cure string `json:"cure,omitempty"`
}

// Options say what is examined.
type Options struct {
	Config config.Config
	// Environ has the form of os.Environ.
	Environ []string
	// Now is this machine's clock; nil: time.Now.
	Now func() time.Time
}

// checkLimit bounds each part of the examination.
const checkLimit = 10 * time.Second

type examination struct {
	Options
	db       *bun.DB // nil: not reached
	migrated bool    // the tables are there
	findings []Finding
}

// Examine makes all checks, one after the other.
func Examine(ctx context.Context, o Options) []Finding {
	if o.Now == nil {
		o.Now = time.Now
	}
	e := &examination{Options: o}
	defer func() {
		if e.db != nil {
			_ = pg.Close(e.db)
		}
	}()
	for _, part := range []func(context.Context){
		e.settings, e.reachDatabase, e.server, e.schema, e.transactions, e.clock, e.secrets, e.temporal, e.receivers,
		e.mail, e.media,
	} {
		func() {
			ctx, cancel := context.WithTimeout(ctx, checkLimit)
			defer cancel()
			part(ctx)
		}()
	}
	return e.findings
}

// Broken reports whether a finding is a problem.
func Broken(findings []Finding) bool {
	for _, f := range findings {
		if f.State == Problem {
			return true
		}
	}
	return false
}

func (e *examination) add(check string, state State, cure, found string, args ...any) {
	e.findings = append(e.findings, Finding{Check: check, State: state, Found: fmt.Sprintf(found, args...), Cure: cure})
}

func (e *examination) ok(check, found string, args ...any) { e.add(check, OK, "", found, args...) }

func (e *examination) skip(check, why string) { e.add(check, Skipped, "", "%s", why) }

func (e *examination) problem(check, cure, found string, args ...any) {
	e.add(check, Problem, cure, found, args...)
}

func (e *examination) warn(check, cure, found string, args ...any) {
	e.add(check, Warning, cure, found, args...)
}

// settings looks for variables that are ignored, and for secrets that every process needs.
func (e *examination) settings(context.Context) {
	const check = "settings"
	good := true
	for _, v := range config.UnknownVariables(e.Environ) {
		good = false
		cure := "unset it, or see greenroom help settings"
		if v.Setting != "" {
			cure = "rename it to " + v.Setting
		}
		e.warn(check, cure, "%s is not a setting and is ignored", v.Name)
	}
	for _, s := range []struct{ name, value string }{
		{"GREENROOM_SECRET", string(e.Config.Secret)}, {"GREENROOM_KEYSET", e.Config.Keyset},
	} {
		if s.value == "" {
			good = false
			e.problem(check, "set it to the value of the other processes; greenroom keys secrets makes those of a new "+
				"installation", "%s is not set: API and workers do not start", s.name)
		}
	}
	if good {
		e.ok(check, "no variable is ignored, the secrets are set")
	}
}

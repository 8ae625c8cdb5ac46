package admin

import (
	"io"

	"greenroom/cmd/internal/config"
)

// Setting is the output for a setting.
type Setting struct {
	Name   string        `json:"name"`
	Env    string        `json:"env"`
	Value  string        `json:"value"`
	Origin config.Origin `json:"origin"`
}

// Settings prints settings with their values: all, or those that are set.
func (p Printer) Settings(all []config.Effective, onlySet bool) error {
	shown := []Setting{}
	for _, s := range all {
		if !onlySet || s.Origin != config.FromDefault {
			shown = append(shown, Setting{Name: s.Name, Env: s.Env, Value: s.Value, Origin: s.Origin})
		}
	}
	return p.Value(shown, func(out io.Writer) {
		row(out, "SETTING", "VALUE", "ORIGIN", "ENVIRONMENT")
		for _, s := range shown {
			row(out, s.Name, s.Value, s.Origin, s.Env)
		}
	})
}

package config

import (
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cast"
	"github.com/spf13/pflag"
)

// Origin is where the value of a setting comes from.
type Origin string

// The origins, the first one that has a value counts.
const (
	FromFlag        Origin = "flag"
	FromEnvironment Origin = "environment"
	FromFile        Origin = "file"
	FromDefault     Origin = "default"
)

// Effective is a setting with the value that it has.
type Effective struct {
	Setting
	// Value is masked for secrets; of a secret URL only user and password are.
	Value  string
	Origin Origin
}

// masked replaces a secret.
const masked = "********"

// EffectiveSettings returns every setting with its value, in the order of Describe. It reads the same sources as Load
// and does not check the values.
func EffectiveSettings(flags *pflag.FlagSet) ([]Effective, error) {
	v, err := sources(flags)
	if err != nil {
		return nil, err
	}
	list := make([]Effective, len(settings))
	for i, s := range settings {
		e := Effective{Setting: s.Setting, Value: s.Default, Origin: FromDefault}
		if v.IsSet(s.Name) {
			if text := cast.ToString(v.Get(s.Name)); text != "" {
				e.Value, e.Origin = text, s.origin(flags)
			}
		}
		if s.hidden {
			e.Value = mask(e.Value)
		}
		list[i] = e
	}
	return list, nil
}

// Effective returns every setting as Load has read it, with what Replaced noted since.
func (c Config) Effective() []Effective { return c.effective }

// Replaced notes for Effective that a program has replaced the value of a setting after Load. by is its name.
func (c *Config) Replaced(name, value string, by Origin) {
	c.effective = slices.Clone(c.effective)
	for i := range c.effective {
		if c.effective[i].Name != name {
			continue
		}
		at := slices.IndexFunc(settings, func(s setting) bool { return s.Name == name })
		if settings[at].hidden {
			value = mask(value)
		}
		c.effective[i].Value, c.effective[i].Origin = value, by
	}
}

// origin says which source has a value that is not the default. It follows the order of sources.
func (s setting) origin(flags *pflag.FlagSet) Origin {
	if flags != nil {
		if flag := flags.Lookup(flagName(s.Name)); flag != nil && flag.Changed {
			return FromFlag
		}
	}
	if os.Getenv(s.Env) != "" {
		return FromEnvironment
	}
	return FromFile
}

// mask hides a secret. It leaves the host of a URL, which is what a person looks for.
func mask(value string) string {
	if value == "" {
		return ""
	}
	u, err := url.Parse(value)
	if err != nil || u.Scheme == "" || u.Host == "" {
		return masked
	}
	if u.User != nil {
		u.User = url.User("MASK")
	}
	u.RawQuery = ""
	return strings.Replace(u.String(), "//MASK@", "//"+masked+"@", 1)
}

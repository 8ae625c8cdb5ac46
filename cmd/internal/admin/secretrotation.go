package admin

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/google/uuid"

	"greenroom/db"
)

// SecretValue is a value of the installation's secret, with the API keys and tokens that work and are hashed with it.
type SecretValue struct {
	// ID names the value; "": unknown, because the keys were made by an earlier version.
	ID string `json:"id"`
	// Use is "current", "next", "previous", "unknown", or "missing": no process with these settings accepts the keys.
	Use   string      `json:"use"`
	Count int         `json:"count"`
	Keys  []uuid.UUID `json:"keys"`
}

// ChangedSecret is a step of a rotation: the settings that every process needs before the next step, in hexadecimal.
type ChangedSecret struct {
	Secret   string `json:"secret"`
	Next     string `json:"secretNext,omitempty"`
	Previous string `json:"secretPrevious,omitempty"`
	// Done and Then say in words what was changed and what follows.
	Done string `json:"done"`
	Then string `json:"then"`
}

// SecretValues returns the values of the settings, the current one first, then those of other keys.
func (a *Admin) SecretValues(ctx context.Context) ([]SecretValue, error) {
	groups, err := db.KeysBySecret(ctx, a.DB)
	if err != nil {
		return nil, err
	}
	values := a.values()
	for _, g := range groups {
		id := hex.EncodeToString(g.SecretID)
		i := slices.IndexFunc(values, func(v SecretValue) bool { return v.ID == id })
		if i < 0 {
			use := "missing"
			if id == "" {
				use = "unknown"
			}
			i, values = len(values), append(values, SecretValue{ID: id, Use: use})
		}
		values[i].Keys, values[i].Count = g.Keys, len(g.Keys)
	}
	return values, nil
}

// values returns those of the settings, without their keys.
func (a *Admin) values() (values []SecretValue) {
	for _, v := range []struct {
		use    string
		secret []byte
	}{{"current", a.Secret}, {"next", a.NextSecret}, {"previous", a.PreviousSecret}} {
		if len(v.secret) > 0 {
			id := hex.EncodeToString(db.SecretID(v.secret))
			values = append(values, SecretValue{ID: id, Use: v.use, Keys: []uuid.UUID{}})
		}
	}
	return values
}

// AddSecret returns the settings with a new value that is accepted and not used yet.
func (a *Admin) AddSecret(context.Context) (ChangedSecret, error) {
	if len(a.NextSecret) > 0 {
		return ChangedSecret{}, errors.New("secret_next is set: continue with greenroom secret promote")
	}
	if len(a.PreviousSecret) > 0 {
		return ChangedSecret{}, errors.New("secret_previous is set: finish that rotation with greenroom secret drop first")
	}
	next := make([]byte, len(a.Secret))
	_, _ = rand.Read(next) // crypto/rand.Read never returns an error
	return ChangedSecret{
		Secret: hex.EncodeToString(a.Secret), Next: hex.EncodeToString(next),
		Done: "A new value is added; it is accepted and not used yet.",
		Then: "Restart every process with these settings. Then: greenroom secret promote",
	}, nil
}

// PromoteSecret returns the settings in which the next value is used, and the one before it is accepted.
func (a *Admin) PromoteSecret(context.Context) (ChangedSecret, error) {
	if len(a.NextSecret) == 0 {
		return ChangedSecret{}, errors.New(
			"secret_next is not set: run greenroom secret add first, and restart every process")
	}
	if len(a.PreviousSecret) > 0 {
		return ChangedSecret{}, errors.New("secret_previous is set: finish that rotation with greenroom secret drop first")
	}
	return ChangedSecret{
		Secret: hex.EncodeToString(a.NextSecret), Previous: hex.EncodeToString(a.Secret),
		Done: "The new value is used; the previous one is accepted.",
		Then: "Restart every process with these settings, without GREENROOM_SECRET_NEXT. Each API key is hashed again when " +
			"it is used: see greenroom secret status. Then: greenroom secret drop",
	}, nil
}

// DropSecret returns the settings without the previous value. Unless it is forced, it refuses while an API key that
// works may be hashed with it.
func (a *Admin) DropSecret(ctx context.Context, force bool) (ChangedSecret, error) {
	if len(a.PreviousSecret) == 0 {
		return ChangedSecret{}, errors.New("secret_previous is not set: there is nothing to drop")
	}
	groups, err := db.KeysBySecret(ctx, a.DB)
	if err != nil {
		return ChangedSecret{}, err
	}
	left, previous := 0, db.SecretID(a.PreviousSecret)
	for _, g := range groups {
		if len(g.SecretID) == 0 || bytes.Equal(g.SecretID, previous) {
			left += len(g.Keys)
		}
	}
	if left > 0 && !force {
		return ChangedSecret{}, fmt.Errorf("%d API keys and tokens were not used since the new value is, and end with the "+
			"previous one: greenroom secret status lists them; wait, rotate or revoke them, or use --force", left)
	}
	return ChangedSecret{
		Secret: hex.EncodeToString(a.Secret),
		Done:   fmt.Sprintf("The previous value is dropped. Keys that end with it: %d.", left),
		Then:   "Restart every process with this setting, without GREENROOM_SECRET_PREVIOUS, and delete the earlier ones.",
	}, nil
}

// SecretValues prints the values, and the keys that are not hashed with the current one.
func (p Printer) SecretValues(values []SecretValue) error {
	return p.Value(values, func(out io.Writer) {
		row(out, "VALUE", "USE", "KEYS")
		for _, v := range values {
			row(out, v.ID, v.Use, v.Count)
		}
		for _, v := range values {
			if v.Use == "current" {
				continue
			}
			for _, key := range v.Keys {
				row(out, "key", key, v.Use)
			}
		}
	})
}

// ChangedSecret prints an environment file.
func (p Printer) ChangedSecret(c ChangedSecret) error {
	return p.Value(c, func(out io.Writer) {
		fmt.Fprintf(out, "# %s\n# %s\nGREENROOM_SECRET=%s\n", c.Done, c.Then, c.Secret)
		if c.Next != "" {
			fmt.Fprintf(out, "GREENROOM_SECRET_NEXT=%s\n", c.Next)
		}
		if c.Previous != "" {
			fmt.Fprintf(out, "GREENROOM_SECRET_PREVIOUS=%s\n", c.Previous)
		}
	})
}

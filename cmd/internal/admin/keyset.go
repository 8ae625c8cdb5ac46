package admin

import (
	"context"
	"fmt"
	"io"
	"strings"

	"greenroom/db"
	"greenroom/db/seal"
)

// KeysetKey is a key of the keyset, or a key that it lacks although values are sealed with it.
type KeysetKey struct {
	ID uint32 `json:"id"`
	// Seals: it is the primary key. Missing: the keyset does not have it.
	Seals   bool `json:"seals"`
	Missing bool `json:"missing"`
	// Values counts what is sealed with it.
	Values int `json:"values"`
}

// ChangedKeyset is a step of a rotation: the keyset that every process needs before the next step.
type ChangedKeyset struct {
	Keyset string `json:"keyset"`
	// Key is the key that was added or promoted; 0: keys were dropped.
	Key uint32 `json:"key,omitzero"`
	// Done and Next say in words what was changed and what follows.
	Done string `json:"done"`
	Next string `json:"next"`
}

// KeysetKeys returns the keys of the keyset, the oldest first, and the missing ones after them.
func (a *Admin) KeysetKeys(ctx context.Context) ([]KeysetKey, error) {
	values, err := db.SealedValues(ctx, a.DB)
	if err != nil {
		return nil, err
	}
	var keys []KeysetKey
	for _, id := range a.Box.Keys() {
		keys = append(keys, KeysetKey{ID: id, Seals: id == a.Box.Primary(), Values: values[id]})
		delete(values, id)
	}
	for id, n := range values {
		keys = append(keys, KeysetKey{ID: id, Missing: true, Values: n})
	}
	return keys, nil
}

// AddKeysetKey returns the keyset with a new key that does not seal yet.
func (a *Admin) AddKeysetKey(context.Context) (ChangedKeyset, error) {
	added, id, err := seal.AddKey(a.keyset)
	return ChangedKeyset{
		Keyset: strings.TrimSpace(added), Key: id, Done: fmt.Sprintf("Key %d is added; it does not seal yet.", id),
		Next: "Restart every process with this keyset. Then: greenroom keyset promote",
	}, err
}

// PromoteKeysetKey returns the keyset with its newest key as the one that seals.
func (a *Admin) PromoteKeysetKey(context.Context) (ChangedKeyset, error) {
	promoted, id, err := seal.PromoteNewest(a.keyset)
	return ChangedKeyset{
		Keyset: strings.TrimSpace(promoted), Key: id, Done: fmt.Sprintf("Key %d seals.", id),
		Next: "Restart every process with this keyset. Then: greenroom keyset reseal",
	}, err
}

// DropKeysetKeys returns the keyset without the keys that do not seal. It refuses while a value is sealed with one.
func (a *Admin) DropKeysetKeys(ctx context.Context) (ChangedKeyset, error) {
	keys, err := a.KeysetKeys(ctx)
	if err != nil {
		return ChangedKeyset{}, err
	}
	for _, k := range keys {
		if !k.Seals && !k.Missing && k.Values > 0 {
			return ChangedKeyset{}, fmt.Errorf("%d values are sealed with key %d: run greenroom keyset reseal first, with "+
				"every process on the keyset in which another key seals", k.Values, k.ID)
		}
	}
	kept, removed, err := seal.KeepPrimary(a.keyset)
	return ChangedKeyset{
		Keyset: strings.TrimSpace(kept), Done: fmt.Sprintf("Dropped: %v.", removed),
		Next: "Restart every process with this keyset, and delete the earlier ones.",
	}, err
}

// Resealed is the outcome of Reseal.
type Resealed struct {
	Rows int `json:"rows"`
}

// Reseal seals again what other keys than the primary key sealed.
func (a *Admin) Reseal(ctx context.Context) (Resealed, error) {
	n, err := db.Reseal(ctx, a.DB, a.Box)
	return Resealed{Rows: n}, err
}

// KeysetKeys prints the keys.
func (p Printer) KeysetKeys(keys []KeysetKey) error {
	return p.Value(keys, func(out io.Writer) {
		row(out, "KEY", "STATE", "VALUES")
		for _, k := range keys {
			state := "opens"
			switch {
			case k.Missing:
				state = "missing: its values cannot be opened"
			case k.Seals:
				state = "seals"
			}
			row(out, k.ID, state, k.Values)
		}
	})
}

// ChangedKeyset prints an environment file.
func (p Printer) ChangedKeyset(c ChangedKeyset) error {
	return p.Value(c, func(out io.Writer) {
		fmt.Fprintf(out, "# %s\n# %s\nGREENROOM_KEYSET='%s'\n", c.Done, c.Next, c.Keyset)
	})
}

// Resealed prints how many rows were sealed again.
func (p Printer) Resealed(r Resealed) error {
	return p.Value(r, func(out io.Writer) { row(out, "rows sealed again", r.Rows) })
}

package seal

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
)

// A keyset rotates in three steps, each of which returns another keyset. Every process must have the keyset of a step
// before the next step is taken: AddKey lets processes open what the new key seals, PromoteNewest lets them seal with
// it, and KeepPrimary forgets the older keys once nothing is sealed with them.

// ErrNothingToPromote means that the newest key of a keyset is its primary key.
var ErrNothingToPromote = errors.New("the newest key of the keyset is the primary key already: add a key first")

// ErrOneKey means that a keyset has no key beside its primary key.
var ErrOneKey = errors.New("the keyset has no other key than the primary key")

// AddKey adds a new key at the end, which opens values and does not seal yet.
func AddKey(keysetJSON string) (added string, id uint32, err error) {
	added, err = change(keysetJSON, func(m *keyset.Manager, _ *keyset.Handle) (err error) {
		id, err = m.Add(aead.AES256GCMKeyTemplate())
		return err
	})
	return added, id, err
}

// PromoteNewest makes the newest key the primary key, which seals. It returns ErrNothingToPromote if it is that key.
func PromoteNewest(keysetJSON string) (promoted string, id uint32, err error) {
	promoted, err = change(keysetJSON, func(m *keyset.Manager, h *keyset.Handle) error {
		keys := h.KeysetInfo().GetKeyInfo()
		id = keys[len(keys)-1].GetKeyId()
		if id == h.KeysetInfo().GetPrimaryKeyId() {
			return ErrNothingToPromote
		}
		return m.SetPrimary(id)
	})
	return promoted, id, err
}

// KeepPrimary removes all keys but the primary key. What they sealed cannot be opened any more. It returns ErrOneKey if
// there is no other.
func KeepPrimary(keysetJSON string) (kept string, removed []uint32, err error) {
	kept, err = change(keysetJSON, func(m *keyset.Manager, h *keyset.Handle) error {
		for _, k := range h.KeysetInfo().GetKeyInfo() {
			if k.GetKeyId() == h.KeysetInfo().GetPrimaryKeyId() {
				continue
			}
			if err := m.Delete(k.GetKeyId()); err != nil {
				return err
			}
			removed = append(removed, k.GetKeyId())
		}
		if len(removed) == 0 {
			return ErrOneKey
		}
		return nil
	})
	return kept, removed, err
}

func change(keysetJSON string, with func(*keyset.Manager, *keyset.Handle) error) (string, error) {
	h, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(strings.NewReader(keysetJSON)))
	if err != nil {
		return "", fmt.Errorf("read keyset: %w", err)
	}
	m := keyset.NewManagerFromHandle(h)
	if err := with(m, h); err != nil {
		return "", fmt.Errorf("change keyset: %w", err)
	}
	if h, err = m.Handle(); err != nil {
		return "", fmt.Errorf("change keyset: %w", err)
	}
	var buf bytes.Buffer
	if err := insecurecleartextkeyset.Write(h, keyset.NewJSONWriter(&buf)); err != nil {
		return "", fmt.Errorf("write keyset: %w", err)
	}
	return buf.String(), nil
}

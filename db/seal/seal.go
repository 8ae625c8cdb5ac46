// Package seal encrypts signing secrets and masked headers at rest.
//
// Values are encrypted with Tink AEAD. The webhook's id and the field's name are the associated data, so a sealed value
// copied to another row cannot be opened. A keyset may hold several keys: the primary key seals new values, all keys
// open old ones, so keys rotate without downtime.
package seal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// Box seals and opens. It is safe for concurrent use.
type Box struct {
	aead    tink.AEAD
	primary uint32
	keys    map[uint32]int // the position of each key, by its id
}

// ErrUnknownKey means that a value was sealed with a key that the keyset does not have. Another process, with another
// keyset, may be able to open it.
var ErrUnknownKey = errors.New("the keyset does not have the key")

// New parses a cleartext JSON keyset, as NewKeyset returns it. Store it in a secrets manager or a file of mode 0600.
func New(keysetJSON string) (*Box, error) {
	h, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(strings.NewReader(keysetJSON)))
	if err != nil {
		return nil, fmt.Errorf("read keyset: %w", err)
	}
	a, err := aead.New(h)
	if err != nil {
		return nil, fmt.Errorf("use keyset: %w", err)
	}
	info := h.KeysetInfo()
	b := &Box{aead: a, primary: info.GetPrimaryKeyId(), keys: make(map[uint32]int)}
	for i, k := range info.GetKeyInfo() {
		b.keys[k.GetKeyId()] = i
	}
	return b, nil
}

// NewKeyset generates a JSON keyset with one AES-256-GCM key.
func NewKeyset() (string, error) {
	h, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return "", fmt.Errorf("generate keyset: %w", err)
	}
	var buf bytes.Buffer
	if err := insecurecleartextkeyset.Write(h, keyset.NewJSONWriter(&buf)); err != nil {
		return "", fmt.Errorf("write keyset: %w", err)
	}
	return buf.String(), nil
}

// Seal encrypts plain; only Open with the same id and field decrypts it.
func (b *Box) Seal(plain []byte, id uuid.UUID, field string) ([]byte, error) {
	sealed, err := b.aead.Encrypt(plain, associatedData(id, field))
	if err != nil {
		return nil, fmt.Errorf("seal %s: %w", field, err)
	}
	return sealed, nil
}

// Open decrypts a sealed value. It fails for another id or field, with ErrUnknownKey when the keyset lacks the key, and
// for a value that was damaged.
func (b *Box) Open(sealed []byte, id uuid.UUID, field string) ([]byte, error) {
	plain, err := b.aead.Decrypt(sealed, associatedData(id, field))
	if err == nil {
		return plain, nil
	}
	if key, tagged := KeyOf(sealed); tagged {
		if _, known := b.keys[key]; !known {
			err = fmt.Errorf("%w %d", ErrUnknownKey, key)
		}
	}
	return nil, fmt.Errorf("open %s: %w", field, err)
}

// IsOutdated reports whether a value was sealed with a key that the keyset lists before its primary key: that is, with
// an older one, because a rotation adds a key at the end.
func (b *Box) IsOutdated(sealed []byte) bool {
	key, tagged := KeyOf(sealed)
	position, known := b.keys[key]
	return tagged && known && position < b.keys[b.primary]
}

// Keys returns the ids of the keyset's keys, the oldest first.
func (b *Box) Keys() []uint32 {
	ids := make([]uint32, len(b.keys))
	for id, position := range b.keys {
		ids[position] = id
	}
	return ids
}

// Primary returns the id of the key that seals.
func (b *Box) Primary() uint32 { return b.primary }

// KeyOf returns the id of the key that sealed a value. tagged is false when the value is damaged. Tink writes the id in
// front: a byte 1, then the id (https://developers.google.com/tink/wire-format).
func KeyOf(sealed []byte) (id uint32, tagged bool) {
	const header, overhead = 5, 12 + 16 // nonce and tag of AES-GCM
	if len(sealed) < header+overhead || sealed[0] != 1 {
		return 0, false
	}
	return binary.BigEndian.Uint32(sealed[1:header]), true
}

// associatedData binds a sealed value to its row and field.
func associatedData(id uuid.UUID, field string) []byte { return append(id[:], field...) }

// Package seal encrypts signing secrets and masked headers at rest.
//
// Values are encrypted with Tink AEAD. The webhook's id and the field's name are the associated data, so a sealed value
// copied to another row cannot be opened. A keyset may hold several keys: the primary key seals new values, all keys
// open old ones, so keys rotate without downtime.
package seal

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// Box seals and opens. It is safe for concurrent use.
type Box struct{ aead tink.AEAD }

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
	return &Box{aead: a}, nil
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

// Open decrypts a sealed value. It fails for another id or field, and when the keyset lacks the key.
func (b *Box) Open(sealed []byte, id uuid.UUID, field string) ([]byte, error) {
	plain, err := b.aead.Decrypt(sealed, associatedData(id, field))
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", field, err)
	}
	return plain, nil
}

// associatedData binds a sealed value to its row and field.
func associatedData(id uuid.UUID, field string) []byte { return append(id[:], field...) }

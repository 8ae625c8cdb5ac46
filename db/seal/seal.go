// Package seal keeps signing secrets and masked headers unreadable at rest.
//
// Values are sealed with Tink AEAD and bound (associated data) to the webhook's id and the field's name, so that a
// sealed value copied to another row does not open. The keyset may hold several keys: new values use the primary, old
// ones still open, so it rotates without downtime.
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

// New reads a cleartext JSON keyset, as NewKeyset makes it. Keep it in a secrets manager or a file of mode 0600.
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

// NewKeyset makes a JSON keyset with one AES-256-GCM key.
func NewKeyset() (string, error) {
	h, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return "", fmt.Errorf("make keyset: %w", err)
	}
	var buf bytes.Buffer
	if err := insecurecleartextkeyset.Write(h, keyset.NewJSONWriter(&buf)); err != nil {
		return "", fmt.Errorf("write keyset: %w", err)
	}
	return buf.String(), nil
}

// Seal makes plain unreadable for everything but Open with the same id and field.
func (b *Box) Seal(plain []byte, id uuid.UUID, field string) ([]byte, error) {
	sealed, err := b.aead.Encrypt(plain, bind(id, field))
	if err != nil {
		return nil, fmt.Errorf("seal %s: %w", field, err)
	}
	return sealed, nil
}

// Open returns what was sealed, or an error if it was sealed for another id or field or by an unknown key.
func (b *Box) Open(sealed []byte, id uuid.UUID, field string) ([]byte, error) {
	plain, err := b.aead.Decrypt(sealed, bind(id, field))
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", field, err)
	}
	return plain, nil
}

func bind(id uuid.UUID, field string) []byte { return append(id[:], field...) }

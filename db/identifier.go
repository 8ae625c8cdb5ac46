package db

import (
	"context"
	"fmt"
	"strings"
	"unicode"

	"github.com/uptrace/bun"
	"golang.org/x/text/unicode/norm"

	"greenroom/db/pg"
)

// maxIdentifier is the longest label of a host name (RFC 1035 §2.3.4): an identifier, with its number, can be a
// subdomain.
const maxIdentifier = 63 - len("-9223372036854775807")

// identifierLock is the id of an advisory lock: an arbitrary number, unique in this database.
const identifierLock = 0x67726e6964 // "grnid"

// identify derives a new company's identifier from its name: acme, or acme-17 with its number when acme is taken. When
// both are taken it keeps the id that it was created with. The lock serialises it, so that two companies cannot choose
// the same one.
func identify(ctx context.Context, tx bun.Tx, c *Company) error {
	if _, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock(?)", identifierLock); err != nil {
		return fmt.Errorf("wait for other companies: %w", err)
	}
	slug := Slug(c.Name)
	err := tx.NewRaw(`UPDATE companies SET identifier = COALESCE((
			SELECT name FROM unnest(ARRAY[?, ?]) WITH ORDINALITY AS wanted (name, rank)
			WHERE NOT EXISTS (SELECT 1 FROM companies o WHERE o.identifier = wanted.name) ORDER BY rank LIMIT 1), identifier)
		WHERE id = ? RETURNING identifier`, slug, fmt.Sprintf("%s-%d", slug, c.Number), c.ID).Scan(ctx, &c.Identifier)
	if err != nil {
		return fmt.Errorf("name company: %w", pg.Translate(err))
	}
	return nil
}

// Slug returns a name in URL form: Košice & Söhne is kosice-sohne. A name without an ASCII letter or digit is
// "company".
func Slug(name string) string {
	var b strings.Builder
	for _, r := range norm.NFKD.String(strings.ToLower(name)) {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			b.WriteRune(r)
		case unicode.Is(unicode.Mn, r): // an accent, which the decomposition has taken off its letter
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
		if b.Len() >= maxIdentifier {
			break
		}
	}
	if slug := strings.Trim(b.String(), "-"); slug != "" {
		return slug
	}
	return "company"
}

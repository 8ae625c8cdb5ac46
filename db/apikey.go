package db

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// KeyPrefix begins every API key, so that secret scanners find leaked keys.
const KeyPrefix = "sk_"

// Base62 of 256 bits needs 43 digits (62^43 > 2^256); leading zeros are kept so that all keys have one length.
const (
	keyDigits   = 43
	shownDigits = 6
)

// APIKey is a credential. A key without a company is a platform key, which acts for all companies.
type APIKey struct {
	bun.BaseModel `bun:"table:api_keys,alias:k"`

	ID        uuid.UUID  `bun:"id,pk"`
	CompanyID *uuid.UUID `bun:"company_id"`
	Name      string     `bun:"name"`
	// Prefix is the beginning of the key: long enough to identify it, too short to use.
	Prefix string `bun:"prefix"`
	// Hash is the only stored form of the key: see HashKey.
	Hash []byte `bun:"hash"`
	// SecretID names the secret of the hash: see SecretID; nil: unknown, of an earlier version.
	SecretID []byte `bun:"secret_id"`
	// Scopes of the form "read:jobs"; "*" is all of them.
	Scopes []string `bun:"scopes,array"`
	// AllowedIPs are addresses and CIDR ranges; empty: any address.
	AllowedIPs      []string   `bun:"allowed_ips,array"`
	RatePerMinute   int        `bun:"rate_per_minute"`
	RatePerHour     int        `bun:"rate_per_hour"`
	ExpiresAt       *time.Time `bun:"expires_at"`
	SuspendedAt     *time.Time `bun:"suspended_at"`
	SuspendedReason *string    `bun:"suspended_reason"`
	// SuspendedByPlatform and SuspendedByCompanyToo say who suspended a suspended key: see IsSuspendedBy.
	SuspendedByPlatform   bool       `bun:"suspended_by_platform"`
	SuspendedByCompanyToo bool       `bun:"suspended_by_company_too"`
	RevokedAt             *time.Time `bun:"revoked_at"`
	// Ancestors are the keys through which this key was made, nearest first.
	Ancestors []uuid.UUID `bun:"ancestors,array"`
	// StaffID is the staff user whose token this is. A token expires after IdleDays without use.
	StaffID   *uuid.UUID `bun:"staff_id"`
	IdleDays  *int       `bun:"idle_days"`
	CreatedAt time.Time  `bun:"created_at"`
	UpdatedAt time.Time  `bun:"updated_at"`
	// Version changes with every change of the row and of its ancestors. Only FindAPIKey sets it.
	Version string `bun:"version,scanonly"`
	// Above are the rows of Ancestors, nearest first. A created key does not have them.
	Above []*APIKey `bun:"-"`
}

// GenerateKey returns a new key with 256 random bits: its plain text, to be shown once, the stored hash (HashKey) and
// the prefix that lists show.
func GenerateKey(secret []byte) (plain string, hash []byte, prefix string) {
	var bits [32]byte
	_, _ = rand.Read(bits[:]) // crypto/rand.Read never fails: it ends the program instead
	return keyOf(secret, bits[:])
}

// DeriveKey derives a key from the secret and a label. The result is the same each time, so it need not be stored. It
// is for the demo key of a development machine.
func DeriveKey(secret []byte, label string) (plain string, hash []byte, prefix string) {
	return keyOf(secret, HashKey(secret, "derive:"+label))
}

func keyOf(secret, bits []byte) (plain string, hash []byte, prefix string) {
	digits := new(big.Int).SetBytes(bits).Text(62)
	for len(digits) < keyDigits {
		digits = "0" + digits
	}
	plain = KeyPrefix + digits
	return plain, HashKey(secret, plain), plain[:len(KeyPrefix)+shownDigits]
}

// HashKey returns the HMAC-SHA256 of the key under the server's secret. A stolen table does not reveal keys; keys have
// 256 bits of entropy, so a slower hash would add nothing.
func HashKey(secret []byte, plain string) []byte {
	mac := hmac.New(sha256.New, secret)
	_, _ = mac.Write([]byte(plain)) // a hash never fails to take bytes
	return mac.Sum(nil)
}

// SetNew gives k a new plain key, which is returned to be shown once: its hash, secret and prefix.
func (k *APIKey) SetNew(secret []byte) (plain string) {
	plain, k.Hash, k.Prefix = GenerateKey(secret)
	k.SecretID = SecretID(secret)
	return plain
}

// SecretID names a value of the installation's secret without revealing it: 8 bytes.
func SecretID(secret []byte) []byte { return HashKey(secret, "secret id")[:8] }

// CreateAPIKey stores a new key (see SetNew) and writes its creator to the audit log. A zero
// id or time is set.
func CreateAPIKey(ctx context.Context, tx bun.Tx, k *APIKey, actor string) error {
	if k.ID == uuid.Nil {
		k.ID = pg.NewID()
	}
	if k.CreatedAt.IsZero() {
		k.CreatedAt = time.Now().UTC()
	}
	k.UpdatedAt = k.CreatedAt
	if k.AllowedIPs == nil {
		k.AllowedIPs = []string{}
	}
	if k.Ancestors == nil {
		k.Ancestors = []uuid.UUID{}
	}
	if _, err := tx.NewInsert().Model(k).Exec(ctx); err != nil {
		return fmt.Errorf("insert api key: %w", pg.Translate(err))
	}
	return auditKey(ctx, tx, k, AuditCreated, actor)
}

func auditKey(ctx context.Context, tx bun.Tx, k *APIKey, action AuditAction, actor string) error {
	return Audit(ctx, tx, &AuditEntry{
		CompanyID: k.CompanyID, Actor: actor, Action: action, TargetType: AuditedKey, TargetID: k.ID.String(),
	})
}

// FindAPIKey returns the key with one of the hashes, those of one plain key under each secret, in any state, with its
// ancestors. Its version is xmin, the id of the transaction that wrote the row.
func FindAPIKey(ctx context.Context, db bun.IDB, hashes ...[]byte) (*APIKey, error) {
	rows := []*APIKey{}
	err := db.NewSelect().
		Model(&rows).
		ColumnExpr("k.*, k.xmin::text AS version").
		Where("k.hash IN (?)", bun.List(hashes)).
		WhereOr("k.id = ANY ((SELECT c.ancestors FROM api_keys AS c WHERE c.hash IN (?))::uuid[])", bun.List(hashes)).
		Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("find api key: %w", pg.Translate(err))
	}
	for _, k := range rows {
		if slices.ContainsFunc(hashes, func(hash []byte) bool { return bytes.Equal(k.Hash, hash) }) {
			return k, k.adopt(rows)
		}
	}
	return nil, fmt.Errorf("find api key: %w", pg.ErrNotFound)
}

// GetAPIKey returns a key of any company, also a revoked one, which the audit log still refers to.
func GetAPIKey(ctx context.Context, db bun.IDB, id uuid.UUID) (*APIKey, error) {
	k := new(APIKey)
	if err := db.NewSelect().Model(k).Where("k.id = ?", id).Scan(ctx); err != nil {
		return nil, fmt.Errorf("get api key: %w", pg.Translate(err))
	}
	return k, loadAncestors(ctx, db, k)
}

// ListAPIKeys returns one page of the keys that the scope sees, newest first, and the total.
func ListAPIKeys(ctx context.Context, db bun.IDB, s pg.Scope, p pg.Page) ([]APIKey, int64, error) {
	ks := []APIKey{}
	q := db.NewSelect().Model(&ks).Order("k.id DESC").Limit(p.Limit).Offset(p.Offset)
	if s.Company != nil {
		q = q.Where("k.company_id = ?", *s.Company)
	}
	total, err := q.ScanAndCount(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("list api keys: %w", err)
	}
	all := make([]*APIKey, len(ks))
	for i := range ks {
		all[i] = &ks[i]
	}
	return ks, total, loadAncestors(ctx, db, all...)
}

func loadAncestors(ctx context.Context, db bun.IDB, ks ...*APIKey) error {
	var ids []uuid.UUID
	for _, k := range ks {
		ids = append(ids, k.Ancestors...)
	}
	if len(ids) == 0 {
		return nil
	}
	above := []*APIKey{}
	if err := db.NewSelect().Model(&above).Where("k.id IN (?)", bun.List(ids)).Scan(ctx); err != nil {
		return fmt.Errorf("list ancestors of api keys: %w", err)
	}
	for _, k := range ks {
		if err := k.adopt(above); err != nil {
			return err
		}
	}
	return nil
}

// Seen returns the version that was read, for a submission that requires the key to be unchanged; nil without a key.
func (k *APIKey) Seen() *delivery.KeyVersion {
	if k == nil {
		return nil
	}
	return &delivery.KeyVersion{ID: k.ID, Version: k.Version}
}

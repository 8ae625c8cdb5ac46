package db

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/delivery"
	"greenroom/db/pg"
	"greenroom/db/seal"
)

// IdempotencyField is the field name that the sealed answer to an Idempotency-Key is bound to.
func IdempotencyField(key string) string { return "idempotency:" + key }

// Reseal seals again, with the primary key of the keyset, what its other keys sealed: signing secrets and keys, header
// values, credentials of webhooks and of webhook sets, and answers to an Idempotency-Key. It returns the number of rows
// that it changed, and skips values that box cannot open. It may run while the installation works.
func Reseal(ctx context.Context, d bun.IDB, box *seal.Box) (rows int, err error) {
	return visitSealed(ctx, d, "FOR NO KEY UPDATE", func(id uuid.UUID, field string, sealed []byte) ([]byte, error) {
		if key, ok := seal.KeyOf(sealed); !ok || key == box.Primary() {
			return sealed, nil
		}
		plain, err := box.Open(sealed, id, field)
		if err != nil {
			return sealed, nil //nolint:nilerr // SealedValues counts it
		}
		return box.Seal(plain, id, field)
	})
}

// SealedValues counts the sealed values by the id of their key. The keyset check is one: a process that seals has
// sealed it, so its key is in use even if nothing else is sealed with it yet.
func SealedValues(ctx context.Context, d bun.IDB) (byKey map[uint32]int, err error) {
	byKey = map[uint32]int{}
	count := func(_ uuid.UUID, _ string, sealed []byte) ([]byte, error) {
		if key, ok := seal.KeyOf(sealed); ok {
			byKey[key]++
		}
		return sealed, nil
	}
	if _, err = visitSealed(ctx, d, "", count); err != nil {
		return nil, err
	}
	check, err := keysetCheck(ctx, d)
	if err != nil {
		return nil, err
	}
	_, err = count(uuid.Nil, keysetField, check)
	return byKey, err
}

// visitFunc returns what a sealed value is replaced by. id and field are those that it is bound to.
type visitFunc func(id uuid.UUID, field string, sealed []byte) ([]byte, error)

// sealedPage bounds the rows that are read, and locked, at a time.
const sealedPage = 100

// visitSealed calls visit for every sealed value, and updates the rows in which a value is replaced. lock is the
// locking clause with which rows are read; a visit that replaces values needs one.
func visitSealed(ctx context.Context, d bun.IDB, lock bun.Safe, visit visitFunc) (changed int, err error) {
	for _, visitPage := range []func(context.Context, bun.Tx, *sealedCursor, visitFunc) (int, error){
		visitWebhooks, visitWebhookSets, visitIdempotencyKeys,
	} {
		for after := (&sealedCursor{lock: lock}); !after.ended; {
			err := pg.InTx(ctx, d, func(ctx context.Context, tx bun.Tx) error {
				n, err := visitPage(ctx, tx, after, visit)
				changed += n
				return err
			})
			if err != nil {
				return changed, fmt.Errorf("read sealed values: %w", err)
			}
		}
	}
	return changed, nil
}

// sealedCursor is the last row of a page, and how the next one is read. ended: there are no more.
type sealedCursor struct {
	id    uuid.UUID
	key   string
	lock  bun.Safe
	ended bool
}

// replace visits a value, if there is one, and notes whether it was replaced.
func (visit visitFunc) replace(id uuid.UUID, field string, sealed *[]byte, replaced *bool) error {
	if len(*sealed) == 0 {
		return nil
	}
	value, err := visit(id, field, *sealed)
	if err != nil || bytes.Equal(value, *sealed) {
		return err
	}
	*sealed, *replaced = value, true
	return nil
}

func visitWebhooks(ctx context.Context, tx bun.Tx, after *sealedCursor, visit visitFunc) (changed int, err error) {
	var rows []*delivery.Webhook
	err = tx.NewRaw(`SELECT id, secret, signing_key, headers, auth, retired_secrets FROM webhooks
		WHERE id > ? ORDER BY id LIMIT ? ?`, after.id, sealedPage, after.lock).Scan(ctx, &rows)
	if err != nil {
		return 0, err
	}
	after.ended = len(rows) < sealedPage
	for _, w := range rows {
		after.id = w.ID
		replaced := false
		errs := []error{
			visit.replace(w.ID, delivery.SecretField, &w.Secret, &replaced),
			visit.replace(w.ID, delivery.SigningKeyField, &w.SigningKey, &replaced),
		}
		for i := range w.RetiredSecrets {
			r := &w.RetiredSecrets[i]
			errs = append(errs, visit.replace(w.ID, delivery.SecretField, &r.Sealed, &replaced),
				visit.replace(w.ID, delivery.SigningKeyField, &r.SigningKey, &replaced))
		}
		for i := range w.Headers {
			h := &w.Headers[i]
			errs = append(errs, visit.replace(w.ID, delivery.HeaderField(h.Name), &h.Sealed, &replaced))
		}
		if w.Auth != nil {
			errs = append(errs, visit.replace(w.ID, delivery.AuthField, &w.Auth.Sealed, &replaced))
		}
		if err := errors.Join(errs...); err != nil {
			return changed, err
		}
		if !replaced {
			continue
		}
		_, err := tx.NewUpdate().Model(w).
			Column("secret", "signing_key", "headers", "auth", "retired_secrets").WherePK().Exec(ctx)
		if err != nil {
			return changed, err
		}
		changed++
	}
	return changed, nil
}

func visitWebhookSets(ctx context.Context, tx bun.Tx, after *sealedCursor, visit visitFunc) (changed int, err error) {
	var rows []struct {
		ID                         uuid.UUID
		BasicPassword, APIKeyValue []byte
	}
	err = tx.NewRaw(`SELECT id, basic_password, apikey_value AS api_key_value FROM webhook_sets
		WHERE id > ? ORDER BY id LIMIT ? ?`, after.id, sealedPage, after.lock).Scan(ctx, &rows)
	if err != nil {
		return 0, err
	}
	after.ended = len(rows) < sealedPage
	for _, s := range rows {
		after.id = s.ID
		replaced := false
		err := errors.Join(
			visit.replace(s.ID, setPasswordField, &s.BasicPassword, &replaced),
			visit.replace(s.ID, setAPIKeyField, &s.APIKeyValue, &replaced),
		)
		if err == nil && replaced {
			_, err = tx.ExecContext(ctx, "UPDATE webhook_sets SET basic_password = ?, apikey_value = ? WHERE id = ?",
				s.BasicPassword, s.APIKeyValue, s.ID)
		}
		if err != nil {
			return changed, err
		}
		if replaced {
			changed++
		}
	}
	return changed, nil
}

func visitIdempotencyKeys(
	ctx context.Context, tx bun.Tx, after *sealedCursor, visit visitFunc,
) (changed int, err error) {
	var rows []struct {
		APIKeyID uuid.UUID
		Key      string
		Sealed   []byte
	}
	err = tx.NewRaw(`SELECT api_key_id, key, sealed FROM idempotency_keys
		WHERE sealed IS NOT NULL AND (api_key_id, key) > (?, ?)
		ORDER BY api_key_id, key LIMIT ? ?`, after.id, after.key, sealedPage, after.lock).Scan(ctx, &rows)
	if err != nil {
		return 0, err
	}
	after.ended = len(rows) < sealedPage
	for _, k := range rows {
		after.id, after.key = k.APIKeyID, k.Key
		replaced := false
		err := visit.replace(k.APIKeyID, IdempotencyField(k.Key), &k.Sealed, &replaced)
		if err == nil && replaced {
			_, err = tx.ExecContext(ctx, "UPDATE idempotency_keys SET sealed = ? WHERE api_key_id = ? AND key = ?",
				k.Sealed, k.APIKeyID, k.Key)
		}
		if err != nil {
			return changed, err
		}
		if replaced {
			changed++
		}
	}
	return changed, nil
}

package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/delivery"
	"greenroom/db/seal"
)

// ErrOtherKeyset means that this process has another keyset than the installation. It could not sign deliveries, and
// what it seals the other processes could not open.
var ErrOtherKeyset = errors.New(
	"the keyset (GREENROOM_KEYSET) is not this installation's: give every process the same " +
		"keyset. If its key is lost, the secrets of all webhooks are lost too: run the statement " +
		"UPDATE keyset_check SET sealed = '', start again and create the webhooks again",
)

// keysetField is the associated data of the sealed value, whose content means nothing.
const keysetField = "keyset"

// CheckKeyset returns ErrOtherKeyset unless the keyset can open what the installation seals. The table keyset_check
// tells: the first process writes it, and a process with a new primary key seals it again. An empty value accepts the
// next process. In an installation that is older than the table, the newest webhook's secret decides.
func CheckKeyset(ctx context.Context, d bun.IDB, box *seal.Box) error {
	sealed, err := keysetCheck(ctx, d)
	if err == nil && sealed == nil {
		if err = checkNewestSecret(ctx, d, box); err == nil {
			sealed, err = startKeysetCheck(ctx, d, box)
		}
	}
	if err != nil {
		return err
	}
	if len(sealed) > 0 {
		if _, err := box.Open(sealed, uuid.Nil, keysetField); err != nil {
			return fmt.Errorf("%w (%w)", ErrOtherKeyset, err)
		}
		if !box.IsOutdated(sealed) {
			return nil
		}
	}
	again, err := box.Seal(nil, uuid.Nil, keysetField)
	if err != nil {
		return err
	}
	if _, err := d.NewRaw("UPDATE keyset_check SET sealed = ? WHERE sealed = ?", again, sealed).Exec(ctx); err != nil {
		return fmt.Errorf("seal the keyset check again: %w", err)
	}
	return nil
}

// keysetCheck reads the sealed value; nil: there is none yet.
func keysetCheck(ctx context.Context, d bun.IDB) ([]byte, error) {
	sealed := []byte{}
	err := d.NewRaw("SELECT sealed FROM keyset_check").Scan(ctx, &sealed)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read the keyset check: %w", err)
	}
	return sealed, nil
}

// startKeysetCheck writes the sealed value, unless another process was first, and returns what is stored.
func startKeysetCheck(ctx context.Context, d bun.IDB, box *seal.Box) ([]byte, error) {
	sealed, err := box.Seal(nil, uuid.Nil, keysetField)
	if err != nil {
		return nil, err
	}
	_, err = d.NewRaw("INSERT INTO keyset_check (sealed) VALUES (?) ON CONFLICT DO NOTHING", sealed).Exec(ctx)
	if err != nil {
		return nil, fmt.Errorf("write the keyset check: %w", err)
	}
	return keysetCheck(ctx, d)
}

// checkNewestSecret returns ErrOtherKeyset if the newest webhook's secret was sealed with a key that box does not have.
func checkNewestSecret(ctx context.Context, d bun.IDB, box *seal.Box) error {
	var id uuid.UUID
	var secret []byte
	err := d.NewRaw("SELECT id, secret FROM webhooks ORDER BY id DESC LIMIT 1").Scan(ctx, &id, &secret)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil
	case err != nil:
		return fmt.Errorf("read the newest webhook's secret: %w", err)
	}
	if _, err := box.Open(secret, id, delivery.SecretField); errors.Is(err, seal.ErrUnknownKey) {
		return fmt.Errorf("%w (%w)", ErrOtherKeyset, err)
	}
	return nil
}

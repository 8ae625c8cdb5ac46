package pg

import (
	"context"
	"database/sql"

	"github.com/uptrace/bun"
)

// InTx runs fn in one transaction: committed when fn returns nil, rolled back otherwise. In a transaction it makes a
// savepoint. The notifications of fn are sent after the commit of the outermost transaction, see Notify.
func InTx(ctx context.Context, db bun.IDB, fn func(ctx context.Context, tx bun.Tx) error) error {
	if _, nested := db.(bun.Tx); nested {
		return db.RunInTx(ctx, nil, fn)
	}
	after := notifications{}
	err := db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		afterCommit.Store(tx.Tx, after)
		defer afterCommit.Delete(tx.Tx)
		return fn(ctx, tx)
	})
	if err == nil && len(after) > 0 {
		notifierOf(db).add(after)
	}
	return err
}

// One passes on the result of a statement that must touch exactly one row and returns ErrNotFound when it touched none.
func One(res sql.Result, err error) error {
	if err != nil {
		return err
	}
	n, err := res.RowsAffected()
	if err != nil {
		return err
	}
	if n == 0 {
		return ErrNotFound
	}
	return nil
}

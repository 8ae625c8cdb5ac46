// Package migrations holds the schema as SQL files, embedded so that one binary can bring any database up to date.
//
// A migration runs in a transaction (*.tx.up.sql) and is marked as applied only when it succeeded. Partitions of a day
// are not made here but by db.EnsurePartitions: they follow the clock, not the version.
package migrations

import (
	"embed"
	"fmt"

	"github.com/uptrace/bun/migrate"
)

//go:embed *.sql
var files embed.FS

// All returns every migration, in order. It panics only when the embedded files are malformed, which a test would show.
func All() *migrate.Migrations {
	m := migrate.NewMigrations()
	if err := m.Discover(files); err != nil {
		panic("migrations: " + err.Error())
	}
	return m
}

// Up returns the text of the file that applies a migration; name is that of the file up to ".tx".
func Up(name string) (string, error) { return text(name + ".tx.up.sql") }

// Down returns the text of the file that rolls a migration back.
func Down(name string) (string, error) { return text(name + ".tx.down.sql") }

func text(file string) (string, error) {
	b, err := files.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read migration: %w", err)
	}
	return string(b), nil
}

// Source returns the text of all migrations, in order. It identifies a schema version.
func Source() []byte {
	var all []byte
	entries, err := files.ReadDir(".")
	if err != nil {
		panic("migrations: " + err.Error())
	}
	for _, e := range entries {
		b, err := files.ReadFile(e.Name())
		if err != nil {
			panic("migrations: " + err.Error())
		}
		all = append(all, b...)
	}
	return all
}

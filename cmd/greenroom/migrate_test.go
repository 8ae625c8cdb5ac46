package main_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"greenroom/db"
	"greenroom/db/dbtest"
	"greenroom/db/pg"
)

// migrations is a database without connections of other processes.
type migrations struct {
	t   *testing.T
	url string
	all []db.MigrationState
}

func newMigrations(t *testing.T) *migrations {
	t.Helper()
	d, url := dbtest.NewURL(t)
	all, err := db.MigrationStatus(t.Context(), d)
	require.NoError(t, err)
	_, err = d.ExecContext(t.Context(), "INSERT INTO companies (id, name) VALUES (uuid_v7(), 'Acme')")
	require.NoError(t, err)
	require.NoError(t, d.Close())
	return &migrations{t: t, url: url, all: all}
}

func (m *migrations) run(args string) result {
	m.t.Helper()
	env := []string{"GREENROOM_DATABASE_URL=" + m.url}
	return runProgram(m.t, env, append([]string{"migrate"}, strings.Fields(args)...)...)
}

func (m *migrations) missing() (names []string) {
	m.t.Helper()
	r := m.run("status --json")
	require.Zero(m.t, r.code, r.stderr)
	var all []struct {
		Name      string
		AppliedAt *string
	}
	require.NoError(m.t, json.Unmarshal([]byte(r.stdout), &all))
	require.Len(m.t, all, len(m.all))
	for _, one := range all {
		if one.AppliedAt == nil {
			names = append(names, one.Name)
		}
	}
	return names
}

func TestMigrate(t *testing.T) {
	t.Parallel()
	m := newMigrations(t)
	newest := m.all[len(m.all)-1].Name
	t.Run("nothing_is_missing", func(t *testing.T) {
		assert.Equal(t, result{stdout: "nothing to apply\n"}, m.run("up"))
		assert.Equal(t, result{stdout: "{\n  \"applied\": []\n}\n"}, m.run("up --json"))
		assert.Equal(t, result{}, m.run("up --dry-run"))
		r := m.run("status --check")
		assert.Zero(t, r.code)
		assert.Equal(t, len(m.all), strings.Count(r.stdout, " applied "))
		assert.Empty(t, m.missing())
	})
	t.Run("down_refuses_without_a_terminal", func(t *testing.T) {
		r := m.run("down --all")
		assert.Equal(t, 1, r.code)
		assert.Empty(t, r.stdout)
		assert.Regexp(t, `(?m)^  deletes table +companies +1 rows$`, r.stderr)
		assert.Contains(t, r.stderr, "greenroom: nothing was rolled back: there is no terminal to confirm it; use --yes\n")
		assert.Empty(t, m.missing())
	})
	t.Run("down_rolls_back_one", func(t *testing.T) {
		r := m.run("down --yes")
		assert.Equal(t, "rolled back "+newest+"\n", r.stdout)
		assert.Equal(t, []string{newest}, m.missing())
		check := m.run("status --check")
		assert.Equal(t, 1, check.code)
		assert.Contains(t, check.stdout, newest)
		assert.Empty(t, check.stderr, "the list says it")
		assert.Zero(t, m.run("status").code)
	})
	t.Run("a_missing_migration_is_named", func(t *testing.T) {
		r := runProgram(t, []string{"GREENROOM_DATABASE_URL=" + m.url}, "keys", "list")
		assert.Equal(t, "greenroom: the database is not migrated: run greenroom migrate up\n", r.stderr)
	})
	t.Run("up_prints_its_sql_before", func(t *testing.T) {
		r := m.run("up --dry-run")
		assert.True(t, strings.HasPrefix(r.stdout, "-- "+newest+"\n"), r.stdout)
		assert.Equal(t, []string{newest}, m.missing())
		assert.Equal(t, result{stdout: "applied " + newest + "\n"}, m.run("up"))
	})
	t.Run("down_rolls_back_so_many", func(t *testing.T) {
		r := m.run("down --yes --steps 2 --json")
		require.Zero(t, r.code, r.stderr)
		var out struct{ RolledBack []string }
		require.NoError(t, json.Unmarshal([]byte(r.stdout), &out))
		assert.Equal(t, []string{newest, m.all[len(m.all)-2].Name}, out.RolledBack)
		assert.Len(t, m.missing(), 2)
	})
	t.Run("down_rolls_back_all", func(t *testing.T) {
		require.Zero(t, m.run("down --yes --all").code)
		assert.Len(t, m.missing(), len(m.all))
		assert.Equal(t, result{stdout: "nothing to roll back\n"}, m.run("down --yes"))
		r := m.run("up")
		assert.Equal(t, len(m.all), strings.Count(r.stdout, "applied "))
	})
	t.Run("down_refuses_no_steps_and_both_flags", func(t *testing.T) {
		assert.Contains(t, m.run("down --steps 0 --yes").stderr, "--steps must be at least 1")
		assert.Equal(t, 1, m.run("down --steps 2 --all --yes").code)
		assert.Empty(t, m.missing())
	})
}

func TestMigrateDown_while_others_are_connected(t *testing.T) {
	t.Parallel()
	m := newMigrations(t)
	other, err := pg.Open(t.Context(), pg.Options{URL: m.url})
	require.NoError(t, err)
	defer other.Close()

	r := m.run("down --yes")

	assert.Equal(t, 1, r.code)
	assert.Equal(
		t,
		"greenroom: other processes of Greenroom are connected to the database, from 127.0.0.1 (1): stop them "+
			"first, or use --force\n",
		r.stderr,
	)
	assert.Empty(t, m.missing())
	assert.Zero(t, m.run("down --yes --force").code)
	assert.Len(t, m.missing(), 1)
}

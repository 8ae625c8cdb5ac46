package admin

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"greenroom/db"
)

// Migration is the output for a migration.
type Migration struct {
	Name      string     `json:"name"`
	AppliedAt *time.Time `json:"appliedAt"`
	// SQL is set by PendingMigrations alone.
	SQL string `json:"sql,omitempty"`
}

// Migrations returns all migrations, oldest first, and whether one is missing.
func Migrations(ctx context.Context, d *bun.DB) (all []Migration, missing bool, err error) {
	states, err := db.MigrationStatus(ctx, d)
	for _, m := range states {
		shown := Migration{Name: m.Name}
		if m.AppliedAt.IsZero() {
			missing = true
		} else {
			shown.AppliedAt = &m.AppliedAt
		}
		all = append(all, shown)
	}
	return all, missing, err
}

// PendingMigrations returns the migrations that `greenroom migrate up` would apply, with their SQL.
func PendingMigrations(ctx context.Context, d *bun.DB) ([]Migration, error) {
	pending, err := db.PendingMigrations(ctx, d)
	shown := make([]Migration, len(pending))
	for i, m := range pending {
		shown[i] = Migration{Name: m.Name, SQL: m.SQL}
	}
	return shown, err
}

// Loss is the output for a table or column that a rollback deletes.
type Loss struct {
	Table  string `json:"table"`
	Column string `json:"column,omitempty"`
	// Rows counts the rows of the table, or those with a value in the column.
	Rows int64 `json:"rows"`
}

// Rollback is the output for rolled back migrations, the newest first.
type Rollback struct {
	RolledBack []string `json:"rolledBack"`
	Lost       []Loss   `json:"lost"`
}

// RollbackRequest says what is rolled back, and who has agreed to it.
type RollbackRequest struct {
	Steps int // at most so many migrations, the newest first
	// Force: although other processes of Greenroom are connected.
	Force bool
	// Yes: without a question. Otherwise the name of the database is asked for, on Log, and read from Terminal; without
	// one RollBack refuses.
	Yes      bool
	Terminal io.Reader
	// Log shows what would be lost.
	Log io.Writer
}

// RollBack rolls back the newest migrations after it has shown what they delete and the person has agreed. d must have
// one connection, see [db.OtherConnections].
func RollBack(ctx context.Context, d *bun.DB, r RollbackRequest) (Rollback, error) {
	out := Rollback{RolledBack: []string{}, Lost: []Loss{}}
	if !r.Force {
		if err := refuseConnected(ctx, d); err != nil {
			return out, err
		}
	}
	plan, err := db.PlanRollback(ctx, d, r.Steps)
	if err != nil || len(plan.Migrations) == 0 {
		return out, err
	}
	for _, l := range plan.Lost {
		out.Lost = append(out.Lost, Loss(l))
	}
	if err := r.confirm(ctx, d, plan.Migrations, out.Lost); err != nil {
		return out, err
	}
	if err := db.RollBack(ctx, d, plan.Migrations); err != nil {
		return out, err
	}
	out.RolledBack = plan.Migrations
	return out, nil
}

// The sessions of a process that has just ended take endsWithin to end.
const (
	endsWithin = 2 * time.Second
	endsPoll   = 100 * time.Millisecond
)

func refuseConnected(ctx context.Context, d *bun.DB) error {
	others, err := db.OtherConnections(ctx, d)
	for end := time.Now().Add(endsWithin); err == nil && len(others) > 0 && time.Now().Before(end); {
		if err := sleep(ctx, endsPoll); err != nil {
			return err
		}
		others, err = db.OtherConnections(ctx, d)
	}
	if err != nil || len(others) == 0 {
		return err
	}
	var from []string
	for _, address := range slices.Sorted(maps.Keys(others)) {
		from = append(from, fmt.Sprintf("%s (%d)", address, others[address]))
	}
	return fmt.Errorf("other processes of Greenroom are connected to the database, from %s: stop them first, or use "+
		"--force", strings.Join(from, ", "))
}

func (r RollbackRequest) confirm(ctx context.Context, d *bun.DB, migrations []string, lost []Loss) error {
	var database string
	if err := d.NewRaw("SELECT current_database()").Scan(ctx, &database); err != nil {
		return fmt.Errorf("read the name of the database: %w", err)
	}
	err := Printer{Out: r.Log}.Value(nil, func(out io.Writer) {
		fmt.Fprintf(out, "Rolling back in the database %s:\n\n", database)
		for _, m := range migrations {
			row(out, "  migration", m)
		}
		for _, l := range lost {
			if l.Column == "" {
				row(out, "  deletes table", l.Table, fmt.Sprintf("%d rows", l.Rows))
			} else {
				row(out, "  deletes column", l.Table+"."+l.Column, fmt.Sprintf("%d values", l.Rows))
			}
		}
		if len(lost) == 0 {
			row(out, "  deletes", "no table and no column")
		}
		fmt.Fprintln(out)
	})
	if err != nil || r.Yes {
		return err
	}
	if r.Terminal == nil {
		return errors.New("nothing was rolled back: there is no terminal to confirm it; use --yes")
	}
	fmt.Fprintf(r.Log, "It cannot be undone without a backup. Type the name of the database, %s, to roll back: ", database)
	answer, err := bufio.NewReader(io.LimitReader(r.Terminal, 1<<10)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the answer: %w", err)
	}
	if strings.TrimSpace(answer) != database {
		return errors.New("nothing was rolled back: the answer is not the name of the database")
	}
	return nil
}

// Migrations prints the migrations and when they were applied.
func (p Printer) Migrations(all []Migration) error {
	return p.Value(all, func(out io.Writer) {
		for _, m := range all {
			state := "missing"
			if m.AppliedAt != nil {
				state = "applied " + cell(m.AppliedAt)
			}
			row(out, m.Name, state)
		}
	})
}

// PendingMigrations prints the SQL of migrations.
func (p Printer) PendingMigrations(pending []Migration) error {
	if p.JSON {
		return p.Value(pending, nil)
	}
	for _, m := range pending {
		if _, err := fmt.Fprintf(p.Out, "-- %s\n%s\n", m.Name, m.SQL); err != nil {
			return err
		}
	}
	return nil
}

// Applied prints the names of migrations that were applied.
func (p Printer) Applied(names []string) error {
	if names == nil {
		names = []string{}
	}
	applied := struct {
		Applied []string `json:"applied"`
	}{names}
	return p.Value(applied, func(out io.Writer) { eachLine(out, "applied", "nothing to apply", names) })
}

// Rollback prints the names of migrations that were rolled back.
func (p Printer) Rollback(r Rollback) error {
	return p.Value(r, func(out io.Writer) { eachLine(out, "rolled back", "nothing to roll back", r.RolledBack) })
}

func eachLine(out io.Writer, done, none string, names []string) {
	if len(names) == 0 {
		fmt.Fprintln(out, none)
	}
	for _, name := range names {
		fmt.Fprintln(out, done, name)
	}
}

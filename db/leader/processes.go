package leader

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// A process that has not renewed its row for ProcessLapse no longer counts. It renews it every processRenew.
const (
	ProcessLapse = 6 * time.Second
	processRenew = ProcessLapse / 3
)

// Process is a live process.
type Process struct {
	// Version is that of its program; "" for one of an earlier version, which did not say.
	Version string
	// Host is the name of its machine or container.
	Host string
	// Since is when it began; zero if it did not say.
	Since time.Time `bun:",nullzero"`
}

// Join counts this process among the live ones of a kind until ctx ends, and calls changed with their number at first
// and after each change. While the database is unavailable the last number stays. version is that of the program.
func Join(ctx context.Context, db *bun.DB, kind, version string, logger *slog.Logger, changed func(live int)) {
	id, known := uuid.New(), 0
	me := Process{Version: version, Since: time.Now().UTC()}
	me.Host, _ = os.Hostname() // without a name it is only harder to find
	for ctx.Err() == nil {
		live, err := renewProcess(ctx, db, kind, id, me)
		switch {
		case err != nil && ctx.Err() == nil:
			logger.DebugContext(ctx, "live processes cannot be counted", "kind", kind, "error", err)
		case err == nil && live != known:
			logger.InfoContext(ctx, "live processes", "kind", kind, "processes", live)
			known = live
			changed(live)
		}
		sleep(ctx, processRenew)
	}
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = release(limited, db, processName(kind, id), id) // it lapses anyway
}

// processName is the name of a process's lease.
func processName(kind string, id uuid.UUID) string { return "process:" + kind + ":" + id.String() }

// renewProcess renews the row of a process and counts the live ones. It deletes rows of processes that were killed.
func renewProcess(ctx context.Context, db bun.IDB, kind string, id uuid.UUID, me Process) (live int, err error) {
	err = db.NewRaw(`WITH me AS (
			INSERT INTO leases (name, holder, expires_at, version, host, since)
			VALUES (?0, ?1, clock_timestamp() + ?2 * interval '1 ms', ?4, ?5, ?6)
			ON CONFLICT (name) DO UPDATE SET expires_at = EXCLUDED.expires_at
		), killed AS (
			DELETE FROM leases WHERE starts_with(name, ?3) AND expires_at < clock_timestamp() - interval '1 hour'
		)
		SELECT 1 + count(*) FROM leases
		WHERE starts_with(name, ?3) AND name <> ?0 AND expires_at > clock_timestamp()`,
		processName(kind, id), id, ProcessLapse.Milliseconds(), "process:"+kind+":", me.Version, me.Host, me.Since).
		Scan(ctx, &live)
	if err != nil {
		return 0, fmt.Errorf("count live processes: %w", err)
	}
	return live, nil
}

// Live returns the live processes of a kind, the longest running first, at most limit.
func Live(ctx context.Context, db bun.IDB, kind string, limit int) ([]Process, error) {
	live := []Process{}
	err := db.NewRaw(`SELECT COALESCE(version, '') AS version, COALESCE(host, '') AS host, since FROM leases
		WHERE starts_with(name, ?) AND expires_at > clock_timestamp() ORDER BY since NULLS FIRST, name LIMIT ?`,
		"process:"+kind+":", limit).Scan(ctx, &live)
	if err != nil {
		return nil, fmt.Errorf("list live processes: %w", err)
	}
	return live, nil
}

package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/uptrace/bun"

	"greenroom/cmd/internal/devstack"
	"greenroom/cmd/internal/service"
	"greenroom/db"
	"greenroom/db/delivery"
	"greenroom/db/pg"
	"greenroom/db/seal"
)

const postgres = "postgresql"

func (e *examination) reachDatabase(ctx context.Context) {
	if e.Config.Database.URL == "" {
		e.problem(postgres, "set GREENROOM_DATABASE_URL, or name the directory of a running greenroom dev with --dev-dir",
			"database.url is not set")
		return
	}
	d, err := service.OpenDB(ctx, e.Config)
	if err != nil {
		e.problem(postgres, databaseCure(e.Config.Database.URL, err), "%s", oneLine(err))
		return
	}
	e.db = d
}

// databaseCure says what mends a database that is not reached.
func databaseCure(address string, err error) string {
	var refused *pgconn.PgError
	var unproven *tls.CertificateVerificationError
	host, name := "the host in GREENROOM_DATABASE_URL", "the database"
	if u, err := url.Parse(address); err == nil {
		host, name = u.Host, strings.TrimPrefix(u.Path, "/")
	}
	switch {
	case pg.RefusesParameters(err):
		return "add these parameters to ignore_startup_parameters in pgbouncer.ini"
	case errors.As(err, &unproven):
		return "correct sslmode and sslrootcert in GREENROOM_DATABASE_URL"
	case errors.As(err, &refused) && refused.Code == "3D000":
		return "createdb " + name + ", then greenroom migrate up"
	case errors.As(err, &refused) && strings.HasPrefix(refused.Code, "28"):
		return "correct user and password in GREENROOM_DATABASE_URL, or pg_hba.conf"
	}
	return "start PostgreSQL at " + host + ", or correct GREENROOM_DATABASE_URL"
}

// server examines what does not depend on the schema.
func (e *examination) server(ctx context.Context) {
	if e.db == nil {
		return
	}
	var s struct {
		Version                 int
		Fsync, Pages, Synchrony string
	}
	err := e.db.NewRaw(`SELECT current_setting('server_version_num')::int / 10000 AS version,
		current_setting('fsync') AS fsync, current_setting('full_page_writes') AS pages,
		current_setting('synchronous_commit') AS synchrony`).Scan(ctx, &s)
	if err != nil {
		e.problem(postgres, "see PostgreSQL's log", "%s", oneLine(err))
		return
	}
	if s.Version < devstack.MinPostgres {
		e.problem(postgres, fmt.Sprintf("upgrade to PostgreSQL %d or later", devstack.MinPostgres),
			"version %d is older than any that is tested", s.Version)
	} else {
		e.ok(postgres, "version %d answers", s.Version)
	}
	const durable = "durability"
	good := true
	for _, setting := range []struct{ name, value string }{{"fsync", s.Fsync}, {"full_page_writes", s.Pages}} {
		if setting.value != "on" {
			good = false
			e.problem(durable, fmt.Sprintf("ALTER SYSTEM SET %s = on; SELECT pg_reload_conf()", setting.name),
				"%s is %s: a crash of the machine can destroy the database", setting.name, setting.value)
		}
	}
	if s.Synchrony == "off" {
		good = false
		e.problem(durable, "ALTER SYSTEM SET synchronous_commit = on; SELECT pg_reload_conf(); see also ALTER DATABASE and "+
			"ALTER ROLE", "synchronous_commit is off: a crash loses accepted events")
	}
	if good {
		e.ok(durable, "fsync, full_page_writes and synchronous_commit are on")
	}
	e.pooler(ctx)
}

// poolerRounds: a pooler gives the second connection the first one's server connection when no other is free.
const poolerRounds = 5

// pooler finds a pooler in transaction mode: two connections that are open at once then have one session of the server.
func (e *examination) pooler(ctx context.Context) {
	const check = "pooler"
	shared := false
	for range poolerRounds {
		first, second, err := e.twoSessions(ctx)
		if err != nil {
			e.problem(check, "raise max_connections, or lower database.max_conns", "%s", oneLine(err))
			return
		}
		shared = shared || first == second
	}
	if shared {
		e.warn(check, "give workers a URL with pool_mode = session, or one without the pooler",
			"a pooler in transaction mode: workers find new deliveries by polling alone, and statements are planned each time")
		return
	}
	e.ok(check, "connections keep their sessions")
}

func (e *examination) twoSessions(ctx context.Context) (first, second int, err error) {
	one, err := e.db.Conn(ctx)
	if err != nil {
		return 0, 0, err
	}
	defer one.Close()
	two, err := e.db.Conn(ctx)
	if err != nil {
		return 0, 0, err
	}
	defer two.Close()
	if err := one.NewRaw("SELECT pg_backend_pid()").Scan(ctx, &first); err != nil {
		return 0, 0, err
	}
	err = two.NewRaw("SELECT pg_backend_pid()").Scan(ctx, &second)
	return first, second, err
}

// schema examines migrations and partitions.
func (e *examination) schema(ctx context.Context) {
	const check, partitions, cure = "migrations", "partitions", "greenroom migrate up"
	if e.db == nil {
		e.skip(check, "needs PostgreSQL")
		return
	}
	switch err := db.CheckMigrated(ctx, e.db); {
	case errors.Is(err, db.ErrNotMigrated):
		e.problem(check, cure, "migrations are missing: see greenroom migrate status")
		return
	case err != nil:
		e.problem(check, "give the user of GREENROOM_DATABASE_URL rights on all tables", "%s", oneLine(err))
		return
	}
	e.migrated = true
	e.ok(check, "all are applied")
	missing, err := delivery.MissingPartitions(ctx, e.db, e.Now(), 1)
	switch {
	case err != nil:
		e.problem(partitions, cure, "%s", oneLine(err))
	case len(missing) > 0:
		e.problem(partitions, cure+", and keep a worker running: it makes them a week ahead",
			"missing: %s", strings.Join(missing, ", "))
	default:
		e.ok(partitions, "those of today and tomorrow exist")
	}
}

// A transaction of Greenroom takes milliseconds, at most 15 s where it is left idle (pg.Open). An operator's job may
// take a minute.
const (
	storesLong  = 5 * time.Second
	changesLong = time.Minute
)

// transactions finds those for which webhooks with ordering, the feed and catch-ups wait.
func (e *examination) transactions(ctx context.Context) {
	const check = "transactions"
	if !e.migrated {
		e.skip(check, "needs the tables")
		return
	}
	open, err := delivery.OpenTransactions(ctx, e.db, storesLong)
	if err != nil {
		e.problem(check, "see PostgreSQL's log", "%s", oneLine(err))
		return
	}
	good := true
	for i := range open {
		switch o := &open[i]; {
		case o.Stores && o.Since != nil:
			good = false
			e.problem(check, endOf(o), "%s has stored or changed events and has not ended: webhooks with ordering and the feed "+
				"wait for it", named(o))
		case o.Age > changesLong:
			good = false
			e.warn(check, endOf(o), "%s has not ended: the feed and catch-ups wait for it", named(o))
		}
	}
	var idle string
	if err := e.db.NewRaw("SELECT current_setting('idle_in_transaction_session_timeout')").Scan(ctx, &idle); err != nil {
		e.problem(check, "see PostgreSQL's log", "%s", oneLine(err))
		return
	}
	if idle == "0" {
		good = false
		e.warn(check, "ALTER ROLE … SET idle_in_transaction_session_timeout = '15s', for the user in GREENROOM_DATABASE_URL",
			"idle_in_transaction_session_timeout is 0: a process that stops in the middle of a transaction, or loses its "+
				"network, keeps others waiting for good")
	}
	if good {
		e.ok(check, "none is open for long")
	}
}

// named says which transaction it is.
func named(o *delivery.OpenTransaction) string {
	var text strings.Builder
	fmt.Fprintf(&text, "process %d", o.PID)
	if o.PID == 0 {
		text.Reset()
		fmt.Fprintf(&text, "the prepared transaction %s", o.Prepared)
	}
	for _, part := range []struct{ name, value string }{
		{"user", o.User}, {"application", o.Application}, {"client", o.Client}, {"state", o.State},
	} {
		if part.value != "" && (o.PID != 0 || part.name != "state") {
			fmt.Fprintf(&text, ", %s %s", part.name, part.value)
		}
	}
	fmt.Fprintf(&text, ", open for %s,", o.Age.Round(time.Second))
	return text.String()
}

// endOf is the statement that ends a transaction.
func endOf(o *delivery.OpenTransaction) string {
	if o.PID == 0 {
		return "ROLLBACK PREPARED '" + strings.ReplaceAll(o.Prepared, "'", "''") + "', or COMMIT PREPARED"
	}
	return fmt.Sprintf("end it where it was begun, or SELECT pg_terminate_backend(%d)", o.PID)
}

// The clocks may differ by less than what a schedule of retries notices.
const (
	clockWarning = time.Second
	clockProblem = 10 * time.Second
)

// clock compares this machine's clock with PostgreSQL's.
func (e *examination) clock(ctx context.Context) {
	const check, cure = "clock", "synchronize both clocks: timedatectl set-ntp true"
	if e.db == nil {
		e.skip(check, "needs PostgreSQL")
		return
	}
	var theirs time.Time
	before := e.Now()
	if err := e.db.NewRaw("SELECT clock_timestamp()").Scan(ctx, &theirs); err != nil {
		e.problem(check, "see PostgreSQL's log", "%s", oneLine(err))
		return
	}
	after := e.Now()
	middle := before.Add(after.Sub(before) / 2)
	off := theirs.Sub(middle).Abs() - after.Sub(before)/2
	switch {
	case off >= clockProblem:
		e.problem(check, cure, "differs from PostgreSQL's by %s", off.Round(time.Second))
	case off >= clockWarning:
		e.warn(check, cure, "differs from PostgreSQL's by %s", off.Round(time.Millisecond))
	default:
		e.ok(check, "agrees with PostgreSQL's")
	}
}

// secrets finds values that the keyset cannot open.
func (e *examination) secrets(ctx context.Context) {
	const check = "sealing keys"
	if !e.migrated || e.Config.Keyset == "" {
		e.skip(check, "needs the tables and GREENROOM_KEYSET")
		return
	}
	box, err := seal.New(e.Config.Keyset)
	if err != nil {
		e.problem(check, "set GREENROOM_KEYSET to that of the other processes", "%s", oneLine(err))
		return
	}
	// CheckKeyset adopts the keyset of a new installation: that is left to the processes.
	err = pg.InTx(ctx, e.db, func(ctx context.Context, tx bun.Tx) error {
		return errors.Join(errUndo, db.CheckKeyset(ctx, tx, box))
	})
	switch {
	case errors.Is(err, db.ErrOtherKeyset):
		e.problem(check, "set GREENROOM_KEYSET to that of the other processes", "the keyset is not this installation's")
		return
	case !errors.Is(err, errUndo):
		e.problem(check, "see PostgreSQL's log", "%s", oneLine(err))
		return
	}
	values, err := db.SealedValues(ctx, e.db)
	if err != nil {
		e.problem(check, "see PostgreSQL's log", "%s", oneLine(err))
		return
	}
	total := 0
	for _, n := range values {
		total += n
	}
	for _, key := range box.Keys() {
		delete(values, key)
	}
	for key, n := range values {
		e.problem(check, fmt.Sprintf("restore the keyset with key %d; without it: greenroom webhooks rotate-secret for each "+
			"webhook", key), "%d values are sealed with key %d, which the keyset lacks", n, key)
	}
	if len(values) == 0 {
		e.ok(check, "open all %d values", total)
	}
}

var errUndo = errors.New("undo")

// oneLine is the text of an error without line breaks.
func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

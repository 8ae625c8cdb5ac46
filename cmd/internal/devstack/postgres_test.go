package devstack_test

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"greenroom/cmd/internal/devstack"
)

// The subtests use one cluster. Each continues in the state that the previous one left.
func TestPostgres(t *testing.T) {
	t.Parallel()
	dir := openDir(t)
	pg := startPostgres(t, devstack.PostgresOptions{Dir: dir})
	exec(t, pg.URL(), "CREATE TABLE kept (n int)")
	exec(t, pg.URL(), "INSERT INTO kept VALUES (1)")

	t.Run("promises_durability", func(t *testing.T) {
		assert.Equal(t, "on", query(t, pg.URL(), "SHOW fsync"))
		assert.Equal(t, "on", query(t, pg.URL(), "SHOW synchronous_commit"))
	})
	t.Run("listens_on_loopback_alone", func(t *testing.T) {
		assert.Equal(t, "127.0.0.1", query(t, pg.URL(), "SHOW listen_addresses"))
		assert.Empty(t, query(t, pg.URL(), "SHOW unix_socket_directories"))
	})
	t.Run("asks_for_the_password", func(t *testing.T) {
		_, err := pgx.Connect(t.Context(), strings.Replace(pg.URL(), "greenroom:", "greenroom:x", 1))
		require.ErrorContains(t, err, "password authentication failed")
		info, err := os.Stat(filepath.Join(dir, "postgres.password"))
		require.NoError(t, err)
		assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	})
	t.Run("is_found_by_its_directory_while_it_runs", func(t *testing.T) {
		found, err := devstack.RunningDatabase(dir)
		require.NoError(t, err)
		assert.Equal(t, pg.URL(), found)
		_, err = devstack.RunningDatabase(t.TempDir())
		require.ErrorIs(t, err, devstack.ErrNotRunning)
	})
	t.Run("keeps_port_and_data_over_a_restart", func(t *testing.T) {
		before := pg.URL()
		require.NoError(t, pg.Restart(t.Context()))
		assert.Equal(t, before, pg.URL())
		assert.Equal(t, "1", query(t, pg.URL(), "SELECT count(*)::text FROM kept"))
	})
	t.Run("comes_back_from_kill_with_its_stale_pid_file", func(t *testing.T) {
		exec(t, pg.URL(), "INSERT INTO kept VALUES (2)")
		pg.Kill()
		require.FileExists(t, filepath.Join(dir, "postgres", "postmaster.pid"))
		require.NoError(t, pg.Start(t.Context()))
		assert.Equal(t, "2", query(t, pg.URL(), "SELECT count(*)::text FROM kept"))
	})
	t.Run("is_taken_over_when_an_earlier_run_left_it_behind", func(t *testing.T) {
		next := startPostgres(t, devstack.PostgresOptions{Dir: dir, Port: port(t, pg.URL())})
		ended(t, pg.Done())
		assert.Equal(t, "2", query(t, next.URL(), "SELECT count(*)::text FROM kept"))
		require.NoError(t, next.Stop(t.Context()))
	})
	t.Run("is_not_fooled_by_a_reused_process_id", func(t *testing.T) {
		pidFile := filepath.Join(dir, "postgres", "postmaster.pid")
		require.NoError(t, os.WriteFile(pidFile, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o600))
		require.NoError(t, pg.Start(t.Context()), "and it does not end this process")
		assert.Equal(t, "2", query(t, pg.URL(), "SELECT count(*)::text FROM kept"))
	})
	t.Run("refuses_without_its_password", func(t *testing.T) {
		require.NoError(t, pg.Stop(t.Context()))
		_, err := devstack.RunningDatabase(dir)
		require.ErrorIs(t, err, devstack.ErrNotRunning)
		require.NoError(t, os.Remove(filepath.Join(dir, "postgres.password")))
		_, err = devstack.StartPostgres(t.Context(), devstack.PostgresOptions{Dir: dir})
		data := filepath.Join(dir, "postgres")
		require.ErrorContains(t, err, "restore the file, or move "+data+" away to start with empty data")
	})
	t.Run("refuses_data_of_a_release_that_is_not_installed", func(t *testing.T) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "postgres", "PG_VERSION"), []byte("9\n"), 0o600))
		_, err := devstack.StartPostgres(t.Context(), devstack.PostgresOptions{Dir: dir})
		require.ErrorContains(t, err, "needs PostgreSQL 9, which is not installed")
	})
}

func TestPostgres_names_who_holds_its_port(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	taken := listener.Addr().(*net.TCPAddr).Port

	_, err = devstack.StartPostgres(t.Context(), devstack.PostgresOptions{Dir: openDir(t), Port: taken, Fast: true})

	require.ErrorContains(
		t,
		err,
		"port "+strconv.Itoa(taken)+" for PostgreSQL is in use by process "+strconv.Itoa(os.Getpid()),
	)
	require.ErrorContains(t, err, "choose another port with GREENROOM_DEV_POSTGRES_PORT or --postgres-port")
	assert.NotContains(t, err.Error(), "\n", "one line")
}

// The path of a Unix socket is limited to 107 bytes. The path of a cluster can be longer.
func TestPostgres_in_a_long_path(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(openDir(t), strings.Repeat("long-", 30))

	pg := startPostgres(t, devstack.PostgresOptions{Dir: dir, Fast: true})

	assert.Equal(t, "off", query(t, pg.URL(), "SHOW fsync"))
}

func TestPostgres_of_root_where_no_other_user_may_enter(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root runs the cluster as another user")
	}
	closed := filepath.Join(openDir(t), "closed")
	require.NoError(t, os.Mkdir(closed, 0o700))
	dir := filepath.Join(closed, "data")
	var log bytes.Buffer

	stack, err := devstack.Start(
		t.Context(),
		devstack.Options{Dir: dir, TemporalAddress: "unused:1", Throwaway: true, Log: &log},
	)
	require.NoError(t, err)
	place, err := os.Readlink(filepath.Join(dir, "postgres"))
	require.NoError(t, err)
	assert.Contains(t, log.String(), "cannot enter "+dir+": its data is in "+place)
	assert.Equal(t, "1", query(t, stack.DatabaseURL, "SELECT '1'"))

	require.NoError(t, stack.Stop(context.WithoutCancel(t.Context())))
	assert.NoDirExists(t, filepath.Dir(place), "a throw-away cluster is removed wherever it is")
	assert.NoDirExists(t, dir)
}

func TestPostgres_of_root_refuses_data_of_root(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root has data of root")
	}
	dir := openDir(t)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "postgres"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "postgres", "PG_VERSION"), []byte("15\n"), 0o600))

	_, err := devstack.StartPostgres(t.Context(), devstack.PostgresOptions{Dir: dir})

	require.ErrorContains(t, err, "belongs to root, and PostgreSQL refuses to run as root")
}

func TestPostgres_recovers_from_an_interrupted_first_start(t *testing.T) {
	t.Parallel()
	dir := openDir(t)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "postgres.new"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "postgres.new", "PG_VERSION"), []byte("15\n"), 0o600))

	pg := startPostgres(t, devstack.PostgresOptions{Dir: dir, Fast: true})

	assert.Equal(t, "1", query(t, pg.URL(), "SELECT '1'"))
	assert.NoDirExists(t, filepath.Join(dir, "postgres.new"))
}

func TestPostgres_does_not_touch_what_is_not_a_cluster(t *testing.T) {
	t.Parallel()
	dir := openDir(t)
	precious := filepath.Join(dir, "postgres", "thesis.txt")
	require.NoError(t, os.Mkdir(filepath.Dir(precious), 0o700))
	require.NoError(t, os.WriteFile(precious, nil, 0o600))

	_, err := devstack.StartPostgres(t.Context(), devstack.PostgresOptions{Dir: dir})

	require.ErrorContains(t, err, "is not a PostgreSQL cluster: move it away to start with empty data")
	assert.FileExists(t, precious)
}

func startPostgres(t *testing.T, opts devstack.PostgresOptions) *devstack.Postgres {
	t.Helper()
	pg, err := devstack.StartPostgres(t.Context(), opts)
	require.NoError(t, err)
	t.Cleanup(func() { _ = pg.Stop(context.Background()) }) // often stopped already
	return pg
}

func exec(t *testing.T, url, statement string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	_, err = conn.Exec(t.Context(), statement)
	require.NoError(t, err)
}

func query(t *testing.T, url, statement string) (result string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	require.NoError(t, conn.QueryRow(t.Context(), statement).Scan(&result))
	return result
}

func port(t *testing.T, url string) int {
	t.Helper()
	config, err := pgx.ParseConfig(url)
	require.NoError(t, err)
	return int(config.Port)
}

func ended(t *testing.T, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Fatal("still running")
	}
}

// openDir returns a temporary directory that PostgreSQL's user can access, unlike t.TempDir.
func openDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if os.Geteuid() == 0 {
		require.NoError(t, os.Chmod(filepath.Dir(dir), 0o711))
	}
	return dir
}

package pg_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"golang.org/x/sync/errgroup"

	"greenroom/db/dbtest"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// pooler starts PgBouncer in transaction mode in front of a database, with settings, and returns a URL through it. The
// test is skipped where PgBouncer is not installed.
func pooler(t *testing.T, database, settings string) string {
	t.Helper()
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		t.Skip("pgbouncer is not installed")
	}
	u, err := url.Parse(database)
	require.NoError(t, err)
	host, port := u.Hostname(), u.Port()
	if q := u.Query(); q.Get("host") != "" {
		host, port = q.Get("host"), q.Get("port")
	}
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	mine := ln.Addr().(*net.TCPAddr).Port
	require.NoError(t, ln.Close())
	dir, err := os.MkdirTemp("", "pooler")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o755))
	password, _ := u.User.Password()
	file := filepath.Join(dir, "pgbouncer.ini")
	require.NoError(t, os.WriteFile(file, fmt.Appendf(nil, `[databases]
* = host=%s port=%s user=%s password='%s'
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = any
pool_mode = transaction
%s
`, host, port, u.User.Username(), password, mine, settings), 0o644))
	args := []string{"-q", file}
	if os.Geteuid() == 0 {
		args = append([]string{"-u", "nobody"}, args...)
	}
	run := exec.CommandContext(t.Context(), program, args...)
	run.Stderr = os.Stderr
	require.NoError(t, run.Start())
	t.Cleanup(func() { _ = run.Process.Kill(); _ = run.Wait() })
	at := net.JoinHostPort("127.0.0.1", fmt.Sprint(mine))
	require.Eventually(t, func() bool {
		c, err := new(net.Dialer).DialContext(context.WithoutCancel(t.Context()), "tcp", at)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	}, time.Minute, 20*time.Millisecond)
	return fmt.Sprintf("postgres://%s@%s%s?sslmode=disable", u.User.Username(), at, u.Path)
}

const accepted = "ignore_startup_parameters = idle_in_transaction_session_timeout, tcp_user_timeout, plan_cache_mode, " +
	"enable_seqscan, enable_hashjoin, enable_mergejoin"

// TestBehindAPooler: a pooler that refuses the parameters is an error that says what to set. With that setting, and
// without kept statements, connections that change with each transaction serve the engine.
func TestBehindAPooler(t *testing.T) {
	d, database := dbtest.NewURL(t)
	_, err := pg.Open(t.Context(), pg.Options{URL: pooler(t, database, "")})
	require.ErrorContains(t, err, "ignore_startup_parameters = enable_hashjoin, enable_mergejoin, enable_seqscan, "+
		"plan_cache_mode, idle_in_transaction_session_timeout, tcp_user_timeout")
	require.True(t, pg.RefusesParameters(err))

	through := pooler(t, database, accepted+"\ndefault_pool_size = 2")
	t.Cleanup(pg.ForgetPooler)
	pooled, err := pg.Open(t.Context(), pg.Options{URL: through, Engine: true, MaxConns: 10})
	require.NoError(t, err)
	t.Cleanup(func() { _ = pooled.Close() })
	hook := pg.NewID()
	_, err = d.ExecContext(t.Context(), `INSERT INTO webhooks (id, profile, url, events, secret, max_retries, timeout_ms,
		rate_limit, created_at, updated_at) VALUES (?, 'standard', 'https://receiver.test/', '{}', '', 3, 1000, 100, now(), now())`,
		hook)
	require.NoError(t, err)
	for range 20 {
		_, err := d.ExecContext(
			t.Context(),
			"INSERT INTO delivery_queue (webhook_id, delivery_id) VALUES (?, uuid_v7())",
			hook,
		)
		require.NoError(t, err)
		require.NoError(t, pg.InTx(t.Context(), pooled, func(ctx context.Context, tx bun.Tx) error {
			t, err := delivery.TakeDeliveries(ctx, tx, delivery.TakeOptions{Limit: 9, PerFlow: 9, PerFailing: 9})
			if err == nil && len(t.Limited) != 1 {
				err = fmt.Errorf("%+v", t)
			}
			return err
		}))
		_, err = delivery.DealTokens(t.Context(), pooled, uuid.New(), []delivery.TokenRequest{{Webhook: hook, Room: 1}})
		require.NoError(t, err)
		_, err = delivery.TakeToken(t.Context(), pooled, hook, 100, nil)
		require.NoError(t, err)
	}
}

// TestOrderBehindAPooler: writers, movers of lines and a receiver whose transactions share a few sessions keep the order
// of each subject, and nothing of a mover's transaction stays in its session.
func TestOrderBehindAPooler(t *testing.T) {
	d, database := dbtest.NewURL(t)
	through := pooler(t, database, accepted+"\ndefault_pool_size = 4")
	t.Cleanup(pg.ForgetPooler)
	open := func() *bun.DB {
		pooled, err := pg.Open(t.Context(), pg.Options{URL: through, Engine: true, MaxConns: 6})
		require.NoError(t, err)
		t.Cleanup(func() { _ = pooled.Close() })
		return pooled
	}
	const writers, each, subjects = 4, 40, 3
	_, err := d.ExecContext(t.Context(), `INSERT INTO webhooks (id, profile, url, events, secret, max_retries, timeout_ms,
		ordering, is_active, created_at, updated_at) VALUES (uuid_v7(), 'standard', 'https://receiver.test/', '{job.*}', '', 3,
		1000, 'subject', true, now(), now())`)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var work, moved errgroup.Group
	for range writers {
		db := open()
		work.Go(func() error {
			for i := range each {
				subject := fmt.Sprint(i % subjects)
				err := pg.InTx(t.Context(), db, func(ctx context.Context, tx bun.Tx) error {
					_, err := delivery.RecordEvent(
						ctx,
						tx,
						&delivery.Event{Type: "job.created", Data: []byte("{}"), Subject: &subject},
					)
					time.Sleep(time.Duration(rand.IntN(5)) * time.Millisecond)
					return err
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	for range 2 {
		db := open()
		moved.Go(func() error {
			lines := delivery.NewLines(db)
			for ctx.Err() == nil {
				if changed, err := lines.Changed(t.Context()); err != nil || !changed {
					if err != nil {
						return err
					}
					continue
				}
				if _, err := lines.Move(t.Context(), 10); err != nil {
					return err
				}
			}
			return nil
		})
	}
	last := map[string]int64{}
	for sent := 0; sent < writers*each; {
		var ids []uuid.UUID
		require.NoError(t, d.NewRaw("DELETE FROM delivery_queue RETURNING delivery_id").Scan(t.Context(), &ids))
		for _, id := range ids {
			var subject string
			var sequence int64
			require.NoError(
				t,
				d.NewRaw(`UPDATE deliveries SET status = 'succeeded' WHERE id = ? RETURNING subject, sequence`, id).
					Scan(t.Context(), &subject, &sequence),
			)
			require.Greater(t, sequence, last[subject])
			last[subject] = sequence
			sent++
		}
		require.NoError(t, t.Context().Err())
	}
	require.NoError(t, work.Wait())
	stop()
	require.NoError(t, moved.Wait())
	db := open()
	for range 20 {
		var idle string
		require.NoError(t, db.NewRaw("SHOW idle_in_transaction_session_timeout").Scan(t.Context(), &idle))
		require.Equal(t, "0", idle)
	}
}

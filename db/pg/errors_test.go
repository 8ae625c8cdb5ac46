package pg_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"greenroom/db/dbtest"
	"greenroom/db/pg"
)

func TestIsUnavailable(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	query := func(q string, args ...any) error {
		_, err := d.DB.ExecContext(t.Context(), q, args...)
		require.Error(t, err)
		return err
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, closed.Close())
	_, refused := pg.Open(t.Context(), pg.Options{URL: "postgres://nobody@" + closed.Addr().String() + "/none"})
	late, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_, slow := d.DB.ExecContext(late, "SELECT pg_sleep(10)")

	for name, tc := range map[string]struct {
		err  error
		want bool
	}{
		"nothing":                     {nil, false},
		"connection_refused":          {refused, true},
		"connection_terminated":       {query("SELECT pg_terminate_backend(pg_backend_pid())"), true},
		"connection_broken":           {fmt.Errorf("read: %w", io.ErrUnexpectedEOF), true},
		"no_answer_in_time":           {slow, true},
		"deadlock":                    {&pgconn.PgError{Code: "40P01"}, true},
		"too_many_connections":        {&pgconn.PgError{Code: "53300"}, true},
		"read_only":                   {query("BEGIN READ ONLY; CREATE TABLE t ()"), true},
		"refused_statement":           {query("SELECT 1 / 0"), false},
		"argument_cannot_be_encoded":  {query("SELECT $1::int", "no number"), false},
		"another_fault_of_our_own":    {fmt.Errorf("render: %w", io.ErrShortWrite), false},
		"the_caller_has_gone":         {context.Canceled, false},
		"unique_value_is_there_twice": {&pgconn.PgError{Code: "23505"}, false},
	} {
		require.Equal(t, tc.want, pg.IsUnavailable(tc.err), "%s: %v", name, tc.err)
	}
}

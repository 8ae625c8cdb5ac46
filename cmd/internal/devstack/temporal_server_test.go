package devstack_test

import (
	"context"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/sdk/client"

	"greenroom/cmd/internal/devstack"
)

// TestTemporalServer needs the full server, which takes minutes to build. It runs only if `greenroom bench` has built
// it.
func TestTemporalServer(t *testing.T) {
	t.Parallel()
	programs, there := devstack.TemporalServerThere()
	if !there {
		t.Skip("the full Temporal server is not built: greenroom bench builds it")
	}
	dir := openDir(t)
	postgres, err := devstack.StartPostgres(t.Context(), devstack.PostgresOptions{Dir: dir, Fast: true})
	require.NoError(t, err)
	t.Cleanup(func() { _ = postgres.Stop(context.Background()) })
	server, err := devstack.StartTemporalServer(t.Context(), devstack.TemporalServerOptions{
		Postgres: postgres, Dir: dir, LeanIndexes: true, Programs: programs, Log: os.Stderr,
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = server.Stop(context.Background()) })

	c, err := client.Dial(client.Options{HostPort: server.Address()})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	list, err := c.OperatorService().
		ListSearchAttributes(t.Context(), &operatorservice.ListSearchAttributesRequest{Namespace: "default"})
	require.NoError(t, err)
	for _, a := range devstack.SearchAttributes {
		require.Equal(t, a.Type, list.CustomAttributes[a.Name].String(), a.Name)
	}
	conn, err := pgx.Connect(t.Context(), server.VisibilityURL())
	require.NoError(t, err)
	defer conn.Close(context.Background())
	var indexes int
	require.NoError(
		t,
		conn.QueryRow(t.Context(), "SELECT count(*) FROM pg_indexes WHERE tablename = 'executions_visibility'").
			Scan(&indexes),
	)
	require.Equal(t, 23, indexes, "of 74")

	require.NoError(t, server.Stop(t.Context()))
	require.NoError(t, server.Start(t.Context()))
	require.NoError(t, devstack.CheckTemporal(t.Context(), server.Address()), "the namespace is kept")
}

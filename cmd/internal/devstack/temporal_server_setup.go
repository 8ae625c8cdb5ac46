package devstack

import (
	"context"
	_ "embed" // the SQL below
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	namespacepb "go.temporal.io/api/namespace/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/types/known/durationpb"
)

// leanVisibility drops indexes of the visibility database. The file explains which and why.
//
//go:embed temporal_server_lean.sql
var leanVisibility string

// namespaceLimit covers the time in which a new server's services discover each other.
const namespaceLimit = time.Minute

// makeDatabases creates or updates the schema of both databases.
func (t *TemporalServer) makeDatabases(ctx context.Context) error {
	for _, store := range []struct{ database, schema string }{
		{temporalDatabase, "postgresql/v12/temporal"}, {visibilityDatabase, "postgresql/v12/visibility"},
	} {
		made, err := t.createDatabase(ctx, store.database)
		if err != nil {
			return err
		}
		if made {
			err = t.sql(ctx, store.database, "setup-schema", "-v", "0.0")
		}
		if err := errors.Join(err, t.sql(ctx, store.database, "update-schema", "--schema-name", store.schema)); err != nil {
			return err
		}
	}
	if !t.opts.LeanIndexes {
		return nil
	}
	return t.execute(ctx, visibilityDatabase, leanVisibility)
}

func (t *TemporalServer) createDatabase(ctx context.Context, name string) (made bool, err error) {
	conn, err := pgx.Connect(ctx, t.opts.Postgres.URL())
	if err != nil {
		return false, fmt.Errorf("connect: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var exists bool
	query := "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)"
	if err := conn.QueryRow(ctx, query, name).Scan(&exists); err != nil {
		return false, fmt.Errorf("look for the database %s: %w", name, err)
	}
	if exists {
		return false, nil
	}
	if _, err := conn.Exec(ctx, "CREATE DATABASE "+name); err != nil {
		return false, fmt.Errorf("create the database %s: %w", name, err)
	}
	return true, nil
}

func (t *TemporalServer) execute(ctx context.Context, database, sql string) error {
	conn, err := pgx.Connect(ctx, t.opts.Postgres.url(database))
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, sql); err != nil {
		return fmt.Errorf("change %s: %w", database, err)
	}
	return nil
}

// sql runs Temporal's schema tool. The password is in the environment because every user can see a command line.
func (t *TemporalServer) sql(ctx context.Context, database string, args ...string) error {
	host, port, _ := net.SplitHostPort(loopback(t.opts.Postgres.opts.Port)) // always valid
	cmd := command(ctx, t.opts.Programs.SQL, append([]string{
		"--plugin", "postgres12_pgx", "--endpoint", host, "--port", port, "--user", postgresName, "--database", database,
	}, args...)...)
	cmd.Env = append(os.Environ(), "SQL_PASSWORD="+t.opts.Postgres.password)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s of the database %s: %w: %s", args[0], database, reason(ctx, err), lastLine(out))
	}
	return nil
}

func (t *TemporalServer) healthy(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	c, err := client.DialContext(ctx, client.Options{HostPort: t.Address(), Logger: silentLogger()})
	if err != nil {
		return fmt.Errorf("dial Temporal: %w", err)
	}
	defer c.Close()
	if _, err := c.CheckHealth(ctx, &client.CheckHealthRequest{}); err != nil {
		return fmt.Errorf("check Temporal's health: %w", err)
	}
	return nil
}

// registerNamespace creates "default", which keeps closed workflows for a day, and adds the search attributes.
func registerNamespace(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, namespaceLimit)
	defer cancel()
	c, err := client.DialContext(ctx, client.Options{HostPort: address, Logger: silentLogger()})
	if err != nil {
		return fmt.Errorf("dial Temporal: %w", err)
	}
	defer c.Close()
	_, err = c.WorkflowService().RegisterNamespace(ctx, &workflowservice.RegisterNamespaceRequest{
		Namespace: client.DefaultNamespace, WorkflowExecutionRetentionPeriod: durationpb.New(24 * time.Hour),
	})
	var exists *serviceerror.NamespaceAlreadyExists
	if err != nil && !errors.As(err, &exists) {
		return fmt.Errorf("register the namespace: %w", err)
	}
	return nameAttributes(ctx, c)
}

// nameAttributes assigns each search attribute a column, the first ones of its type. Without it the
// server chooses any free column, so the used indexes would be unknown.
func nameAttributes(ctx context.Context, c client.Client) error {
	aliases, taken := map[string]string{}, map[string]int{}
	for _, a := range SearchAttributes {
		taken[a.Type]++
		aliases[fmt.Sprintf("%s%02d", a.Type, taken[a.Type])] = a.Name
	}
	request := &workflowservice.UpdateNamespaceRequest{
		Namespace: client.DefaultNamespace, Config: &namespacepb.NamespaceConfig{CustomSearchAttributeAliases: aliases},
	}
	for {
		_, err := c.WorkflowService().UpdateNamespace(ctx, request)
		if err == nil {
			return nil
		}
		if sleep(ctx, 100*time.Millisecond) != nil {
			return fmt.Errorf("name the search attributes: %w", err)
		}
	}
}

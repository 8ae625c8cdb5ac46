package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	"go.temporal.io/sdk/log"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"greenroom/cmd/internal/config"
)

// TemporalOptions returns the options to connect to Temporal. What Greenroom's settings do not set comes from
// Temporal's variables (TEMPORAL_TLS, TEMPORAL_API_KEY, …) and, when TEMPORAL_CONFIG_FILE or TEMPORAL_PROFILE is set,
// from a profile of its configuration file.
func TemporalOptions(cfg config.Config) (client.Options, error) {
	t := cfg.Temporal
	if t.Managed {
		return client.Options{HostPort: t.Address, Namespace: t.Namespace}, nil
	}
	noFile := os.Getenv("TEMPORAL_CONFIG_FILE") == "" && os.Getenv("TEMPORAL_PROFILE") == ""
	o, err := envconfig.LoadClientOptions(envconfig.LoadClientOptionsRequest{
		DisableFile: noFile, ConfigFileStrict: true, EnvLookup: settingsFirst(t),
	})
	if err != nil {
		return client.Options{}, fmt.Errorf("read Temporal's settings (TEMPORAL_*): %w", err)
	}
	if o.HostPort == "" || cfg.Explicit("temporal.address") {
		o.HostPort = t.Address
	}
	if o.Namespace == "" || cfg.Explicit("temporal.namespace") {
		o.Namespace = t.Namespace
	}
	return o, nil
}

// settingsFirst returns the environment in which Greenroom's settings replace Temporal's variables.
func settingsFirst(t config.Temporal) envconfig.EnvLookup {
	first := replacedVariables{
		"TEMPORAL_API_KEY": t.APIKey, "TEMPORAL_TLS_SERVER_CA_CERT_PATH": t.CAFile,
		"TEMPORAL_TLS_CLIENT_CERT_PATH": t.CertFile, "TEMPORAL_TLS_CLIENT_KEY_PATH": t.KeyFile,
		"TEMPORAL_TLS_SERVER_NAME": t.ServerName,
	}
	if t.TLS {
		first["TEMPORAL_TLS"] = "true"
	}
	return first
}

// replacedVariables are variables with other values than those of the process; empty: that of the process counts.
type replacedVariables map[string]string

// Environ implements [envconfig.EnvLookup], for the variables TEMPORAL_GRPC_META_….
func (replacedVariables) Environ() []string { return os.Environ() }

// LookupEnv implements [envconfig.EnvLookup].
func (r replacedVariables) LookupEnv(name string) (string, bool) {
	if value := r[name]; value != "" {
		return value, true
	}
	return os.LookupEnv(name)
}

// reconnect configures the retries of a lost connection to Temporal. The SDK's default waits up to 10 s between tries,
// which would delay every delivery after a restart of the server.
var reconnect = grpc.ConnectParams{
	Backoff: backoff.Config{
		BaseDelay:  200 * time.Millisecond,
		Multiplier: 1.6,
		Jitter:     0.2,
		MaxDelay:   time.Second,
	},
	MinConnectTimeout: 5 * time.Second,
}

// dialRetry is the pause between tries to connect to Temporal or PostgreSQL at the start.
const dialRetry = time.Second

// dial connects to Temporal, and retries until it succeeds or ctx ends.
func dial(ctx context.Context, o client.Options, logger *slog.Logger) (client.Client, error) {
	o.Logger = log.NewStructuredLogger(quieter(logger))
	o.MetricsHandler = sdkHandler
	c := &o.ConnectionOptions
	c.DialOptions = append(c.DialOptions, grpc.WithChainUnaryInterceptor(countStarts), grpc.WithConnectParams(reconnect))
	// A frozen or unreachable server is detected after 15 s instead of 45.
	c.KeepAliveTime, c.KeepAliveTimeout = 10*time.Second, 5*time.Second
	// Messages are small and the network is fast: compression costs more than it saves.
	c.GrpcCompression = &client.GrpcCompressionNone{}
	logged := false
	for {
		c, err := client.DialContext(ctx, o)
		if err == nil {
			return c, nil
		}
		if !logged {
			logger.WarnContext(ctx, "waiting for Temporal", "address", o.HostPort, "namespace", o.Namespace, "error", err)
			logged = true
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("reach Temporal at %s: %w", o.HostPort, err), ctx.Err())
		case <-time.After(dialRetry):
		}
	}
}

package devstack

import (
	"fmt"
	"math/rand/v2"
	"net"
	"path/filepath"
	"strings"
	"text/template"
)

const (
	temporalDatabase   = "temporal"
	visibilityDatabase = "temporal_visibility"
)

// serverConfig is the server's configuration: one process, one node, four history shards (as many as Temporal's own
// example for PostgreSQL; more do not help on a small machine). Each of the four services has its own connections:
// 4 × (20 + 5), which leaves enough for Greenroom on a server that allows 200. The plugin postgres12_pgx
// prepares each statement once; postgres12 plans it at each call, for two round trips.
var serverConfig = template.Must(template.New("temporal").Parse(`log:
  stdout: true
  level: warn
persistence:
  defaultStore: default
  visibilityStore: visibility
  numHistoryShards: 4
  datastores:
{{- range .Stores}}
    {{.Name}}:
      sql:
        pluginName: postgres12_pgx
        databaseName: {{.Database}}
        connectAddr: {{$.Postgres}}
        connectProtocol: tcp
        user: {{$.User}}
        password: "{{$.Password}}"
        maxConns: {{.Conns}}
        maxIdleConns: {{.Conns}}
        maxConnLifetime: 1h
{{- end}}
global:
  membership:
    maxJoinDuration: 30s
    broadcastAddress: 127.0.0.1
services:
{{- range .Services}}
  {{.Name}}:
    rpc:
      grpcPort: {{.Port}}
      membershipPort: {{.Membership}}
      bindOnLocalHost: true
{{- end}}
clusterMetadata:
  enableGlobalNamespace: false
  failoverVersionIncrement: 10
  masterClusterName: active
  currentClusterName: active
  clusterInformation:
    active:
      enabled: true
      initialFailoverVersion: 1
      rpcName: frontend
      rpcAddress: {{.Address}}
dcRedirectionPolicy:
  policy: noop
dynamicConfigClient:
  filepath: {{.Dynamic}}
  pollInterval: 10m
`))

type serverStore struct {
	Name, Database string
	Conns          int
}

type serverService struct {
	Name             string
	Port, Membership int
}

func (t *TemporalServer) configFile() string {
	return filepath.Join(t.opts.Dir, "temporal-server.yaml")
}

// writeConfig writes the server's two files. Only this user can read them, since one contains the password.
func (t *TemporalServer) writeConfig() error {
	services, err := t.services()
	if err != nil {
		return err
	}
	dynamic := filepath.Join(t.opts.Dir, "temporal-server-dynamic.yaml")
	if err := writeFile(dynamic, dynamicConfig(temporalSettings)); err != nil {
		return err
	}
	var text strings.Builder
	err = serverConfig.Execute(&text, map[string]any{
		"Postgres": loopback(t.opts.Postgres.opts.Port), "User": postgresName, "Password": t.opts.Postgres.password,
		"Stores":   []serverStore{{"default", temporalDatabase, 20}, {"visibility", visibilityDatabase, 5}},
		"Services": services, "Address": t.Address(), "Dynamic": dynamic,
	})
	if err != nil {
		return fmt.Errorf("write the Temporal server's settings: %w", err)
	}
	return writeFile(t.configFile(), text.String())
}

func (t *TemporalServer) services() ([]serverService, error) {
	names := []string{"frontend", "matching", "history", "worker"}
	ports, err := lowPorts(2 * len(names))
	if err != nil {
		return nil, err
	}
	services := make([]serverService, len(names))
	for i, name := range names {
		services[i] = serverService{name, ports[2*i], ports[2*i+1]}
	}
	services[0].Port = t.opts.Port
	return services, nil
}

// Temporal stores membership ports in a smallint column on PostgreSQL, so they must be below 32768. That is also
// below Linux's range for outgoing connections, so they are unlikely to be taken before the server starts.
const (
	lowestPort  = 15_000
	highestPort = 32_767
)

func lowPorts(n int) ([]int, error) {
	ports := make([]int, 0, n)
	for range 1000 {
		port := lowestPort + rand.IntN(highestPort-lowestPort) //nolint:gosec // no secret
		listener, err := net.Listen("tcp", loopback(port))     //nolint:noctx // immediate
		if err != nil {
			continue // in use
		}
		defer listener.Close() // closed at the end, so that the ports differ
		ports = append(ports, port)
		if len(ports) == n {
			return ports, nil
		}
	}
	return nil, fmt.Errorf("find %d free ports between %d and %d for the Temporal server", n, lowestPort, highestPort)
}

// dynamicConfig converts settings of the form name=value to the format of the full server's file.
func dynamicConfig(settings []string) string {
	var text strings.Builder
	for _, setting := range settings {
		name, value, _ := strings.Cut(setting, "=")
		fmt.Fprintf(&text, "%s:\n  - value: %s\n", name, value)
	}
	return text.String()
}

package config_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"greenroom/cmd/internal/config"
)

const top = "../../.."

// files returns the files below a directory of the repository whose names have the suffix.
func files(t *testing.T, dir string, endings ...string) (paths []string) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(top, dir), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() &&
			slices.ContainsFunc(endings, func(e string) bool { return strings.HasSuffix(path, e) }) {
			paths = append(paths, path)
		}
		return err
	})
	require.NoError(t, err)
	require.NotEmpty(t, paths, "%s %v", dir, endings)
	return paths
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return data
}

// Every document of a YAML file parses without duplicate keys. A Kubernetes document has kind and apiVersion.
func TestDeployment_files_parse(t *testing.T) {
	t.Parallel()
	for _, path := range append(files(t, "deploy", ".yaml"), files(t, ".github", ".yml")...) {
		decoder := yaml.NewDecoder(bytes.NewReader(read(t, path)))
		for n := 0; ; n++ {
			var doc map[string]any
			err := decoder.Decode(&doc)
			if errors.Is(err, io.EOF) {
				require.NotZero(t, n, path)
				break
			}
			require.NoError(t, err, path)
			if strings.Contains(path, "kubernetes") {
				assert.Contains(t, doc, "apiVersion", path)
				assert.Contains(t, doc, "kind", path)
				assert.Contains(t, doc, "metadata", path)
			}
		}
	}
	for _, path := range files(t, "deploy", ".json") {
		assert.True(t, json.Valid(read(t, path)), path)
	}
}

// An overlay takes what kustomization.yaml lists. An example among it would replace a real Secret, or need what a cluster
// does not have; a file that is left out would not be installed.
func TestDeployment_base_lists_all_but_the_examples(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(top, "deploy/kubernetes")
	var base struct {
		Resources []string
		Images    []struct{ Name string }
	}
	require.NoError(t, yaml.Unmarshal(read(t, filepath.Join(dir, "kustomization.yaml")), &base))
	var others []string
	for _, path := range files(t, "deploy/kubernetes", ".yaml") {
		name := filepath.Base(path)
		if !slices.Contains(base.Resources, name) {
			others = append(others, name)
			continue
		}
		for _, image := range regexp.MustCompile(`image: ([^:\s]+)`).FindAllStringSubmatch(string(read(t, path)), -1) {
			assert.Equal(t, base.Images[0].Name, image[1], "an overlay cannot set the image of %s", name)
		}
		assert.NotContains(t, string(read(t, path)), "kind: Secret", name)
	}
	assert.ElementsMatch(t, []string{
		"kustomization.yaml", "migrate.yaml", "secret.example.yaml", "ingress.example.yaml", "podmonitor.example.yaml",
	}, others)
	for _, name := range base.Resources {
		assert.FileExists(t, filepath.Join(dir, name))
	}
}

// A policy or monitor whose labels or port no pod has selects nothing, without an error.
func TestDeployment_selects_pods_that_exist(t *testing.T) {
	t.Parallel()
	type labels = map[string]string
	type meta struct{ Labels labels }
	type selector struct {
		MatchLabels labels `yaml:"matchLabels"`
	}
	type port struct{ Port any }
	var pods []labels
	ports := map[string][]string{} // component → named ports
	type selecting struct {
		file, component string
		labels          labels
		ports           []any
	}
	var all []selecting
	for _, path := range files(t, "deploy/kubernetes", ".yaml") {
		decoder := yaml.NewDecoder(bytes.NewReader(read(t, path)))
		for {
			var doc struct {
				Kind string
				Spec struct {
					Template struct {
						Metadata meta
						Spec     struct {
							Containers []struct{ Ports []struct{ Name string } }
						}
					}
					PodSelector         selector `yaml:"podSelector"`
					Selector            yaml.Node
					PodMetricsEndpoints []port `yaml:"podMetricsEndpoints"`
					Ingress             []struct{ Ports []port }
				}
			}
			err := decoder.Decode(&doc)
			if errors.Is(err, io.EOF) {
				break
			}
			require.NoError(t, err, path)
			s := selecting{file: filepath.Base(path)}
			switch doc.Kind {
			case "Deployment", "Job":
				of := doc.Spec.Template.Metadata.Labels
				pods = append(pods, of)
				for _, c := range doc.Spec.Template.Spec.Containers {
					for _, p := range c.Ports {
						component := of["app.kubernetes.io/component"]
						ports[component] = append(ports[component], p.Name)
					}
				}
				continue
			case "NetworkPolicy":
				s.labels = doc.Spec.PodSelector.MatchLabels
				for _, rule := range doc.Spec.Ingress {
					for _, p := range rule.Ports {
						s.ports = append(s.ports, p.Port)
					}
				}
			case "PodMonitor":
				var chosen selector
				require.NoError(t, doc.Spec.Selector.Decode(&chosen))
				s.labels = chosen.MatchLabels
				for _, p := range doc.Spec.PodMetricsEndpoints {
					s.ports = append(s.ports, p.Port)
				}
			default:
				continue
			}
			s.component = s.labels["app.kubernetes.io/component"]
			all = append(all, s)
		}
	}
	require.Len(t, all, 5)
	for _, s := range all {
		assert.Contains(t, pods, s.labels, s.file)
		for _, p := range s.ports {
			assert.Contains(t, ports[s.component], p, s.file)
		}
	}
}

// Docker makes an empty directory of a mounted file that does not exist, and Compose waits for a service that no file has.
func TestDeployment_compose_names_files_and_services_that_exist(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(top, "deploy")
	var compose struct {
		Services map[string]struct {
			Image     string
			Volumes   []string
			DependsOn yaml.Node `yaml:"depends_on"`
		}
		Volumes map[string]any
	}
	require.NoError(t, yaml.Unmarshal(read(t, filepath.Join(dir, "compose.yaml")), &compose))
	mounted := 0
	for name, service := range compose.Services {
		for _, volume := range service.Volumes {
			source, _, _ := strings.Cut(volume, ":")
			if !strings.HasPrefix(source, ".") {
				assert.Contains(t, compose.Volumes, source, name)
				continue
			}
			mounted++
			_, err := os.Stat(filepath.Join(dir, source))
			require.NoError(t, err, name)
		}
		var needs map[string]any
		if service.DependsOn.Kind == yaml.SequenceNode {
			needs = map[string]any{}
			for _, n := range service.DependsOn.Content {
				needs[n.Value] = nil
			}
		} else {
			require.NoError(t, service.DependsOn.Decode(&needs), name)
		}
		for needed := range needs {
			assert.Contains(t, compose.Services, needed, name)
		}
	}
	require.Positive(t, mounted)
	schema, server := compose.Services["temporal-schema"].Image, compose.Services["temporal"].Image
	_, tools, _ := strings.Cut(schema, ":")
	_, version, _ := strings.Cut(server, ":")
	assert.Equal(t, version, tools, "the tool makes the schema that the server needs")
}

// Whoever an alert wakes follows it to a section of the runbook.
func TestDeployment_runbook_has_a_section_for_each_alert(t *testing.T) {
	t.Parallel()
	const page = "deploy/prometheus/runbook.md"
	var rules struct {
		Groups []struct {
			Rules []struct {
				Alert       string
				Annotations map[string]string
			}
		}
	}
	require.NoError(t, yaml.Unmarshal(read(t, filepath.Join(top, "deploy/prometheus/alerts.yaml")), &rules))
	var alerts, sections []string
	for _, rule := range rules.Groups[0].Rules {
		alerts = append(alerts, rule.Alert)
		assert.Equal(t, page+"#"+strings.ToLower(rule.Alert), rule.Annotations["runbook"])
	}
	for _, m := range regexp.MustCompile(`(?m)^## (.+)$`).FindAllSubmatch(read(t, filepath.Join(top, page)), -1) {
		sections = append(sections, string(m[1]))
	}
	require.NotEmpty(t, alerts)
	assert.Equal(t, alerts, sections)
}

// A panel that does not take the variables shows all processes whatever is chosen.
func TestDeployment_dashboard_panels_take_the_variables(t *testing.T) {
	t.Parallel()
	var dashboard struct {
		Templating struct{ List []struct{ Name string } }
		Panels     []struct {
			ID      int
			Type    string
			Title   string
			Targets []struct{ Expr string }
		}
	}
	require.NoError(t, json.Unmarshal(read(t, filepath.Join(top, "deploy/grafana/dashboard.json")), &dashboard))
	var variables []string
	for _, v := range dashboard.Templating.List {
		variables = append(variables, v.Name)
	}
	assert.Equal(t, []string{"datasource", "job", "instance"}, variables)
	ids := map[int]bool{}
	for _, panel := range dashboard.Panels {
		assert.False(t, ids[panel.ID], "panel %d", panel.ID)
		ids[panel.ID] = true
		assert.Equal(t, panel.Type == "row", len(panel.Targets) == 0, panel.Title)
		for _, target := range panel.Targets {
			series := regexp.MustCompile(`\b(greenroom|temporal)_[a-z_]+`).FindAllString(target.Expr, -1)
			assert.NotEmpty(t, series, panel.Title)
			assert.Equal(t, len(series), strings.Count(target.Expr, `{job=~"$job", instance=~"$instance"`), panel.Title)
		}
	}
}

// A release fails at its tag, after everything else has passed, if a file that it packs was renamed.
func TestDeployment_release_packs_files_that_exist(t *testing.T) {
	t.Parallel()
	var release struct {
		NFPMs []struct {
			Contents []struct{ Src string }
			Scripts  map[string]string
		} `yaml:"nfpms"`
		Images []struct{ Dockerfile string } `yaml:"dockers_v2"`
	}
	require.NoError(t, yaml.Unmarshal(read(t, filepath.Join(top, ".goreleaser.yaml")), &release))
	sources := []string{release.Images[0].Dockerfile}
	for _, content := range release.NFPMs[0].Contents {
		if !strings.HasPrefix(content.Src, ".build/") { // made by .ci/generated
			sources = append(sources, content.Src)
		}
	}
	for _, script := range release.NFPMs[0].Scripts {
		sources = append(sources, script)
	}
	require.Greater(t, len(sources), 5)
	for _, source := range sources {
		found, err := filepath.Glob(filepath.Join(top, source))
		require.NoError(t, err)
		assert.NotEmpty(t, found, source)
	}
}

// otherVariables are not settings: those of dev.env, the receiver's secret, tests and Compose.
var otherVariables = []string{
	"GREENROOM_CONFIG", "GREENROOM_URL", "GREENROOM_API_KEY", "GREENROOM_WEBHOOK_SECRET", "GREENROOM_IMAGE",
	"GREENROOM_TEST_DATABASE_URL", "GREENROOM_TEST_TEMPORAL_ADDRESS", "GREENROOM_TEST_TEMPORAL_BIN",
	"GREENROOM_TEST_CHROMIUM", "GREENROOM_SCREENSHOTS",
}

// A variable that is not a setting would be ignored.
func TestDeployment_and_documentation_name_settings_that_exist(t *testing.T) {
	t.Parallel()
	known := slices.Clone(otherVariables)
	for _, s := range config.Describe() {
		known = append(known, s.Env)
	}
	paths := append(
		files(t, "deploy", ".yaml", ".md", "Dockerfile", ".env", ".service"),
		filepath.Join(top, "README.md"),
		filepath.Join(top, "CONTRIBUTING.md"),
	)
	for _, path := range paths {
		for _, name := range regexp.MustCompile(`\bGREENROOM_[A-Z_]+\b`).FindAllString(string(read(t, path)), -1) {
			assert.Contains(t, known, name, path)
		}
	}
}

// An alert on a metric that does not exist never fires.
func TestDeployment_watches_metrics_that_exist(t *testing.T) {
	t.Parallel()
	var code strings.Builder
	for _, dir := range []string{"api", "activities", "cmd", "workflows"} {
		for _, path := range files(t, dir, ".go") {
			if !strings.HasSuffix(path, "_test.go") {
				code.Write(read(t, path))
			}
		}
	}
	found := 0
	for _, path := range files(t, "deploy", "alerts.yaml", "dashboard.json") {
		for _, name := range regexp.MustCompile(`\bgreenroom_[a-z_]+`).FindAllString(string(read(t, path)), -1) {
			found++
			base := name
			for _, suffix := range []string{"_bucket", "_count", "_sum"} { // series of a histogram
				base = strings.TrimSuffix(base, suffix)
			}
			assert.Contains(t, code.String(), `"`+base+`"`, path)
		}
	}
	require.Greater(t, found, 10)
}

// PostgreSQL on another machine must prove its name. Compose's is on the same host, without a published port.
func TestDeployment_verifies_a_database_elsewhere(t *testing.T) {
	t.Parallel()
	found := 0
	for _, path := range files(t, "deploy/kubernetes", ".yaml", ".md") {
		for _, url := range regexp.MustCompile(`postgres://\S+`).FindAllString(string(read(t, path)), -1) {
			found++
			assert.Contains(t, url, "sslmode=verify-full", path)
		}
	}
	require.GreaterOrEqual(t, found, 2)
}

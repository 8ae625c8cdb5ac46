package config

import (
	"cmp"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
)

// UnknownVariable is an environment variable that Load ignores.
type UnknownVariable struct {
	Name string
	// Setting is the variable of the setting that Name resembles; "": of none.
	Setting string
}

// maxTypos is the edit distance up to which a name resembles a setting.
const maxTypos = 2

// UnknownVariables finds the GREENROOM_* variables that are not of a setting: Load ignores them, so a misspelled
// setting would silently keep its default. environ has the form of os.Environ. Variables of tests (GREENROOM_TEST_*)
// and those that Kubernetes sets for a service, such as GREENROOM_API_PORT, are not reported.
func UnknownVariables(environ []string) []UnknownVariable {
	var found []UnknownVariable
	for _, variable := range environ {
		name, _, _ := strings.Cut(variable, "=")
		if !strings.HasPrefix(name, "GREENROOM_") || strings.HasPrefix(name, "GREENROOM_TEST_") ||
			slices.Contains(knownVariables(), name) || fromKubernetes(name, environ) {
			continue
		}
		unknown := UnknownVariable{Name: name}
		nearest := slices.MinFunc(settings, func(a, b setting) int {
			return cmp.Compare(levenshtein.ComputeDistance(name, a.Env), levenshtein.ComputeDistance(name, b.Env))
		})
		if levenshtein.ComputeDistance(name, nearest.Env) <= maxTypos {
			unknown.Setting = nearest.Env
		}
		found = append(found, unknown)
	}
	return found
}

// knownVariables are the settings and the variables that single commands read.
func knownVariables() []string {
	known := []string{
		"GREENROOM_CONFIG", "GREENROOM_URL", "GREENROOM_API_KEY", "GREENROOM_TEMPORAL_UI", "GREENROOM_WEBHOOK_SECRET",
		"GREENROOM_RECORD_HISTORIES",
	}
	for _, s := range settings {
		known = append(known, s.Env)
	}
	return known
}

// fromKubernetes reports whether a name is one of the variables that Kubernetes sets for a service: all of them begin
// with the service's name and come with <name>_SERVICE_HOST.
func fromKubernetes(name string, environ []string) bool {
	return slices.ContainsFunc(environ, func(variable string) bool {
		other, _, _ := strings.Cut(variable, "=")
		service, found := strings.CutSuffix(other, "_SERVICE_HOST")
		return found && (strings.HasPrefix(name, service+"_SERVICE_") || name == service+"_PORT" ||
			strings.HasPrefix(name, service+"_PORT_"))
	})
}

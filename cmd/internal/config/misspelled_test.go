package config_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"greenroom/cmd/internal/config"
)

func TestMisspelledVariables(t *testing.T) {
	t.Parallel()
	for name, setting := range map[string]string{
		"GREENROOM_DISPACH_BATCH_ABOVE":    "GREENROOM_DISPATCH_BATCH_ABOVE",
		"GREENROOM_DATABASE_URI":           "GREENROOM_DATABASE_URL",
		"GREENROOM_HTTP_PUBLICURL":         "GREENROOM_HTTP_PUBLIC_URL",
		"GREENROOM_DEV_POSTGRE_PORT":       "GREENROOM_DEV_POSTGRES_PORT",
		"GREENROOM_KEYSETFILE":             "GREENROOM_KEYSET_FILE",
		"GREENROOM_CIRCUIT_TRESHHOLD":      "GREENROOM_CIRCUIT_THRESHOLD",
		"GREENROOM_DATABASE_URL":           "", // a setting
		"GREENROOM_CONFIG":                 "",
		"GREENROOM_URL":                    "",
		"GREENROOM_TEST_DATABASE_URL":      "",
		"GREENROOM_SOMETHING_ELSE":         "", // not near
		"GREENROOM_HTTP_ADDRESS_OF_API":    "",
		"DATABASE_URL":                     "",
		"GREENROOM_API_PORT":               "",
		"GREENROOM_API_PORT_8080_TCP_ADDR": "",
		"GREENROOM_API_SERVICE_PORT_HTTP":  "",
	} {
		var want []config.Misspelled
		if setting != "" {
			want = []config.Misspelled{{Name: name, Setting: setting}}
		}
		assert.Equal(t, want, config.MisspelledVariables([]string{name + "=value"}), name)
	}
}

func TestMisspelledVariables_ignores_variables_of_a_kubernetes_service(t *testing.T) {
	t.Parallel()
	// A service named "greenroom-dev-postgre".
	port := "GREENROOM_DEV_POSTGRE_PORT=tcp://10.0.0.1:5432"
	assert.NotEmpty(t, config.MisspelledVariables([]string{port}))
	assert.Empty(t, config.MisspelledVariables([]string{port, "GREENROOM_DEV_POSTGRE_SERVICE_HOST=10.0.0.1"}))
}

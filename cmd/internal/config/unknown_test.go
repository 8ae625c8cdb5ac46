package config_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"greenroom/cmd/internal/config"
)

func TestUnknownVariables(t *testing.T) {
	t.Parallel()
	for name, setting := range map[string]string{
		"GREENROOM_DISPACH_BATCH_ABOVE": "GREENROOM_DISPATCH_BATCH_ABOVE",
		"GREENROOM_DATABASE_URI":        "GREENROOM_DATABASE_URL",
		"GREENROOM_HTTP_PUBLICURL":      "GREENROOM_HTTP_PUBLIC_URL",
		"GREENROOM_DEV_POSTGRE_PORT":    "GREENROOM_DEV_POSTGRES_PORT",
		"GREENROOM_KEYSETFILE":          "GREENROOM_KEYSET_FILE",
		"GREENROOM_CIRCUIT_TRESHHOLD":   "GREENROOM_CIRCUIT_THRESHOLD",
		"GREENROOM_SOMETHING_ELSE":      "", // not near
		"GREENROOM_HTTP_ADDRESS_OF_API": "",
	} {
		want := []config.UnknownVariable{{Name: name, Setting: setting}}
		assert.Equal(t, want, config.UnknownVariables([]string{name + "=value"}), name)
	}
	for _, known := range []string{
		"GREENROOM_DATABASE_URL", "GREENROOM_CONFIG", "GREENROOM_URL", "GREENROOM_TEST_DATABASE_URL", "DATABASE_URL",
	} {
		assert.Empty(t, config.UnknownVariables([]string{known + "=value"}), known)
	}
}

func TestUnknownVariables_ignores_variables_of_a_kubernetes_service(t *testing.T) {
	t.Parallel()
	// Services named "greenroom-dev-postgre" and "greenroom-api".
	port := "GREENROOM_DEV_POSTGRE_PORT=tcp://10.0.0.1:5432"
	assert.NotEmpty(t, config.UnknownVariables([]string{port}))
	assert.Empty(t, config.UnknownVariables([]string{port, "GREENROOM_DEV_POSTGRE_SERVICE_HOST=10.0.0.1"}))
	assert.Empty(t, config.UnknownVariables([]string{
		"GREENROOM_API_PORT=tcp://10.0.0.2:8080", "GREENROOM_API_PORT_8080_TCP_ADDR=10.0.0.2",
		"GREENROOM_API_SERVICE_PORT_HTTP=8080", "GREENROOM_API_SERVICE_HOST=10.0.0.2",
	}))
}

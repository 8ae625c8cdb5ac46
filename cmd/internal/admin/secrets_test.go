package admin_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/subosito/gotenv"

	"greenroom/cmd/internal/admin"
	"greenroom/cmd/internal/config"
	"greenroom/db/seal"
)

func TestNewSecrets(t *testing.T) {
	t.Parallel()
	s, err := admin.NewSecrets()
	require.NoError(t, err)
	other, err := admin.NewSecrets()
	require.NoError(t, err)
	require.NotEqual(t, s, other)

	env, err := gotenv.StrictParse(
		strings.NewReader(printed(t, false, func(p admin.Printer) error { return p.Secrets(s) })),
	)

	require.NoError(t, err)
	_, err = config.Config{}.WithSecrets(env["GREENROOM_SECRET"], env["GREENROOM_KEYSET"])
	require.NoError(t, err, "the settings accept them")
	_, err = seal.New(env["GREENROOM_KEYSET"])
	require.NoError(t, err)
}

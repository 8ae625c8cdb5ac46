package main_test

import (
	"encoding/json"
	"errors"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"greenroom/db"
	"greenroom/db/dbtest"
	"greenroom/db/seal"
)

func TestOperator_commands(t *testing.T) {
	t.Parallel()
	d, url := dbtest.NewURL(t)
	keyset, err := seal.NewKeyset()
	require.NoError(t, err)
	env := []string{
		"GREENROOM_DATABASE_URL=" + url,
		"GREENROOM_SECRET=" + strings.Repeat("ab", 32),
		"GREENROOM_KEYSET=" + keyset,
	}
	run := func(args ...string) (stdout, stderr string) {
		cmd := greenroom(t, args...)
		cmd.Env = append(cmd.Env, env...)
		out, err := cmd.Output()
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			require.Equal(t, 1, exit.ExitCode())
			return string(out), string(exit.Stderr)
		}
		require.NoError(t, err)
		return string(out), ""
	}

	t.Run("a_created_key_is_valid", func(t *testing.T) {
		out, _ := run("keys", "create", "--company", "Acme", "--create-company", "--json")
		var k struct{ Key string }
		require.NoError(t, json.Unmarshal([]byte(out), &k))
		_, err := db.FindAPIKey(t.Context(), d, db.HashKey([]byte(strings.Repeat("\xab", 32)), k.Key))
		require.NoError(t, err)
	})
	t.Run("a_created_webhook_is_listed", func(t *testing.T) {
		out, _ := run("webhooks", "create", "--company", "Acme", "--endpoint", "https://acme.example/hook", "--event", "5")
		require.Contains(t, out, "whsec_")
		out, _ = run("webhooks", "list")
		require.Contains(t, out, "https://acme.example/hook")
		require.NotContains(t, out, "whsec_")
	})
	t.Run("a_replay_is_shown", func(t *testing.T) {
		out, _ := run("webhooks", "list", "--json")
		var hooks []struct{ ID string }
		require.NoError(t, json.Unmarshal([]byte(out), &hooks))
		out, _ = run("deliveries", "replay", "--webhook", hooks[0].ID, "--since", "1h", "--json")
		var replay struct{ ID string }
		require.NoError(t, json.Unmarshal([]byte(out), &replay))
		out, _ = run("replays", "show", replay.ID)
		require.Regexp(t, `state +running\n`, out)
		_, stderr := run("replays", "show", hooks[0].ID)
		require.Equal(t, "greenroom: there is no replay "+hooks[0].ID+"\n", stderr)
	})
	t.Run("a_refusal_is_one_line", func(t *testing.T) {
		out, stderr := run("keys", "create", "--company", "Nobody")
		require.Empty(t, out)
		require.Equal(t, "greenroom: there is no company named \"Nobody\"; --create-company creates it\n", stderr)
	})
	t.Run("secrets_need_no_database", func(t *testing.T) {
		out, err := greenroom(t, "keys", "secrets").Output()
		require.NoError(t, err)
		require.Contains(t, string(out), "GREENROOM_KEYSET='{")
	})
	t.Run("the_keyset_rotates", func(t *testing.T) {
		keyset := func(command string) (out, stderr string) {
			out, stderr = run("keyset", command)
			if _, changed, ok := strings.Cut(out, "GREENROOM_KEYSET='"); ok {
				env[2] = "GREENROOM_KEYSET=" + strings.TrimSuffix(changed, "'\n")
			}
			return out, stderr
		}
		before, _ := keyset("status")
		require.Regexp(t, `(?m)^\d+ +seals +2$`, before, "the webhook's secret and the keyset check")
		_, stderr := keyset("promote")
		require.Contains(t, stderr, "add a key first")
		_, stderr = keyset("drop")
		require.Contains(t, stderr, "no other key")
		out, _ := keyset("add")
		require.Contains(t, out, "# Restart every process with this keyset. Then: greenroom keyset promote\n")
		keyset("promote")
		out, _ = keyset("status")
		require.Regexp(t, `(?m)^\d+ +opens +1\n\d+ +seals +1$`, out)
		_, stderr = keyset("drop")
		require.Contains(t, stderr, "run greenroom keyset reseal first")
		out, _ = keyset("reseal")
		require.Regexp(t, `rows sealed again +1\n`, out)
		keyset("drop")
		out, _ = keyset("status")
		require.Regexp(t, `(?m)^\d+ +seals +2$`, out)
		require.NotEqual(t, before, out)
	})
	t.Run("a_misspelled_variable_is_named", func(t *testing.T) {
		// The API exits because it cannot listen on this address.
		cmd := greenroom(t, "api", "--http-addr", "192.0.2.1:1")
		cmd.Env = append(append(cmd.Env, env...), "GREENROOM_DATABASE_MAX_CON=5", "GREENROOM_API_PORT=tcp://10.0.0.1:80",
			"GREENROOM_API_SERVICE_HOST=10.0.0.1")
		out, err := cmd.CombinedOutput()
		require.Error(t, err)
		require.Contains(t, string(out), "variable=GREENROOM_DATABASE_MAX_CON did_you_mean=GREENROOM_DATABASE_MAX_CONNS")
		require.NotContains(t, string(out), "GREENROOM_API_PORT")
	})
	t.Run("health_fails_without_an_api", func(t *testing.T) {
		_, stderr := run("health", "--http-addr", "127.0.0.1:1")
		require.Contains(t, stderr, "check readiness")
	})
}

package main_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/cmd/internal/config"
	"greenroom/cmd/internal/devstack"
	"greenroom/db"
	"greenroom/db/dbtest"
	"greenroom/db/delivery"
	"greenroom/db/pg"
	"greenroom/db/seal"
)

// result is what a finished command printed, and its exit code.
type result struct {
	stdout, stderr string
	code           int
}

// runProgram runs the program to its end. env are further variables.
func runProgram(t *testing.T, env []string, args ...string) result {
	t.Helper()
	cmd := greenroom(t, args...)
	cmd.Env = append(cmd.Env, env...)
	out, err := cmd.Output()
	r := result{stdout: string(out)}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		r.stderr, r.code = string(exit.Stderr), exit.ExitCode()
		return r
	}
	require.NoError(t, err)
	return r
}

const (
	noDatabase = "database.url is not set: set GREENROOM_DATABASE_URL: " +
		"URL of PostgreSQL: postgres://user:password@host:port/database"
	noID = `"5" is not the id of a `
)

func TestCommands_refuse_in_one_line(t *testing.T) {
	t.Parallel()
	_, url := dbtest.NewURL(t)
	env := []string{"GREENROOM_DATABASE_URL=" + url, "GREENROOM_SECRET=" + strings.Repeat("ab", 32)}
	for name, tt := range map[string]struct{ args, want string }{
		"an_unknown_command":          {"deploy", `unknown command "deploy" for "greenroom": see greenroom --help`},
		"a_misspelled_command":        {"delivery list", `unknown command "delivery" for "greenroom": see greenroom --help`},
		"a_misspelled_group":          {"webhoks list", `unknown command "webhoks" for "greenroom": did you mean webhooks?`},
		"a_misspelled_keys_command":   {"keys revok x", `unknown command "revok" for "greenroom keys": did you mean revoke?`},
		"a_misspelled_listing":        {"webhooks lst", `unknown command "lst" for "greenroom webhooks": did you mean list`},
		"an_unknown_command_of_keys":  {"keys remove x", `unknown command "remove" for "greenroom keys"`},
		"an_unknown_migration":        {"migrate redo", `unknown command "redo" for "greenroom migrate"`},
		"an_unknown_replay_command":   {"replays frob", `unknown command "frob" for "greenroom replays"`},
		"an_unknown_dev_command":      {"dev stop", `unknown command "stop" for "greenroom dev"`},
		"an_unknown_bench_command":    {"bench huge", `unknown command "huge" for "greenroom bench"`},
		"an_unknown_help_topic":       {"help keys revok", `unknown command "revok" for "greenroom keys": did you mean revoke?`},
		"an_unknown_flag":             {"keys list --comany Acme", "unknown flag: --comany: see greenroom keys list --help"},
		"a_stray_argument":            {"deliveries list Acme", `unexpected argument "Acme": usage: greenroom deliveries list [flags]`},
		"a_missing_id":                {"webhooks delete", "ID is missing: usage: greenroom webhooks delete ID [flags]"},
		"a_missing_fingerprint":       {"webhooks revoke-secret 5", "FINGERPRINT is missing: usage: greenroom webhooks revoke-secret ID"},
		"two_ids":                     {"deliveries retry a b", `unexpected argument "b": usage: greenroom deliveries retry ID [flags]`},
		"a_suspension_without_reason": {"keys suspend 5", "--reason is required: usage: greenroom keys suspend ID --reason REASON [flags]"},
		"a_webhook_of_nothing":        {"webhooks create --platform", "--endpoint and --event are required: usage: greenroom webhooks create"},
		"a_limit_that_is_no_number":   {"keys list --limit all", `--limit must be a whole number, not "all"`},
		"a_time_that_is_no_duration":  {"demo --wait soon", `--wait must be a duration such as 30s or 5m, not "soon"`},
		"a_seed_below_0":              {"chaos --seed -1", `--seed must be a whole number that is not negative, not "-1"`},
		"an_api_without_a_scheme":     {"webhooks list --url 127.0.0.1:1", "GREENROOM_URL or --url must be the address of the API"},
		"a_receiver_at_no_address":    {"listen --addr here", "listen for deliveries: listen tcp: address here: missing port in address: choose another address with --addr"},
		"fewer_failures_than_none":    {"listen --fail -1", "the number of deliveries to refuse must not be negative"},
		"a_delay_below_0":             {"listen --delay -1s", "the delay must not be negative"},
		"a_limit_of_0":                {"deliveries list --limit 0", "--limit must be at least 1"},
		"a_key_that_is_no_id":         {"keys revoke 5", noID + "key"},
		"a_webhook_that_is_no_id":     {"webhooks reset-circuit 5", noID + "webhook"},
		"a_deleted_webhook_no_id":     {"webhooks delete 5", noID + "webhook"},
		"a_delivery_that_is_no_id":    {"deliveries show 5", noID + "delivery"},
		"a_retried_delivery_no_id":    {"deliveries retry 5", noID + "delivery"},
		"a_canceled_delivery_no_id":   {"deliveries cancel 5", noID + "delivery"},
		"a_filter_that_is_no_id":      {"deliveries list --webhook 5", noID + "webhook"},
		"a_replay_that_is_no_id":      {"replays show 5", noID + "replay"},
		"a_user_that_is_no_id":        {"staff delete 5", noID + "staff user"},
		"a_token_of_no_id":            {"staff token 5", noID + "staff user"},
		"an_erased_candidate_no_id":   {"candidates erase 5", noID + "candidate"},
		"an_erasure_of_no_id":         {"candidates erasure 5", noID + "candidate"},
		"an_audit_of_limit_0":         {"audit list --limit 0", "--limit must be at least 1"},
		"a_rotated_key_no_id":         {"keys rotate 5", noID + "key"},
		"a_replay_of_no_webhook":      {"deliveries replay --since 1h", "--webhook is required: usage: greenroom deliveries replay"},
		"a_replay_of_all_time":        {"deliveries replay --webhook 5", "--since is required"},
		"a_shown_webhook_no_id":       {"webhooks show 5", noID + "webhook"},
		"a_tested_webhook_no_id":      {"webhooks test 5", noID + "webhook"},
		"a_tested_filter_no_id":       {"webhooks filter-test 5", noID + "webhook"},
		"an_event_that_is_no_id":      {"events show 5", noID + "event"},
		"a_cursor_that_is_no_id":      {"deliveries list --cursor 5", noID + "delivery"},
		"a_paused_replay_no_id":       {"replays pause 5", noID + "replay"},
		"replays_of_no_webhook":       {"replays list --webhook 5", noID + "webhook"},
		"companies_of_limit_0":        {"companies list --limit 0", "--limit must be at least 1"},
		"events_of_limit_0":           {"events list --limit 0", "--limit must be at least 1"},
		"replays_of_limit_0":          {"replays list --limit 0", "--limit must be at least 1"},
		"keys_of_limit_0":             {"keys list --limit 0", "--limit must be at least 1"},
		"an_unknown_status":           {"deliveries list --status lost", "--status must be one of pending, retrying"},
		"a_time_that_is_none":         {"deliveries list --since soon", "--since must be a time"},
		"an_end_that_is_none":         {"deliveries list --until soon", "--until must be a time"},
		"an_expiry_that_is_none":      {"keys create --platform --expires never", "--expires must be a time"},
		"a_webhook_without_a_keyset": {
			"webhooks create --platform --endpoint https://a.example --event 5", "keyset is not set: set GREENROOM_KEYSET",
		},
		"a_worker_without_probes":      {"health --worker", "worker.http_addr is not set"},
		"a_receiver_with_a_bad_status": {"listen --status 99", "status must be 200 to 599, not 99"},
		"a_receiver_with_a_bad_secret": {"listen --secret short", "the signing secret must be 64 hex digits"},
		"a_demo_without_a_product":     {"demo", "start `make run` first"},
		"a_trigger_without_a_product":  {"trigger interview.started", "start `make run` first"},
		"a_trigger_of_nothing":         {"trigger", "TYPE is missing"},
		"a_registration_of_no_product": {"listen --register", "start `make run` first"},
		"events_of_no_registration":    {"listen --events ping", "--events needs --register"},
		"a_registration_with_a_secret": {"listen --register --secret x", "if any flags in the group [register secret] are set"},
		"a_receiver_that_forwards_nowhere": {
			"listen --forward-to localhost:3000", "the URL to forward to must be like http://127.0.0.1:3000/webhooks",
		},
		"a_bench_of_another_temporal": {"bench --temporal cloud", `--temporal is server or dev, not "cloud"`},
		"chaos_with_another_temporal": {"chaos --temporal cloud", `--temporal is server or dev, not "cloud"`},
		"nothing_to_execute":          {"dev exec", "COMMAND is missing: usage: greenroom dev exec -- COMMAND [ARGUMENTS]"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := runProgram(t, env, strings.Fields(tt.args)...)
			assert.Equal(t, 1, r.code)
			assert.Empty(t, r.stdout, "only results go to standard output")
			assert.True(t, strings.HasPrefix(r.stderr, "greenroom: "+tt.want), r.stderr)
			assert.Equal(t, 1, strings.Count(r.stderr, "\n"), r.stderr)
		})
	}
}

func TestCommands_name_the_settings_that_they_miss(t *testing.T) {
	t.Parallel()
	for _, args := range []string{
		"keys list", "keys revoke 5", "webhooks list", "staff list", "deliveries list", "replays show 5",
		"candidates erase 5", "candidates erasure 5", "audit list",
		"migrate up", "migrate down", "migrate status", "api", "worker", "keys create --platform",
		"webhooks create --endpoint https://a.example --event 5", "companies list", "events list", "replays list",
	} {
		t.Run(strings.ReplaceAll(args, " ", "_"), func(t *testing.T) {
			t.Parallel()
			r := runProgram(t, nil, strings.Fields(args)...)
			assert.Equal(t, 1, r.code)
			assert.Empty(t, r.stdout)
			first, rest, _ := strings.Cut(strings.TrimSuffix(r.stderr, "\n"), "\n")
			assert.Equal(t, "greenroom: "+noDatabase, first)
			for want, needed := range map[string]bool{
				"secret is not set":                 args == "api" || args == "worker" || strings.HasPrefix(args, "keys create"),
				"keyset is not set":                 args == "api" || args == "worker" || strings.HasPrefix(args, "webhooks create"),
				"name its directory with --dev-dir": args != "api" && args != "worker" && !strings.HasPrefix(args, "migrate"),
			} {
				assert.Equal(t, needed, strings.Contains(rest, want), want)
			}
		})
	}
}

// Without an API the types are those of the catalogue.
func TestTrigger_completes_event_types(t *testing.T) {
	t.Parallel()
	r := runProgram(t, nil, "__complete", "trigger", "interview.")
	require.Zero(t, r.code)
	require.Contains(t, r.stdout, "interview.started\n")
	require.Contains(t, r.stdout, "FeeInvoiceChargedEvent\n")
	r = runProgram(t, nil, "__complete", "listen", "--register", "--profile", "")
	require.Contains(t, r.stdout, "ai-interviews\n")
}

func TestGroups_print_their_help(t *testing.T) {
	t.Parallel()
	groups := []string{
		"keys", "webhooks", "staff", "candidates", "audit", "deliveries", "replays", "migrate", "events", "companies",
		"keyset", "secret", "config", "interviews",
	}
	for _, group := range groups {
		r := runProgram(t, nil, group)
		require.Zero(t, r.code)
		require.Contains(t, r.stdout, "Available Commands:\n")
		require.Equal(t, r.stdout, runProgram(t, nil, "help", group).stdout)
	}
	r := runProgram(t, nil)
	require.Zero(t, r.code)
	for _, title := range []string{"Run it:", "Operate it:", "Try and measure it:", "Other:"} {
		require.Contains(t, r.stdout, "\n"+title+"\n")
	}
	require.NotContains(t, r.stdout, "Additional Commands:", "every command has a group")
	for _, command := range []string{"webhooks list", "events list", "keys create", "trigger", "listen"} {
		help := runProgram(t, nil, strings.Fields(command+" --help")...).stdout
		require.Regexp(t, `--key string +API key`, help, "a flag shows the type of its value")
		require.Regexp(t, `--url string +address`, help)
	}
}

func TestUnknownVariables_are_named(t *testing.T) {
	t.Parallel()
	cmd := greenroom(t, "keys", "secrets")
	cmd.Env = append(cmd.Env, "GREENROOM_CIRCUIT_TRESHOLD=9", "GREENROOM_NOTHING=1")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	require.NoError(t, cmd.Run())
	assert.Contains(t, stderr.String(), "greenroom: GREENROOM_CIRCUIT_TRESHOLD is not a setting and is ignored: "+
		"did you mean GREENROOM_CIRCUIT_THRESHOLD?\n")
	assert.Contains(t, stderr.String(), "greenroom: GREENROOM_NOTHING is not a setting and is ignored: "+
		"see greenroom help settings\n")
}

func TestMan(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "man1")
	require.Equal(t, result{}, runProgram(t, nil, "man", dir))
	page, err := os.ReadFile(filepath.Join(dir, "greenroom-deliveries-replay.1"))
	require.NoError(t, err)
	require.Contains(t, string(page), "--dry-run")
	require.FileExists(t, filepath.Join(dir, "greenroom.1"))
}

func TestConfigList(t *testing.T) {
	t.Parallel()
	env := []string{"GREENROOM_SECRET=" + strings.Repeat("ab", 32), "GREENROOM_RETENTION_DAYS=7"}
	r := runProgram(t, env, "config", "list", "--set", "--http-addr", "127.0.0.1:1")
	require.Zero(t, r.code, r.stderr)
	require.Regexp(t, `^SETTING +VALUE +ORIGIN +ENVIRONMENT\n`+
		`http.addr +127.0.0.1:1 +flag +GREENROOM_HTTP_ADDR\n`+
		`secret +\*{8} +environment +GREENROOM_SECRET\n`+
		`retention.days +7 +environment +GREENROOM_RETENTION_DAYS\n$`, r.stdout)
	r = runProgram(t, env, "config", "list", "--json")
	var all []struct{ Name, Value, Origin string }
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &all))
	require.Len(t, all, len(config.Describe()))
	require.NotContains(t, r.stdout, "abab")
	r = runProgram(t, []string{"GREENROOM_RETENTION_DAYS=never"}, "config", "list")
	require.Equal(t, 1, r.code)
	require.Contains(t, r.stdout, "never")
	require.Contains(t, r.stderr, "retention.days (GREENROOM_RETENTION_DAYS) must be a whole number")
}

func TestDoctor(t *testing.T) {
	t.Parallel()
	r := runProgram(
		t,
		[]string{"GREENROOM_DATABASE_URL=postgres://u@127.0.0.1:1/x"},
		"doctor",
		"--temporal-address",
		"127.0.0.1:1",
	)
	require.Equal(t, 1, r.code)
	require.Empty(t, r.stderr)
	require.Regexp(t, `(?m)^problem +postgresql +.*refused`, r.stdout)
	require.Contains(t, r.stdout, "→ start PostgreSQL at 127.0.0.1:1, or correct GREENROOM_DATABASE_URL\n")
	require.Contains(t, r.stdout, "correct GREENROOM_TEMPORAL_ADDRESS")
	r = runProgram(t, nil, "doctor", "--temporal-address", "127.0.0.1:1", "--json")
	require.Equal(t, 1, r.code)
	var findings []struct{ Check, State, Found, Cure string }
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &findings))
	require.NotEmpty(t, findings)
}

func TestHealth(t *testing.T) {
	t.Parallel()
	var status atomic.Int32
	paths := make(chan string, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		paths <- r.URL.Path
		w.WriteHeader(int(status.Load()))
	}))
	t.Cleanup(srv.Close)
	addr := srv.Listener.Addr().String()
	for _, component := range []struct{ name, args string }{
		{"the API", "health --http-addr " + addr},
		{"the worker", "health --worker --worker-http-addr " + addr},
	} {
		status.Store(http.StatusOK)
		r := runProgram(t, nil, strings.Fields(component.args)...)
		require.Equal(t, result{}, r, "ready, without output")
		require.Equal(t, "/readyz", <-paths)
		status.Store(http.StatusServiceUnavailable)
		r = runProgram(t, nil, strings.Fields(component.args)...)
		<-paths
		require.Equal(t, 1, r.code)
		require.Equal(t, "greenroom: "+component.name+" on "+addr+" is not ready: HTTP 503\n", r.stderr)
	}
}

func TestAPI_refuses_an_address_in_use(t *testing.T) {
	t.Parallel()
	_, url := dbtest.NewURL(t)
	keyset, err := seal.NewKeyset()
	require.NoError(t, err)
	other, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer other.Close()
	addr := other.Addr().String()

	r := runProgram(t, []string{
		"GREENROOM_DATABASE_URL=" + url, "GREENROOM_SECRET=" + strings.Repeat("ab", 32), "GREENROOM_KEYSET=" + keyset,
	}, "api", "--http-addr", addr)

	assert.Equal(t, 1, r.code)
	assert.Contains(t, r.stderr, "greenroom: listen on "+addr+" (setting http.addr): ")
}

func TestSettings_lists_every_setting(t *testing.T) {
	t.Parallel()
	r := runProgram(t, nil, "help", "settings")
	require.Zero(t, r.code)
	for _, s := range config.Describe() {
		assert.Regexp(t, `(?m)^`+s.Name+` +`+s.Env+` `, r.stdout)
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	r := runProgram(t, nil, "version")
	assert.Regexp(t, `^greenroom \S+ \(go\S+, \w+/\w+(, [0-9a-f]+)?\)\n$`, r.stdout)
	assert.Equal(t, r, runProgram(t, nil, "--version"))
}

func TestDevClean_removes_only_the_data(t *testing.T) {
	t.Parallel()
	cmd := greenroom(t, "dev", "clean")
	data := filepath.Join(cmd.Dir, ".data")
	require.NoError(t, os.MkdirAll(filepath.Join(data, "postgres"), 0o700))
	for _, name := range []string{filepath.Join(data, "secrets"), filepath.Join(cmd.Dir, "notes")} {
		require.NoError(t, os.WriteFile(name, nil, 0o600))
	}
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	require.NoDirExists(t, data)
	require.FileExists(t, filepath.Join(cmd.Dir, "notes"))
}

func TestListen_prints_what_arrives(t *testing.T) {
	t.Parallel()
	port, err := devstack.FreePort()
	require.NoError(t, err)
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	cmd := greenroom(t, "listen", "--addr", addr, "--json", "--fail", "1", "--status", "503")
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	require.NoError(t, cmd.Start())
	deliver := func() int {
		resp, err := http.Post("http://"+addr+"/hook", "application/json", strings.NewReader(`{"event":"ping"}`))
		if err != nil {
			return 0
		}
		defer resp.Body.Close()
		return resp.StatusCode
	}
	first := 0
	waitFor(t, func() bool { first = deliver(); return first != 0 })
	assert.Equal(t, http.StatusServiceUnavailable, first)
	assert.Equal(t, http.StatusNoContent, deliver(), "--fail counts deliveries")

	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))

	require.NoError(t, cmd.Wait(), "a stop by a signal is not a failure")
	lines := strings.Split(strings.TrimSpace(stdout.String()), "\n")
	require.Len(t, lines, 2)
	for _, line := range lines {
		require.True(t, json.Valid([]byte(line)), line)
	}
	assert.Contains(t, stderr.String(), "Deliveries are not verified: no --secret")
}

// TestOperator_acts checks the commands that change a row: the table that they print, and the row afterwards.
func TestOperator_acts(t *testing.T) {
	t.Parallel()
	d, url := dbtest.NewURL(t)
	keyset, err := seal.NewKeyset()
	require.NoError(t, err)
	env := []string{
		"GREENROOM_DATABASE_URL=" + url, "GREENROOM_SECRET=" + strings.Repeat("ab", 32), "GREENROOM_KEYSET=" + keyset,
	}
	run := func(args string, more ...string) string {
		r := runProgram(t, env, append(strings.Fields(args), more...)...)
		require.Zero(t, r.code, r.stderr)
		return r.stdout
	}
	idOf := func(out string) string {
		var row struct{ ID string }
		require.NoError(t, json.Unmarshal([]byte(out), &row))
		return row.ID
	}
	value := func(query string, args ...any) (text string) {
		require.NoError(t, d.NewRaw(query, args...).Scan(t.Context(), &text))
		return text
	}
	key := idOf(run("keys create --company Acme --create-company --scope read:jobs --scope read:events " +
		"--allow-ip 192.0.2.0/24 --expires 1d --per-minute 7 --per-hour 70 --json"))
	hook := idOf(run("webhooks create --company Acme --endpoint https://acme.example/hook --event 5 --name Hook --json"))

	t.Run("a_key_has_what_the_flags_say", func(t *testing.T) {
		require.Equal(t, "{read:jobs,read:events} {192.0.2.0/24} 7 70 made by an operator", value(
			"SELECT concat_ws(' ', scopes, allowed_ips, rate_per_minute, rate_per_hour, name) FROM api_keys WHERE id = ?", key))
		require.Equal(t, "true", value(
			"SELECT (expires_at - now() BETWEEN '23h' AND '24h')::text FROM api_keys WHERE id = ?", key))
	})
	t.Run("a_key_is_suspended_resumed_and_revoked", func(t *testing.T) {
		for _, step := range []struct{ args, state string }{
			{"keys suspend --reason leaked " + key, "suspended"},
			{"keys resume " + key, "active"},
			{"keys revoke " + key, "revoked"},
		} {
			require.Equal(t, "key  "+key+"  is "+step.state+"\n", run(step.args))
		}
		require.Equal(t, "created,suspended,resumed,revoked", value(
			"SELECT string_agg(action, ',' ORDER BY id) FROM audit_log WHERE target_id = ?", key))
		r := runProgram(t, env, "keys", "resume", key)
		require.Equal(t, 1, r.code)
		require.Contains(t, r.stderr, "which cannot be undone")
	})
	t.Run("a_key_is_rotated", func(t *testing.T) {
		var before, after struct{ ID, Key string }
		require.NoError(t, json.Unmarshal([]byte(run("keys create --company Acme --json")), &before))
		require.NoError(t, json.Unmarshal([]byte(run("keys rotate --json "+before.ID)), &after))
		require.Equal(t, before.ID, after.ID)
		secret := []byte(strings.Repeat("\xab", 32))
		_, err := db.FindAPIKey(t.Context(), d, db.HashKey(secret, before.Key))
		require.ErrorIs(t, err, pg.ErrNotFound)
		found, err := db.FindAPIKey(t.Context(), d, db.HashKey(secret, after.Key))
		require.NoError(t, err)
		require.Equal(t, before.ID, found.ID.String())
		run("keys revoke " + before.ID)
		require.Contains(t, runProgram(t, env, "keys", "rotate", before.ID).stderr, "which cannot be undone")
	})
	t.Run("the_audit_log_is_listed", func(t *testing.T) {
		out := run("audit list --company Acme --target " + key)
		require.Equal(t, 5, strings.Count(out, "\n"), out)
		require.Regexp(t, `^TIME +ACTOR +ACTION +TYPE +TARGET +COMPANY +CHANGED TO\n\S+ +cli +revoked +\S+ +`+key, out)
		require.Len(t, idsIn(t, run("audit list --json --limit 2")), 2)
		require.Empty(t, idsIn(t, run("audit list --json --target "+uuid.NewString())))
	})
	t.Run("a_candidate_is_erased", func(t *testing.T) {
		candidate := uuid.NewString()
		_, err := d.ExecContext(t.Context(), `INSERT INTO candidates (id, company_id, first_name, last_name, email)
			SELECT ?, id, 'Ada', 'Byron', 'ada@erased.example' FROM companies`, candidate)
		require.NoError(t, err)
		r := runProgram(t, env, "candidates", "erasure", candidate)
		require.Equal(t, "greenroom: there is no erasure of candidate "+candidate+"\n", r.stderr)
		require.Regexp(t, `\n`+candidate+` +running +requested +\S+ +- `, run("candidates erase "+candidate))
		first := idOf(run("candidates erase --json " + candidate))
		require.Equal(t, first, idOf(run("candidates erasure --json "+candidate)), "a second request is the first one")
		require.Equal(t, "0", value("SELECT count(*)::text FROM candidates WHERE email IS NOT NULL"))
		require.Equal(t, "cli", value("SELECT actor FROM audit_log WHERE target_id = ? AND action = 'erased'", candidate))
		unknown := uuid.NewString()
		r = runProgram(t, env, "candidates", "erase", unknown)
		require.Equal(t, "greenroom: there is no candidate "+unknown+"\n", r.stderr)
	})
	t.Run("deliveries_are_canceled_and_retried", func(t *testing.T) {
		delivery := publish(t, d, value("SELECT company_id FROM webhooks WHERE id = ?", hook))
		require.Contains(t, run("deliveries list --limit 1 --webhook "+hook), delivery)
		require.Empty(t, idsIn(t, run("deliveries list --json --until 1h")))
		require.Equal(t, []string{delivery}, idsIn(t, run("deliveries list --json --since 1h --status pending")))
		require.Contains(t, run("deliveries cancel "+delivery), "is canceled, generation 0")
		require.Contains(t, run("deliveries retry "+delivery), "is pending, generation 1")
		require.Regexp(t, `status +pending\n`, run("deliveries show "+delivery))
		require.NotContains(t, run("deliveries show "+delivery), `"body"`)
		require.Contains(t, run("deliveries show --json "+delivery), `"body"`)
	})
	t.Run("a_webhook_is_reset_and_deleted", func(t *testing.T) {
		_, err := d.ExecContext(t.Context(), "UPDATE webhooks SET is_active = false WHERE id = ?", hook)
		require.NoError(t, err)
		require.Equal(t, "webhook  "+hook+"  is active\n", run("webhooks reset-circuit "+hook))
		require.Equal(t, "webhook  "+hook+"  is deleted\n", run("webhooks delete "+hook))
		require.Empty(t, idsIn(t, run("webhooks list --company Acme --json")))
		r := runProgram(t, env, "webhooks", "delete", hook)
		require.Equal(t, "greenroom: there is no webhook "+hook+"\n", r.stderr)
	})
	t.Run("a_company_is_created_only_on_request", func(t *testing.T) {
		r := runProgram(t, env, "webhooks", "create", "--company", "Other", "--endpoint", "https://b.example", "--event", "5")
		require.Equal(t, "greenroom: there is no company named \"Other\"\n", r.stderr)
		require.Equal(t, "1", value("SELECT count(*)::text FROM companies"))
	})
	t.Run("the_database_is_selected_by_a_flag", func(t *testing.T) {
		r := runProgram(t, nil, "keys", "list", "--database-url", url, "--json")
		require.Contains(t, idsIn(t, r.stdout), key)
	})
}

func idsIn(t *testing.T, list string) (ids []string) {
	t.Helper()
	var rows []struct{ ID string }
	require.NoError(t, json.Unmarshal([]byte(list), &rows))
	for _, row := range rows {
		ids = append(ids, row.ID)
	}
	return ids
}

// publish records interview.started and returns the id of its only delivery.
func publish(t *testing.T, d *bun.DB, company string) string {
	t.Helper()
	id, err := uuid.Parse(company)
	require.NoError(t, err)
	require.NoError(t, pg.InTx(t.Context(), d, func(ctx context.Context, tx bun.Tx) error {
		_, err := delivery.RecordEvent(ctx, tx, &delivery.Event{
			CompanyID: &id, Type: "interview.started", Data: json.RawMessage(`{}`),
		})
		return err
	}))
	var made string
	require.NoError(t, d.NewRaw("SELECT id FROM deliveries").Scan(t.Context(), &made))
	return made
}

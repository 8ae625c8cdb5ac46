package main_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"greenroom/cmd/internal/devstack"
	"greenroom/cmd/internal/testbed"
)

// roads is a shell on a database beside the API on the same database.
type roads struct {
	*shell
	url, key string
}

func newRoads(t *testing.T) *roads {
	t.Helper()
	s := newShell(t)
	port, err := devstack.FreePort()
	require.NoError(t, err)
	addr := "127.0.0.1:" + strconv.Itoa(port)
	cmd := greenroom(t, "api", "--http-addr", addr)
	cmd.Env = append(cmd.Env, s.env...)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	r := &roads{shell: s, url: "http://" + addr}
	waitFor(t, func() bool { return testbed.CheckReady(t.Context(), r.url) == nil })
	r.key = s.json("keys create --platform --per-minute 10000 --per-hour 100000")["key"].(string)
	return r
}

// remote runs a command through the API, without any setting of the database.
func (r *roads) remote(args string) result {
	r.t.Helper()
	return runProgram(r.t, []string{"GREENROOM_URL=" + r.url, "GREENROOM_API_KEY=" + r.key}, strings.Fields(args)...)
}

func (r *roads) post(path string, body map[string]any) (id string) {
	r.t.Helper()
	return r.call(http.MethodPost, path, body)
}

func (r *roads) call(method, path string, body map[string]any) (id string) {
	r.t.Helper()
	raw, err := json.Marshal(body)
	require.NoError(r.t, err)
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.url+path, bytes.NewReader(raw))
	require.NoError(r.t, err)
	req.Header.Set("Authorization", "Bearer "+r.key)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(r.t, err)
	defer resp.Body.Close()
	var answer struct {
		Data  struct{ ID string }
		Error any
	}
	require.NoError(r.t, json.NewDecoder(resp.Body).Decode(&answer))
	require.NotEmpty(r.t, answer.Data.ID, answer.Error)
	return answer.Data.ID
}

// deliveries publishes n events and returns their deliveries to the webhook, newest first.
func (r *roads) deliveries(n int) []string {
	r.t.Helper()
	company := r.value("SELECT id FROM companies")
	for range n {
		r.post(
			"/events",
			map[string]any{"type": "interview.started", "companyId": company, "data": map[string]any{"a<b": 1.50}},
		)
	}
	ids := idsIn(r.t, r.run("deliveries list --json --limit "+strconv.Itoa(n)))
	require.Len(r.t, ids, n)
	return ids
}

func (r *roads) interview(company string) string {
	r.t.Helper()
	agent := r.post("/agents?companyId="+company, map[string]any{
		"name": "A", "type": "ONLINE", "focus": "SCREENING", "language": "EN", "duration": 15, "questions": []string{"Why?"},
	})
	job := r.post("/jobs?companyId="+company, map[string]any{"title": "Engineer", "description": "Builds."})
	candidate := r.post("/candidates?companyId="+company, map[string]any{
		"firstName": "Ada", "lastName": "Test", "email": "ada@example.com", "jobId": job, "gdprExpiryDate": "2100-01-01",
	})
	return r.post(
		"/interviews?companyId="+company,
		map[string]any{"candidateId": candidate, "jobId": job, "agentId": agent},
	)
}

var varying = regexp.MustCompile(
	`[0-9a-f]{8}-[0-9a-f-]{27}|20\d\d-\d\d-\d\dT[0-9:.]+Z|whsec_[\w+/=]+|sk_\w+|[0-9a-f]{64}|"[0-9a-f]{16}"|"number": \d+`,
)

// masked replaces what two equal changes have of their own: ids, times, secrets.
func masked(text string) string { return varying.ReplaceAllString(text, "…") }

// Both roads show the same state with the same bytes, as JSON and as a table.
func TestRoads_show_the_same(t *testing.T) {
	t.Parallel()
	r := newRoads(t)
	company := r.value("SELECT id FROM companies")
	made := r.deliveries(3)
	r.exec(
		"UPDATE deliveries SET status = 'failed', attempts = 1, last_error = 'x', body = '{\"b\":1,  \"a\":\"<é\"}' WHERE id = ?",
		made[0],
	)
	r.exec("UPDATE deliveries SET body = 'a=1&b=<é' WHERE id = ?", made[1])
	r.exec(`INSERT INTO attempts (delivery_id, run_id, attempt, workflow_id, started_at, duration_ms, outcome, error,
		next_attempt_at) VALUES (?, gen_random_uuid(), 1, 'w', now(), 7, 'failed', 'no <answer>', now())`, made[0])
	r.exec(
		`UPDATE webhooks SET headers = '[{"name": "X-A", "sealed": "YQ=="}]', disabled_reason = 'why', held_by_platform = true,
		circuit_opened_at = now()`,
	)
	r.call(
		http.MethodPatch,
		"/webhooks/"+r.hook,
		map[string]any{
			"filter": map[string]any{"data": map[string]any{"interviewId": map[string]any{"$in": []string{"a<b"}}}},
		},
	)
	event := r.value("SELECT event_id FROM deliveries WHERE id = ?", made[0])
	replay := r.id("deliveries replay --since 1h --event 5 --webhook " + r.hook)
	interview := r.interview(company)
	r.run("keys create --company Acme --name Second --allow-ip 192.0.2.0/24 --expires 30d")
	suspended := r.json("keys create --company Acme")["id"].(string)
	r.run("keys suspend --reason Why " + suspended)
	for _, args := range []string{
		"webhooks list", "webhooks list --company Acme", "webhooks show " + r.hook, "webhooks secrets " + r.hook,
		"deliveries list", "deliveries list --limit 2", "deliveries list --cursor " + made[0],
		"deliveries list --status failed --webhook " + r.hook, "deliveries list --company Acme --event interview.started",
		"deliveries list --company " + company + " --since 1h", "deliveries list --until 1h",
		"deliveries show " + made[0], "deliveries show " + made[1], "deliveries show " + made[2],
		"deliveries replay --since 2020-01-01 --until 2020-01-02 --dry-run --webhook " + r.hook,
		"replays show " + replay, "replays list --webhook " + r.hook,
		"events show " + event, "webhooks filter-test " + r.hook,
		`webhooks filter-test --limit 2 --filter {"data":{"a<b":1}} ` + r.hook, "events list", "events list --limit 2", "events list --cursor " + event,
		"events list --company Acme --event interview.started --since 1h", "events list --until 1h", "companies list", "companies list --limit 1",
		"keys list", "keys list --company Acme --limit 1",
		"interviews list", "interviews list --company Acme --status SCHEDULED", "interviews list --status FAILED",
		"interviews show " + interview,
		"audit list", "audit list --company Acme --limit 2", "audit list --target " + suspended,
	} {
		for _, form := range []string{"", " --json"} {
			got := r.remote(args + form)
			assert.Zero(t, got.code, "%s: %s", args, got.stderr)
			assert.Equal(t, r.run(args+form), got.stdout, args+form)
		}
	}
}

// The answers that README shows have the fields that the API answers with.
func TestReadme_shows_the_answers(t *testing.T) {
	t.Parallel()
	r := newRoads(t)
	key := r.json("keys create --company Acme")["key"].(string)
	answer := func(method, path, body string) (data map[string]any) {
		req, err := http.NewRequestWithContext(t.Context(), method, r.url+path, strings.NewReader(body))
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer "+key)
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		var got struct{ Data map[string]any }
		require.NoError(t, json.NewDecoder(resp.Body).Decode(&got))
		return got.Data
	}
	hook := answer(http.MethodPost, "/webhooks", `{"url": "https://acme.example/", "events": ["interview.started"]}`)
	event := answer(http.MethodPost, "/events", `{"type": "interview.started", "data": {"interviewId": "42"}}`)
	delivery := answer(http.MethodGet, "/deliveries?limit=1", "")["data"].([]any)[0].(map[string]any)
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	_, text, _ := strings.Cut(string(readme), "## Three calls")
	blocks := regexp.MustCompile("(?s)```json\n(.*?)```").FindAllStringSubmatch(text, 3)
	require.Len(t, blocks, 3)
	for i, want := range []map[string]any{hook, event, delivery} {
		var shown map[string]any
		require.NoError(t, json.Unmarshal([]byte(blocks[i][1]), &shown))
		assert.ElementsMatch(t, slices.Collect(maps.Keys(want)), slices.Collect(maps.Keys(shown)), blocks[i][1])
	}
}

// Every command that has --url works through the API: none needs the database after all.
func TestRoads_reach_every_command(t *testing.T) {
	t.Parallel()
	r := newRoads(t)
	needs := map[string]string{
		"deliveries replay": "--webhook 01a1fda2-6eca-76fc-b9e3-1d258da1bd8d --since 1h",
		"webhooks create":   "--company Acme --endpoint https://acme.example/ --event ping", "keys suspend": "--reason x",
		"replays list": "--webhook " + r.hook, "webhooks update": "--name x",
	}
	listed := regexp.MustCompile(`(?m)^  ([a-z-]+) `)
	_, operate, _ := strings.Cut(runProgram(t, nil).stdout, "Operate it:\n")
	operate, _, _ = strings.Cut(operate, "\n\n")
	reached := 0
	for _, group := range listed.FindAllStringSubmatch(operate, -1) {
		_, commands, _ := strings.Cut(runProgram(t, nil, group[1]).stdout, "Available Commands:\n")
		commands, _, _ = strings.Cut(commands, "\n\n")
		for _, one := range listed.FindAllStringSubmatch(commands, -1) {
			name := group[1] + " " + one[1]
			help := runProgram(t, nil, group[1], one[1], "--help").stdout
			if !strings.Contains(help, "--url string") {
				continue
			}
			args := name + " " + needs[name]
			if strings.Contains(help, name+" ID") {
				args += " 01a1fda2-6eca-76fc-b9e3-1d258da1bd8d"
			}
			if strings.Contains(help, " FINGERPRINT ") {
				args += " 0123456789abcdef"
			}
			got := r.remote(args)
			reached++
			if got.code != 0 {
				assert.Contains(t, got.stderr, "the API refused: ", args)
			}
		}
	}
	require.Greater(t, reached, 30)
}

// id runs a command that makes something.
func (r *roads) id(args string) string {
	r.t.Helper()
	return r.json(args)["id"].(string)
}

// Both roads change the same thing in the same way, and say the same.
func TestRoads_change_the_same(t *testing.T) {
	t.Parallel()
	r := newRoads(t)
	made := r.deliveries(8)
	company := r.value("SELECT id FROM companies")
	pair := func(args string) [2]string { return [2]string{r.id(args), r.id(args)} }
	hooks := pair("webhooks create --company Acme --event ping --endpoint https://acme.example/x")
	keys := pair("keys create --company Acme")
	replays := pair("deliveries replay --since 1h --webhook " + r.hook)
	interviews := [2]string{r.interview(company), r.interview(company)}
	r.exec("UPDATE deliveries SET status = 'failed' WHERE id IN (?, ?)", made[0], made[1])
	for _, tt := range []struct {
		args string
		ids  [2]string
	}{
		{"deliveries retry", [2]string{made[0], made[1]}},
		{"deliveries cancel", [2]string{made[2], made[3]}},
		{"webhooks update --endpoint https://other.example/ --name N --description D --event 5 --rate-limit 3 --recovery probe --ordering subject --ordering-on-failure block --notify-email ops@other.example", hooks},
		{"webhooks update --recovery= --deactivate", hooks},
		{"webhooks reset-circuit", hooks},
		{"webhooks rotate-secret --overlap 1h", hooks},
		{"webhooks secrets", hooks},
		{"webhooks delete", hooks},
		{"webhooks create --company Acme --event interview.started --endpoint https://acme.example/y --name M", [2]string{}},
		{"webhooks create --platform --event 5 --profile wise --event meetingScheduled --endpoint https://acme.example/z", [2]string{}},
		{"replays pause", replays},
		{"replays resume", replays},
		{"replays cancel", replays},
		{"deliveries replay --since 1h --status failed --status canceled --event 5 --webhook " + r.hook, [2]string{}},
		{"keys create --company Acme --scope read:jobs --name K --allow-ip 192.0.2.1 --per-minute 7 --per-hour 8", [2]string{}},
		{"keys suspend --reason Why", keys},
		{"keys resume", keys},
		{"keys rotate", keys},
		{"keys revoke", keys},
		{"interviews cancel", interviews},
	} {
		local := runProgram(t, r.env, strings.Fields(tt.args+" --json "+tt.ids[0])...)
		remote := r.remote(tt.args + " --json " + tt.ids[1])
		if strings.Contains(tt.args, "wise") { // the profile has no such number
			assert.Equal(t, 1, local.code, tt.args)
			assert.Equal(t, 1, remote.code, tt.args)
			continue
		}
		assert.Zero(t, remote.code, "%s: %s", tt.args, remote.stderr)
		want, got := masked(local.stdout), masked(remote.stdout)
		if strings.HasPrefix(tt.args, "keys create") { // only a key that is made through another has a parent
			want = strings.Replace(want, `"parentId": null`, `"parentId": "…"`, 1)
		}
		if strings.HasPrefix(tt.args, "webhooks create") { // the owner is the key's company: none
			want = strings.Replace(want, `"ownerCompanyId": "…"`, `"ownerCompanyId": null`, 1)
		}
		assert.Equal(t, want, got, tt.args)
	}
	require.Equal(t, "cli", r.value("SELECT DISTINCT actor FROM audit_log WHERE target_id = ?", made[0]))
	require.NotEqual(t, "cli", r.value("SELECT DISTINCT actor FROM audit_log WHERE target_id = ?", made[1]))
}

func TestRoads_are_chosen_by_one_rule(t *testing.T) {
	t.Parallel()
	r := newRoads(t)
	ours := r.key
	own := r.json("keys create --company Acme")["key"].(string)
	url, key, database := "GREENROOM_URL="+r.url, "GREENROOM_API_KEY="+own, r.env[0]
	nowhere := "GREENROOM_URL=http://127.0.0.1:1"
	// A company's key sees two keys, its own and none of the platform; the database shows all.
	seen := func(env []string, args ...string) int {
		got := runProgram(t, env, append([]string{"keys", "list", "--json"}, args...)...)
		require.Zero(t, got.code, got.stderr)
		return len(idsIn(t, got.stdout))
	}
	require.Equal(t, 2, seen([]string{url, key}), "the variables")
	require.Equal(t, 3, seen([]string{database, url, key}), "the database of the settings before GREENROOM_URL")
	require.Equal(t, 3, seen([]string{database}))
	require.Equal(
		t,
		3,
		seen([]string{url, key}, "--database-url", strings.TrimPrefix(database, "GREENROOM_DATABASE_URL=")),
	)
	require.Equal(t, 2, seen([]string{nowhere, database}, "--url", r.url, "--key", own), "a flag before everything")
	require.Equal(t, 3, seen([]string{nowhere, key}, "--url", r.url+"/", "--key", ours))

	t.Run("the_key_of_greenroom_dev_is_for_its_API", func(t *testing.T) {
		dir := t.TempDir()
		env := devstack.DevEnv{URL: r.url, APIKey: own}
		require.NoError(t, devstack.WriteDevEnv(dir, env))
		require.FileExists(t, filepath.Join(dir, "dev.env"))
		require.Equal(t, 2, seen(nil, "--dev-dir", dir, "--url", r.url))
		require.Equal(t, 2, seen([]string{"GREENROOM_DEV_DIR=" + dir}, "--key", own))
		got := runProgram(t, []string{url, key}, "keys", "list", "--dev-dir", dir)
		require.Equal(t, 1, got.code)
		require.Contains(t, got.stderr, dir+" has none", "the database of --dev-dir before GREENROOM_URL")
		got = runProgram(t, nil, "keys", "list", "--dev-dir", dir, "--url", "http://127.0.0.1:1")
		require.Equal(
			t,
			"greenroom: there is no key for the API at http://127.0.0.1:1: set --key or GREENROOM_API_KEY\n",
			got.stderr,
		)
	})
	t.Run("says_what_works_only_on_the_database", func(t *testing.T) {
		for args, want := range map[string]string{
			"staff list --company Acme":                   "greenroom staff list works only on the database",
			"keyset status":                               "greenroom keyset status works only on the database",
			"keys create --platform":                      "--platform works only on the database",
			"keys create --company Zeta --create-company": "--create-company works only on the database",
		} {
			got := r.remote(args)
			assert.Equal(t, 1, got.code)
			assert.Contains(t, got.stderr, want+": GREENROOM_URL is not enough\n")
			got = runProgram(t, nil, strings.Fields(args+" --url "+r.url+" --key x")...)
			assert.Equal(t, "greenroom: "+want+", not through the API: leave out --url and --key\n", got.stderr)
		}
		got := runProgram(t, append([]string{url, key}, r.env...), "keys", "create", "--platform")
		require.Zero(t, got.code, "there is a database too: %s", got.stderr)
	})
	t.Run("refuses_both", func(t *testing.T) {
		got := runProgram(t, nil, "keys", "list", "--url", r.url, "--database-url", "postgres://x")
		require.Contains(t, got.stderr, "[database-url url]")
	})
}

func TestRemote_errors_are_those_of_the_API(t *testing.T) {
	t.Parallel()
	r := newRoads(t)
	refusal := func(args string) string {
		t.Helper()
		got := r.remote(args)
		require.Equal(t, 1, got.code)
		require.Empty(t, got.stdout)
		require.NotContains(t, got.stderr, r.key)
		return got.stderr
	}
	const request = `request [0-9a-f-]{36}\)`
	require.Regexp(
		t,
		`^greenroom: the API refused: Webhook configuration not found \(404 RESOURCE_NOT_FOUND, `+request+`\n$`,
		refusal("webhooks show "+"01a1fda2-6eca-76fc-b9e3-1d258da1bd8d"),
	)
	require.Regexp(t, `^greenroom: the API refused: .*https.* \(400 VALIDATION_ERROR, `+request+`: {"field":"url".*}\n$`,
		refusal("webhooks update --endpoint http://192.0.2.1/ "+r.hook))
	require.Contains(t, refusal("webhooks list --key sk_wrong"), "(401 ")
	require.Contains(
		t,
		refusal("webhooks list --url http://127.0.0.1:1"),
		"no answer from the API at http://127.0.0.1:1/webhooks",
	)
	require.Contains(t, refusal("webhooks list --url ftp://a"), "--url must be the address of the API")
	require.Contains(t, refusal("webhooks list --url http://"+r.key+"@127.0.0.1"), "--url must be the address of the API")
	require.Contains(t, refusal("webhooks update "+r.hook), "there is nothing to change")
	require.Contains(t, refusal("replays list"), "--webhook is required through the API")
	require.Contains(t, refusal("deliveries list --company Nobody"), `there is no company named "Nobody"`)
	require.Contains(t, refusal("keys create --company Acme --per-minute 5 --name "+long(300)), "name must be at most 255")
	require.Equal(t, "1", r.value("SELECT count(*) FROM webhooks"), "refusals leave nothing behind")

	t.Run("another_server", func(t *testing.T) {
		var leaked []string
		elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
			leaked = append(leaked, req.Header.Get("Authorization"))
		}))
		defer elsewhere.Close()
		moved := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusFound))
		defer moved.Close()
		require.Equal(t, "greenroom: "+moved.URL+" responded 302, not as Greenroom's API does: is --url its address?\n",
			refusal("webhooks list --url "+moved.URL))
		require.Empty(t, leaked, "a key is not taken along")
	})
	t.Run("a_server_that_is_not_Greenroom", func(t *testing.T) {
		for name, answer := range map[string]struct {
			status int
			body   string
		}{
			"no_content": {204, ""}, "a_page": {200, "<html>"}, "not_found": {404, "<html>"}, "no_data": {200, `{"success":true,"data":null}`},
			"other_json": {200, `{"success":true}`}, "a_gateway": {502, "<html>"},
		} {
			other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(answer.status)
				_, _ = w.Write([]byte(answer.body))
			}))
			for _, args := range []string{
				"webhooks list", "webhooks reset-circuit " + r.hook, "deliveries show " + r.hook, "events list",
				"trigger interview.started",
			} {
				require.Contains(t, refusal(args+" --url "+other.URL), "not as Greenroom's API does", "%s: %s", name, args)
			}
			other.Close()
		}
	})
	t.Run("a_list_without_an_end", func(t *testing.T) {
		other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"success":true,"data":{"data":[],"nextCursor":"AAAA"}}`))
		}))
		defer other.Close()
		require.Contains(t, refusal("events list --url "+other.URL), "to the same page again")
	})
	t.Run("a_certificate_of_nobody", func(t *testing.T) {
		other := httptest.NewTLSServer(http.NotFoundHandler())
		defer other.Close()
		other.Config.ErrorLog = log.New(io.Discard, "", 0)
		for _, args := range []string{"webhooks list", "trigger interview.started"} {
			got := refusal(args + " --url " + other.URL)
			require.Contains(t, got, "certificate")
			require.NotContains(t, got, "make run")
		}
	})
	t.Run("a_type_that_does_not_exist", func(t *testing.T) {
		require.Equal(t, "greenroom: there is no event type \"interview.completd\": did you mean interview.completed?\n",
			refusal("trigger interview.completd --company "+r.value("SELECT id FROM companies")))
		require.Contains(t, refusal("trigger nothing"), `there is no event type "nothing": there are `)
	})
	t.Run("a_rate_limit", func(t *testing.T) {
		slow := r.json("keys create --company Acme --per-minute 1")["key"].(string)
		r.remote("webhooks list --key " + slow)
		require.Regexp(t, `\(429 rate limit.*\)`, refusal("webhooks list --key "+slow))
	})
	require.Contains(t, runProgram(t, []string{"GREENROOM_URL=" + r.url, "GREENROOM_API_KEY=" + r.key},
		"__complete", "webhooks", "show", "").stdout, r.hook+"\tHook acme.example active\n")
}

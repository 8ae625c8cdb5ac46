package main_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/db/dbtest"
	"greenroom/db/seal"
)

// shell runs commands on one database, in which there is a company, Acme, and its webhook.
type shell struct {
	t    *testing.T
	db   *bun.DB
	env  []string
	hook string
}

func newShell(t *testing.T) *shell {
	t.Helper()
	d, url := dbtest.NewURL(t)
	keyset, err := seal.NewKeyset()
	require.NoError(t, err)
	s := &shell{t: t, db: d, env: []string{
		"GREENROOM_DATABASE_URL=" + url, "GREENROOM_SECRET=" + strings.Repeat("ab", 32), "GREENROOM_KEYSET=" + keyset,
	}}
	s.run("keys create --company Acme --create-company")
	s.hook = s.json("webhooks create --company Acme --endpoint https://acme.example/hook --event 5 --name Hook")["id"].(string)
	return s
}

// run returns the output of a command that succeeds.
func (s *shell) run(args string) string {
	s.t.Helper()
	r := runProgram(s.t, s.env, strings.Fields(args)...)
	require.Zero(s.t, r.code, r.stderr)
	return r.stdout
}

func (s *shell) json(args string) (value map[string]any) {
	s.t.Helper()
	require.NoError(s.t, json.Unmarshal([]byte(s.run(args+" --json")), &value))
	return value
}

// refusal returns the message of a command that fails.
func (s *shell) refusal(args string) string {
	s.t.Helper()
	r := runProgram(s.t, s.env, strings.Fields(args)...)
	require.Equal(s.t, 1, r.code)
	require.Empty(s.t, r.stdout)
	return r.stderr
}

func (s *shell) value(query string, args ...any) (text string) {
	s.t.Helper()
	require.NoError(s.t, s.db.NewRaw(query, args...).Scan(s.t.Context(), &text))
	return text
}

func (s *shell) exec(statement string, args ...any) {
	s.t.Helper()
	_, err := s.db.ExecContext(context.WithoutCancel(s.t.Context()), statement, args...)
	require.NoError(s.t, err)
}

func TestWebhooks_are_shown_and_changed(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	s.exec(`UPDATE webhooks SET headers = '[{"name": "X-Old", "sealed": "YQ=="}]'`)
	t.Run("shows_all_settings", func(t *testing.T) {
		out := s.run("webhooks show " + s.hook)
		require.Regexp(t, `(?m)^url +https://acme.example/hook$`, out)
		require.Regexp(t, `(?m)^headers +X-Old$`, out)
		require.Regexp(t, `(?m)^state +active$`, out)
		require.Regexp(t, `(?m)^retries +3$`, out)
		require.Regexp(t, `(?m)^time-out +30s$`, out)
		require.Regexp(t, `(?m)^signatures +v1$`, out)
	})
	t.Run("changes_what_is_named", func(t *testing.T) {
		s.run(
			"webhooks update --rate-limit 7 --recovery probe --event 2 --event 5 --endpoint https://acme.example/new " + s.hook,
		)
		w := s.json("webhooks show " + s.hook)
		require.Equal(t, []any{"ping", "interview.started"}, sorted(w["events"], "ping"))
		require.InDelta(t, 7, w["rateLimit"], 0)
		require.Equal(t, "probe", w["circuitRecovery"])
		require.Equal(t, "Hook", w["name"], "stays")
		require.Equal(t, []any{"X-Old"}, w["headers"], "the host is the same")
		require.Equal(t, "cli", s.value("SELECT actor FROM audit_log WHERE target_id = ? AND action = 'updated'", s.hook))
	})
	t.Run("another_host_gets_no_old_headers", func(t *testing.T) {
		w := s.json("webhooks update --recovery= --endpoint https://other.example/ " + s.hook)
		require.Empty(t, w["headers"])
		require.Nil(t, w["circuitRecovery"])
		require.NotContains(t, w, "signingSecret", "the profile carries no key")
	})
	t.Run("is_deactivated_and_activated_by_the_platform", func(t *testing.T) {
		require.Regexp(t, `(?m)^state +inactive$`, s.run("webhooks update --deactivate "+s.hook))
		require.Equal(t, "true", s.value("SELECT held_by_platform::text FROM webhooks"))
		require.Regexp(t, `(?m)^state +active$`, s.run("webhooks update --activate "+s.hook))
		require.Equal(t, "false", s.value("SELECT held_by_platform::text FROM webhooks"))
	})
	t.Run("refuses", func(t *testing.T) {
		before := s.value("SELECT webhooks::text FROM webhooks")
		for args, want := range map[string]string{
			"":                               "there is nothing to change",
			"--endpoint http://acme.example": "--endpoint must use https",
			"--rate-limit 10001":             "--rate-limit must be 0 to 10000",
			"--ordering company":             `--ordering must be subject or empty, not "company"`,
			"--ordering-on-failure stop":     `--ordering-on-failure must be skip or block, not "stop"`,
			"--notify-email nobody":          `--notify-email must be an e-mail address or empty, not "nobody"`,
			"--recovery perhaps":             "--recovery must be manual, probe or empty",
			"--event nothing":                `has no event "nothing"`,
			"--activate --deactivate":        "none of the others can be",
			"--name " + long(256):            "--name must be",
		} {
			require.Contains(t, s.refusal("webhooks update "+s.hook+" "+args), want)
		}
		require.Equal(t, before, s.value("SELECT webhooks::text FROM webhooks"))
	})
}

func long(n int) string { return strings.Repeat("x", n) }

// sorted returns a list of two with first in front.
func sorted(list any, first string) []any {
	items, _ := list.([]any)
	if len(items) == 2 && items[0] != first {
		items[0], items[1] = items[1], items[0]
	}
	return items
}

func TestWebhooks_are_tested(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	require.Contains(t, s.failed("webhooks test "+s.hook), "not subscribed to ping events")
	s.run("webhooks update --event ping " + s.hook)
	answered := make(chan struct{})
	go func() { // in place of a worker
		defer close(answered)
		for status := ""; status != "succeeded"; {
			_ = s.db.NewRaw(`UPDATE deliveries SET status = 'succeeded', last_status_code = 204 WHERE is_test RETURNING status`).
				Scan(context.Background(), &status)
		}
	}()
	out := s.run("webhooks test " + s.hook)
	<-answered
	require.Regexp(t, `(?m)^result +Webhook test successful!$`, out)
	require.Regexp(t, `(?m)^answer +HTTP 204$`, out)
	s.run("webhooks update --deactivate " + s.hook)
	require.Contains(t, s.failed("webhooks test "+s.hook), "No delivery was created")
}

func TestWebhooks_try_a_filter(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	publish := func(n int) string {
		return s.value(`INSERT INTO events (id, company_id, type, data, occurred_at)
			SELECT uuid_v7(), COALESCE(company_id, owner_company_id), 'interview.started', ?, now() FROM webhooks WHERE id = ?
			RETURNING id`, fmt.Sprintf(`{"n": %d}`, n), s.hook)
	}
	one, two := publish(1), publish(2)
	out := s.run(`webhooks filter-test --filter {"data":{"n":{"$gt":1}}} ` + s.hook)
	require.Regexp(t, one+` +interview.started +no +the event does not match data\.n\.\$gt`, out)
	require.Regexp(t, two+` +interview.started +yes`, out)
	require.Contains(t, out, "1 of 2 events would be sent")
	require.Contains(t, s.run("webhooks filter-test --limit 1 "+s.hook), "1 of 1 events would be sent")
	require.Contains(t, s.refusal("webhooks filter-test --filter {} "+s.hook), "filter must not be empty")
	require.Contains(t, s.refusal("webhooks filter-test --limit 101 "+s.hook), "--limit must be from 1 to 100")
}

// failed returns the output of a command that reports a failure.
func (s *shell) failed(args string) string {
	s.t.Helper()
	r := runProgram(s.t, s.env, strings.Fields(args)...)
	require.Equal(s.t, 1, r.code)
	require.Empty(s.t, r.stderr)
	return r.stdout
}

func TestLists(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	company := s.value("SELECT id FROM companies")
	delivery := publish(t, s.db, company)
	event := s.value("SELECT id FROM events")
	t.Run("companies", func(t *testing.T) {
		require.Regexp(t, `^ID +NUMBER +NAME +CREATED\n`+company+` +1 +Acme +`, s.run("companies list"))
		require.Equal(t, []string{company}, idsIn(t, s.run("companies list --json")))
	})
	t.Run("events", func(t *testing.T) {
		require.Regexp(t, `\n`+event+` +interview.started +\S+ +`+company, s.run("events list"))
		list := func(args string) []string { return idsIn(t, s.run("events list --json "+args)) }
		require.Equal(t, []string{event}, list("--company Acme --event interview.started --since 1h"))
		require.Empty(t, list("--event ping"))
		require.Empty(t, list("--until 1h"))
		require.Empty(t, list("--cursor "+event))
		require.NotContains(t, s.run("events show "+event), "{}")
		require.Equal(t, map[string]any{}, s.json("events show " + event)["data"])
		require.Equal(t, "greenroom: there is no event "+delivery+"\n", s.refusal("events show "+delivery))
	})
	t.Run("deliveries", func(t *testing.T) {
		list := func(args string) []string { return idsIn(t, s.run("deliveries list --json "+args)) }
		require.Equal(t, []string{delivery}, list("--company Acme --event interview.started"))
		require.Empty(t, list("--event ping"))
		require.Empty(t, list("--cursor "+delivery))
		require.Contains(t, s.refusal("deliveries list --company Other"), "there is no company named")
		require.Regexp(t, ` +Hook acme.example\n$`, s.run("deliveries list"))
	})
}

func TestReplays(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	publish(t, s.db, s.value("SELECT id FROM companies"))
	s.exec("UPDATE deliveries SET status = 'failed'")
	replay := "deliveries replay --since 1h --webhook " + s.hook
	t.Run("are_counted_first", func(t *testing.T) {
		require.Regexp(t, `^would replay +1 deliveries\n`, s.run(replay+" --dry-run"))
		require.InDelta(t, 0, s.json(replay + " --dry-run --status succeeded")["matching"], 0)
		require.InDelta(t, 0, s.json(replay + " --dry-run --event ping")["matching"], 0)
		require.InDelta(t, 1, s.json(replay + " --dry-run --event interview.started")["matching"], 0)
		require.Empty(t, idsIn(t, s.run("replays list --json")), "nothing was started")
	})
	id := s.json(replay)["id"].(string)
	t.Run("are_listed", func(t *testing.T) {
		require.Regexp(t, `\n`+id+` +running +0 +failed `, s.run("replays list"))
		require.Equal(t, []string{id}, idsIn(t, s.run("replays list --json --webhook "+s.hook)))
		require.Empty(t, idsIn(t, s.run("replays list --json --webhook "+id)))
	})
	t.Run("pause_resume_and_end", func(t *testing.T) {
		for _, step := range []struct{ command, state string }{
			{"pause", "paused"}, {"resume", "running"}, {"cancel", "canceled"},
		} {
			require.Equal(t, "replay  "+id+"  is "+step.state+", 0 replayed\n", s.run("replays "+step.command+" "+id))
			require.Equal(t, step.state, s.value("SELECT state FROM replays"))
		}
		require.Equal(t, "greenroom: replay "+id+" is canceled\n", s.refusal("replays resume "+id))
		require.Equal(t, "greenroom: there is no replay "+s.hook+"\n", s.refusal("replays pause "+s.hook))
		require.Equal(t, "created,updated,updated,updated", s.value(
			"SELECT string_agg(action, ',' ORDER BY id) FROM audit_log WHERE target_id = ?", id))
	})
	t.Run("are_followed_to_their_end", func(t *testing.T) {
		cmd := greenroom(t, strings.Fields(replay+" --follow")...)
		cmd.Env = append(cmd.Env, s.env...)
		stdout, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		lines := bufio.NewScanner(stdout)
		require.True(t, lines.Scan())
		assert.Regexp(t, `is running, 0 replayed$`, lines.Text())
		s.exec("UPDATE replays SET state = 'completed', replayed = 1 WHERE state = 'running'")
		require.True(t, lines.Scan())
		assert.Regexp(t, `is completed, 1 replayed$`, lines.Text())
		require.False(t, lines.Scan())
		require.NoError(t, cmd.Wait())
	})
}

func TestCompletion_proposes_values(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	delivery := publish(t, s.db, s.value("SELECT id FROM companies"))
	for name, tt := range map[string]struct {
		args []string
		want string
	}{
		"statuses":        {[]string{"deliveries", "list", "--status", ""}, "retrying\n"},
		"profiles":        {[]string{"webhooks", "create", "--profile", ""}, "standard\n"},
		"events":          {[]string{"deliveries", "list", "--event", ""}, "interview.started\n"},
		"scopes":          {[]string{"keys", "create", "--scope", ""}, "read:webhooks\n"},
		"companies":       {[]string{"keys", "list", "--company", ""}, "Acme\t"},
		"webhooks_flag":   {[]string{"deliveries", "list", "--webhook", ""}, s.hook + "\tHook acme.example active\n"},
		"webhooks":        {[]string{"webhooks", "show", ""}, s.hook + "\t"},
		"deliveries":      {[]string{"deliveries", "show", ""}, delivery + "\tinterview.started pending\n"},
		"one_id_at_most":  {[]string{"deliveries", "show", delivery, ""}, ":4\n"},
		"no_status_codes": {[]string{"listen", "--status", ""}, ":0\n"},
	} {
		r := runProgram(t, s.env, append([]string{"__complete"}, tt.args...)...)
		require.Contains(t, r.stdout, tt.want, name)
	}
	r := runProgram(t, []string{"GREENROOM_DATABASE_URL=postgres://u@127.0.0.1:1/x"}, "__complete", "webhooks", "show", "")
	require.Equal(t, ":4\n", r.stdout, "no database, no proposals")
}

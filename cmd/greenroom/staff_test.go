package main_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"greenroom/db"
	"greenroom/db/dbtest"
	"greenroom/db/seal"
)

func TestStaff_commands(t *testing.T) {
	t.Parallel()
	d, url := dbtest.NewURL(t)
	keyset, err := seal.NewKeyset()
	require.NoError(t, err)
	require.NoError(t, db.CreateCompany(t.Context(), d, &db.Company{Name: "Acme"}))
	run := func(stdin string, args ...string) (stdout string, err error) {
		cmd := greenroom(t, args...)
		cmd.Stdin = strings.NewReader(stdin)
		cmd.Env = append(
			cmd.Env,
			"GREENROOM_DATABASE_URL="+url,
			"GREENROOM_SECRET="+strings.Repeat("ab", 32),
			"GREENROOM_KEYSET="+keyset,
		)
		out, err := cmd.Output()
		return string(out), err
	}

	create := []string{"staff", "create", "--company", "Acme", "--username", "eva", "--password-stdin", "--json"}
	out, err := run("correct horse\nsecond line\n", create...)
	require.NoError(t, err)
	var made struct{ ID, CompanyIdentifier string }
	require.NoError(t, json.Unmarshal([]byte(out), &made))
	require.NotContains(t, out, "horse")
	m, err := db.FindStaff(t.Context(), d, made.CompanyIdentifier, "eva")
	require.NoError(t, err)
	require.True(t, m.PasswordIs("correct horse"))

	_, err = run("", "staff", "create", "--company", "Acme", "--username", "adam", "--password-stdin")
	require.Error(t, err, "no password on standard input")
	out, err = run("", "staff", "list", "--company", "Acme")
	require.NoError(t, err)
	require.Contains(t, out, "eva")
	require.NotContains(t, out, "adam")

	out, err = run("", "staff", "token", made.ID, "--permanent")
	require.NoError(t, err)
	require.Regexp(t, `token +[0-9a-f]{40}`, out)
	_, err = run("", "staff", "token", made.ID, "--idle-days", "0")
	require.Error(t, err)

	out, err = run("", "staff", "delete", made.ID)
	require.NoError(t, err)
	require.Contains(t, out, "is deleted")

	t.Run("a_webhook_of_the_interview_suite", func(t *testing.T) {
		args := strings.Fields("webhooks create --company Acme --profile interview-suite --endpoint https://ats.example/hook")
		out, err := run("", append(args, "--event", "project_changed", "--event", "note_changed")...)
		require.NoError(t, err)
		require.Contains(t, out, "interview-suite")
		_, err = run("", append(args, "--event", "project_deleted")...)
		require.Error(t, err)
	})
}

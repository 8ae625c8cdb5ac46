package admin_test

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"greenroom/cmd/internal/admin"
	"greenroom/db"
)

// secrets sets those that a step prints, as every process reads them.
func (b *bundle) secrets(c admin.ChangedSecret) {
	b.t.Helper()
	for to, text := range map[*[]byte]string{&b.Secret: c.Secret, &b.NextSecret: c.Next, &b.PreviousSecret: c.Previous} {
		raw, err := hex.DecodeString(text)
		require.NoError(b.t, err)
		*to = raw
	}
}

// TestRotationOfTheSecret_steps goes through the steps, and refuses each out of its turn.
func TestRotationOfTheSecret_steps(t *testing.T) {
	t.Parallel()
	b := setup(t)
	key, err := b.CreateKey(b.ctx, admin.KeyRequest{Company: "Acme"})
	require.NoError(t, err)
	unknown, err := b.CreateKey(b.ctx, admin.KeyRequest{Company: "Acme"}) // of an earlier version
	require.NoError(t, err)
	_, err = b.DB.ExecContext(b.ctx, "UPDATE api_keys SET secret_id = NULL WHERE id = ?", unknown.ID)
	require.NoError(t, err)
	older := b.Secret
	uses := func() (uses []string) {
		values, err := b.SecretValues(b.ctx)
		require.NoError(t, err)
		for _, v := range values {
			require.Len(t, v.Keys, v.Count)
			for range v.Count {
				uses = append(uses, v.Use)
			}
		}
		return uses
	}
	require.Equal(t, []string{"current", "unknown"}, uses())
	_, err = b.PromoteSecret(b.ctx)
	require.ErrorContains(t, err, "secret_next is not set")
	_, err = b.DropSecret(b.ctx, true)
	require.ErrorContains(t, err, "secret_previous is not set")

	added, err := b.AddSecret(b.ctx)
	require.NoError(t, err)
	require.Equal(t, hex.EncodeToString(older), added.Secret)
	require.Len(t, added.Next, 64)
	b.secrets(added)
	_, err = b.AddSecret(b.ctx)
	require.ErrorContains(t, err, "secret_next is set")
	_, err = b.DropSecret(b.ctx, true)
	require.ErrorContains(t, err, "secret_previous is not set")

	promoted, err := b.PromoteSecret(b.ctx)
	require.NoError(t, err)
	require.Equal(t, []string{added.Next, "", added.Secret}, []string{promoted.Secret, promoted.Next, promoted.Previous})
	b.secrets(promoted)
	require.Equal(t, []string{"previous", "unknown"}, uses())
	_, err = b.AddSecret(b.ctx)
	require.ErrorContains(t, err, "secret_previous is set")
	_, err = b.DropSecret(b.ctx, false)
	require.ErrorContains(t, err, "2 API keys and tokens were not used")

	row, err := db.FindAPIKey(b.ctx, b.DB, db.HashKey(older, key.Plain))
	require.NoError(t, err)
	require.NoError(t, db.RehashKey(b.ctx, b.DB, row, b.Secret, db.HashKey(b.Secret, key.Plain)))
	require.Equal(t, []string{"current", "unknown"}, uses())
	forced, err := b.DropSecret(b.ctx, true)
	require.NoError(t, err)
	require.Contains(t, forced.Done, "Keys that end with it: 1.")
	_, err = b.RevokeKey(b.ctx, unknown.ID)
	require.NoError(t, err)
	dropped, err := b.DropSecret(b.ctx, false)
	require.NoError(t, err)
	require.Equal(t, admin.ChangedSecret{Secret: promoted.Secret, Done: dropped.Done, Then: dropped.Then}, dropped)
	b.secrets(dropped)
	b.Secret = older
	require.Equal(t, []string{"missing"}, uses(), "a process with the old value alone")
}

func TestPrinter_secrets(t *testing.T) {
	t.Parallel()
	text := printed(t, false, func(p admin.Printer) error {
		return p.ChangedSecret(admin.ChangedSecret{Secret: "aa", Next: "bb", Previous: "cc", Done: "Done.", Then: "Then."})
	})
	require.Equal(t,
		"# Done.\n# Then.\nGREENROOM_SECRET=aa\nGREENROOM_SECRET_NEXT=bb\nGREENROOM_SECRET_PREVIOUS=cc\n", text)
	text = printed(t, false, func(p admin.Printer) error {
		return p.SecretValues([]admin.SecretValue{{ID: "ab", Use: "previous", Count: 1, Keys: []admin.ID{someID}}})
	})
	require.True(t, strings.Contains(text, "previous") && strings.Contains(text, someID.String()), text)
}

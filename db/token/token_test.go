package token_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"

	"greenroom/db/token"
)

func TestTokenIsBoundToSecretPurposeAndRow(t *testing.T) {
	t.Parallel()
	secret, id := []byte(strings.Repeat("s", 32)), uuid.MustParse("0199f3a0-0000-7000-8000-000000000001")
	got := token.For(secret, token.Callback, id)
	// Links that were handed out must stay valid in new versions, so this value must not change.
	assert.Equal(t, "4zw3FtE_DDal0ZFMbQ-p_soioLPjSG4Snzvc0O54u3U", got)
	assert.True(t, token.Valid([][]byte{secret}, token.Callback, id, got))
	for name, other := range map[string]string{
		"secret":  token.For([]byte(strings.Repeat("t", 32)), token.Callback, id),
		"purpose": token.For(secret, "invite", id),
		"row":     token.For(secret, token.Callback, uuid.New()),
		"cut":     got[:42],
		"empty":   "",
	} {
		assert.False(t, token.Valid([][]byte{secret}, token.Callback, id, other), "token of another %s", name)
	}
}

// TestTokenWhileTheSecretIsRotated: a token is valid with any of the secrets that are accepted.
func TestTokenWhileTheSecretIsRotated(t *testing.T) {
	t.Parallel()
	older, newer := []byte(strings.Repeat("s", 32)), []byte(strings.Repeat("t", 32))
	id, end := uuid.New(), time.Unix(1_800_000_000, 0)
	for _, secret := range [][]byte{older, newer} {
		link, until := token.For(secret, token.Invite, id), token.Until(secret, token.Report, id, end)
		for name, accepted := range map[string][][]byte{"both": {newer, older}, "older": {older}, "newer": {newer}} {
			valid := slices.ContainsFunc(accepted, func(one []byte) bool { return bytes.Equal(one, secret) })
			assert.Equal(t, valid, token.Valid(accepted, token.Invite, id, link), name)
			_, got := token.End(accepted, token.Report, id, until)
			assert.Equal(t, valid, got, name)
		}
	}
	assert.False(t, token.Valid(nil, token.Invite, id, token.For(nil, token.Invite, id)), "no secret accepts nothing")
}

func TestTokenWithExpiry(t *testing.T) {
	t.Parallel()
	secret, id := []byte(strings.Repeat("s", 32)), uuid.MustParse("0199f3a0-0000-7000-8000-000000000001")
	end := time.Unix(1_800_000_000, 0)
	got := token.Until(secret, token.Report, id, end)
	// This value must not change either.
	assert.Equal(t, "1800000000.Zml1244lFjH1Sf2jJWfbp6y3rO_Qs9mHHw5O6G9omnc", got)
	until, valid := token.End([][]byte{secret}, token.Report, id, got)
	assert.True(t, valid)
	assert.True(t, end.Equal(until))
	_, hash, _ := strings.Cut(got, ".")
	for name, other := range map[string]string{
		"time":    "1800000001." + hash,
		"spelled": "01800000000." + hash,
		"purpose": token.Until(secret, token.Recording, id, end),
		"row":     token.Until(secret, token.Report, uuid.New(), end),
		"no time": token.For(secret, token.Report, id),
		"empty":   "",
	} {
		_, valid := token.End([][]byte{secret}, token.Report, id, other)
		assert.False(t, valid, "token of another %s", name)
	}
}

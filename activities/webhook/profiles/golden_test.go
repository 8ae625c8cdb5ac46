package profiles_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"greenroom/activities/webhook"
	"greenroom/activities/webhook/profiles"
	"greenroom/db/catalog"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestGolden compares each event of each profile, and one published event of each profile, with its recorded body and
// headers. `go test ./activities/webhook/profiles -run TestGolden -update` records new ones.
func TestGolden(t *testing.T) {
	t.Parallel()
	for _, p := range profiles.All() {
		require.NotEmpty(t, p.Events)
		for _, g := range goldens(t, p) {
			t.Run(p.Name+"/"+g.file, func(t *testing.T) {
				t.Parallel()
				g.check(t, p)
			})
		}
	}
}

// golden is one recorded delivery.
type golden struct {
	file string
	m    webhook.Message
}

// goldens are the recorded deliveries of a profile: every domain type under each name, a published event without a
// context, and that of a test call.
func goldens(t testing.TB, p *webhook.Profile) (all []golden) {
	t.Helper()
	published := false
	for _, e := range p.Events {
		for _, eventType := range e.Types {
			file := e.Name
			if eventType != e.Name && len(e.Types) > 1 {
				file += "." + eventType
			}
			m := message(t, p, eventType)
			if m.Context = about(eventType); m.Context != nil && !published {
				published = true
				all = append(all, golden{file + ".published", message(t, p, eventType)})
			}
			all = append(all, golden{file, m})
		}
	}
	if !p.Takes(catalog.Ping) {
		all = append(all, golden{catalog.Ping, message(t, p, catalog.Ping)})
	}
	return all
}

func (g *golden) check(t *testing.T, p *webhook.Profile) {
	body, err := p.Render(g.m)
	require.NoError(t, err)
	again, err := p.Render(g.m)
	require.NoError(t, err)
	require.Equal(t, string(body), string(again), "the same message gives the same bytes")
	require.True(t, json.Valid(body))
	if g.m.Context == nil {
		require.Contains(t, string(body), string(g.m.Data), "published data is passed byte for byte")
	}
	r := webhook.Request{
		Profile: p, Message: g.m, Body: body, Secrets: webhook.Secrets{testSecret(1)},
		Key: webhook.KeyOf(testSecret(1), false), // as receivers of earlier versions have it
	}
	h, err := r.Header(profiles.SampleAt)
	require.NoError(t, err)
	for _, secret := range []string{"token", "invite_link", "inviteUrl", "/i/"} {
		require.NotContains(
			t,
			strings.ReplaceAll(string(body), string(g.m.Data), ""),
			secret,
			"the invite link is a credential",
		)
	}
	bare, signed, err := profiles.Sample{}.Header(p, g.m, body)
	require.NoError(t, err)
	require.Contains(t, signed, webhook.HeaderSignature)
	all := bare.Clone()
	for _, name := range signed {
		all[name] = h[name]
	}
	require.Equal(t, h, all, "a sample has every header that does not depend on the secret, and the names of the others")
	base := filepath.Join("testdata", "golden", p.Name, g.file)
	compare(t, base+".body", string(body))
	compare(t, base+".headers", headerText(h))
}

// TestGoldenFilesAreAllUsed finds recordings of events that a profile no longer has.
func TestGoldenFilesAreAllUsed(t *testing.T) {
	t.Parallel()
	if *update {
		return // they are being written
	}
	files, err := filepath.Glob(filepath.Join("testdata", "golden", "*", "*"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		p := profile(t, filepath.Base(filepath.Dir(file)))
		name := strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
		require.True(t, slices.ContainsFunc(goldens(t, p), func(g golden) bool { return g.file == name }), file)
	}
}

func compare(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o750))
		require.NoError(t, os.WriteFile(file, []byte(got), 0o600))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), got)
}

func headerText(h http.Header) string {
	var lines []string
	for name, values := range h {
		for _, v := range values {
			lines = append(lines, fmt.Sprintf("%s: %s\n", name, v))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

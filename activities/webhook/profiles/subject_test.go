package profiles_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"greenroom/activities/webhook/profiles"
	"greenroom/db/catalog"
)

// TestStandardBodyHasTheSubject: contracts of other products have no room for it.
func TestStandardBodyHasTheSubject(t *testing.T) {
	t.Parallel()
	for _, name := range profiles.Names() {
		p, err := profiles.ByName(name)
		require.NoError(t, err)
		m := message(t, p, catalog.InterviewStarted)
		plain, err := p.Render(m)
		require.NoError(t, err)
		m.Subject, m.Sequence = "interview:1", 42
		body, err := p.Render(m)
		require.NoError(t, err)
		if name == profiles.Standard {
			require.Contains(t, string(body), `,"subject":"interview:1","sequence":42,"data":`)
		} else {
			require.Equal(t, string(plain), string(body), name)
		}
	}
}

package catalog_test

import (
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"greenroom/db/catalog"
)

func TestTypes(t *testing.T) {
	t.Parallel()
	form := regexp.MustCompile(`^[a-z_]+\.[a-z_]+$`)
	seen := map[string]bool{}
	for _, typ := range catalog.Types() {
		require.True(t, form.MatchString(typ.Name) || typ.Name == catalog.Ping, typ.Name)
		require.False(t, seen[typ.Name], "%s is listed twice", typ.Name)
		require.NotEmpty(t, typ.When)
		seen[typ.Name] = true
	}
	catalog.Types()[0].Name = "changed"
	require.Equal(t, catalog.InterviewScheduled, catalog.Types()[0].Name, "the slice is the caller's own")
}

func TestCandidateName(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]catalog.Candidate{
		"":          {},
		"Ada":       {FirstName: "Ada"},
		"Byron":     {LastName: "Byron"},
		"Ada Byron": {FirstName: "Ada", LastName: "Byron"},
	} {
		require.Equal(t, want, c.Name())
	}
}

package service

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"greenroom/activities/webhook/profiles"
)

// A test call responds after its delivery, which can take as long as the longest timeout of a profile.
func TestAnswersAreNotCutOff(t *testing.T) {
	t.Parallel()
	for _, p := range profiles.All() {
		require.Less(t, readLimit+p.Timeout+5*time.Second, writeLimit, p.Name)
	}
}

package service

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"greenroom/activities/webhook/profiles"
)

// A test call answers after its delivery, which may take as long as the slowest profile lets a receiver.
func TestAnswersAreNotCutOff(t *testing.T) {
	t.Parallel()
	for _, p := range profiles.All() {
		require.Less(t, readLimit+p.Timeout+5*time.Second, writeLimit, p.Name)
	}
}

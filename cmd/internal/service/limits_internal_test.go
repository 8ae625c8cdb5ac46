package service

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"greenroom/activities/webhook"
)

// A test call answers after its delivery, which may take as long as the slowest profile lets a receiver.
func TestAnswersAreNotCutOff(t *testing.T) {
	t.Parallel()
	for _, name := range webhook.ProfileNames() {
		p, err := webhook.ProfileByName(name)
		require.NoError(t, err)
		require.Less(t, readLimit+p.Timeout+5*time.Second, writeLimit, name)
	}
}

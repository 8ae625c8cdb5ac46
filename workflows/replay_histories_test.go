package workflows_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/worker"

	"greenroom/workflows"
)

// TestRecordedHistoriesReplay proves that running workflows continue under this code: every recorded history must
// lead to the same commands. `make histories` records those of today beside the older ones, which stay: an instance
// that runs for weeks began under them.
func TestRecordedHistoriesReplay(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*/*.json")
	require.NoError(t, err)
	recorded := map[string]bool{}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		workflow, _, _ := strings.Cut(name, "-")
		recorded[workflow] = true
		t.Run(filepath.Base(filepath.Dir(file))+"_"+name, func(t *testing.T) {
			t.Parallel()
			r := worker.NewWorkflowReplayer()
			workflows.Register(r)
			require.NoError(t, r.ReplayWorkflowHistoryFromJSONFile(nil, file))
		})
	}
	for _, workflow := range []string{
		"DeliverWebhook", "DeliverBatch", "DeliverStream", "Circuit", "Interview", "ReplayDeliveries",
		"GenerateInterview", "ServiceRun", "InviteStaff", "ReplayDelivery",
	} {
		require.True(t, recorded[workflow], "a history of %s is recorded", workflow)
	}
}

package workflows_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"greenroom/activities"
	"greenroom/workflows"
)

// generationScript has the activities of GenerateInterview. The client asked for notifications.
type generationScript struct {
	*script
	id    uuid.UUID
	state activities.GenerationState
}

func newGenerationScript(t *testing.T) *generationScript {
	t.Helper()
	s := &generationScript{
		script: newScript(t), id: uuid.New(), state: activities.GenerationState{HasGenerator: true, Notifies: true},
	}
	s.RegisterActivity(&activities.Activities{})
	var a *activities.Activities
	s.OnActivity(a.CreateGenerated, mock.Anything, mock.Anything).Maybe().Return(
		func(ctx context.Context, id uuid.UUID) (activities.GenerationState, error) {
			return s.state, s.script.run(ctx, id)
		})
	byID := func(ctx context.Context, id uuid.UUID) error { return s.script.run(ctx, id) }
	s.OnActivity(a.AskGenerator, mock.Anything, mock.Anything).Maybe().Return(byID)
	s.OnActivity(a.NotifyGeneration, mock.Anything, mock.Anything).Maybe().Return(byID)
	s.OnActivity(a.EndGeneration, mock.Anything, mock.Anything).Maybe().Return(
		func(ctx context.Context, in activities.EndGenerationInput) error { return s.script.run(ctx, in) })
	return s
}

// run runs the workflow to its end and returns its error.
func (s *generationScript) run() error {
	s.t.Helper()
	s.ExecuteWorkflow(workflows.GenerateInterview, workflows.GenerateInterviewInput{GenerationID: s.id})
	require.True(s.t, s.IsWorkflowCompleted())
	return s.GetWorkflowError()
}

// ends are the recorded ends of the generation; an empty one is a success.
func (s *generationScript) ends() (reasons []string) {
	for _, try := range s.tries["EndGeneration"] {
		in := try.input.(activities.EndGenerationInput)
		require.Equal(s.t, s.id, in.GenerationID)
		reasons = append(reasons, in.Reason)
	}
	return reasons
}

func TestGenerateInterviewLimits(t *testing.T) {
	t.Parallel()
	t.Run("a_generator_has_an_hour", func(t *testing.T) {
		t.Parallel()
		s := newGenerationScript(t)
		s.on["AskGenerator"] = fails
		require.NoError(t, s.run())
		s.requireLimits("AskGenerator", 75*time.Second, time.Hour)
		require.Equal(t, seconds(1, 2, 4, 8, 16, 30, 30, 30, 30), s.waits("AskGenerator"))
		require.Equal(t, []string{"the generator could not be reached"}, s.ends())
		require.Equal(t, []string{"generator not reached"}, s.warnings)
	})
	t.Run("a_notification_of_progress_has_ten_minutes_that_of_the_end_a_day", func(t *testing.T) {
		t.Parallel()
		s := newGenerationScript(t)
		s.on["AskGenerator"] = s.failsOnce("AskGenerator")
		require.NoError(t, s.run())
		require.Len(t, s.tries["NotifyGeneration"], 2)
		s.requireLimits("NotifyGeneration", 75*time.Second, 10*time.Minute)
		require.Equal(t, 24*time.Hour, s.tries["NotifyGeneration"][1].info.ScheduleToCloseTimeout)
		require.Equal(t, []string{""}, s.ends())
		require.Empty(t, s.warnings)
	})
	t.Run("a_client_that_cannot_be_reached_is_notified_ever_more_rarely", func(t *testing.T) {
		t.Parallel()
		s := newGenerationScript(t)
		s.state.HasGenerator = false
		s.on["NotifyGeneration"] = fails
		require.NoError(t, s.run())
		require.Equal(t, seconds(1, 2, 4, 8, 16, 32, 64, 128, 256), s.waits("NotifyGeneration"))
		require.Equal(t, []string{"client not notified"}, s.warnings)
	})
	t.Run("a_client_that_asked_for_no_notifications_gets_none", func(t *testing.T) {
		t.Parallel()
		s := newGenerationScript(t)
		s.state.Notifies = false
		require.NoError(t, s.run())
		require.Empty(t, s.tries["NotifyGeneration"])
		require.Equal(t, []string{""}, s.ends())
	})
	t.Run("without_a_generator_none_is_asked", func(t *testing.T) {
		t.Parallel()
		s := newGenerationScript(t)
		s.state.HasGenerator = false
		require.NoError(t, s.run())
		require.Empty(t, s.tries["AskGenerator"])
		require.Equal(t, []string{""}, s.ends())
		require.Len(t, s.tries["NotifyGeneration"], 1, "of the end")
	})
}

// TestGenerateInterviewIsCanceledByARequest: the client learns that it failed, and why.
func TestGenerateInterviewIsCanceledByARequest(t *testing.T) {
	t.Parallel()
	s := newGenerationScript(t)
	s.on["AskGenerator"] = fails
	s.after(20*time.Second, s.CancelWorkflow)
	err := s.run()
	require.True(t, temporal.IsCanceledError(err), err)
	require.Equal(t, []string{"the generation was canceled by an operator"}, s.ends())
	require.Len(t, s.tries["AskGenerator"], 5, "at 0, 1, 3, 7 and 15 s")
}

// TestGenerateInterviewReportsAFaultOfItsOwn: when the generation cannot be created, the workflow fails, and nothing is
// asked or recorded.
func TestGenerateInterviewReportsAFaultOfItsOwn(t *testing.T) {
	t.Parallel()
	s := newGenerationScript(t)
	s.on["CreateGenerated"] = fails
	require.ErrorContains(t, s.run(), "unavailable")
	require.Empty(t, s.tries["AskGenerator"])
	require.Empty(t, s.ends())
	s = newGenerationScript(t)
	s.on["AskGenerator"] = s.failsOnce("AskGenerator")
	s.on["EndGeneration"] = fails
	require.ErrorContains(t, s.run(), "unavailable")
	require.Len(t, s.tries["NotifyGeneration"], 1, "none of an end that was not recorded")
}

package activities_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"greenroom/activities"
	"greenroom/db"
)

// TestInterviewVocabulary: a row's status becomes a state's by conversion, so each must have the state's name for it.
func TestInterviewVocabulary(t *testing.T) {
	t.Parallel()
	for row, state := range map[string]string{
		string(db.InterviewScheduled):  activities.InterviewScheduled,
		string(db.InterviewInProgress): activities.InterviewInProgress,
		string(db.InterviewCompleted):  activities.InterviewCompleted,
		string(db.InterviewFailed):     activities.InterviewFailed,
		string(db.InterviewCanceled):   activities.InterviewCanceled,
		string(db.Online):              activities.Online,
		string(db.Phone):               activities.Phone,
		string(db.CallCancelled):       activities.CallCancelled,
		db.AnalysisPending:             activities.AnalysisPending,
		db.ReasonInvitationExpired:     activities.ReasonInvitationExpired,
		db.ReasonMaxDuration:           activities.ReasonMaxDuration,
		db.ReasonNoAnswer:              activities.ReasonNoAnswer,
		db.ReasonTechnical:             activities.ReasonTechnical,
		db.ReasonProvider:              activities.ReasonProvider,
	} {
		assert.Equal(t, row, state)
	}
	assert.EqualValues(t, db.CallScheduled, activities.CallScheduled)
	assert.EqualValues(t, db.CallInProgress, activities.CallInProgress)
	assert.EqualValues(t, db.CallCompleted, activities.CallCompleted)
	assert.EqualValues(t, db.CallFailed, activities.CallFailed)
	assert.Equal(t, db.AnalysisCompleted, activities.AnalysisCompleted)
	assert.Equal(t, db.AnalysisFailed, activities.AnalysisFailed)
}

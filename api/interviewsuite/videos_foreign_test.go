package interviewsuite_test

import (
	"fmt"
	"net/http"
	"path"
	"testing"

	"greenroom/api/apitest"
)

// foreignMedia creates a row of every kind around videos, for the walk with a foreign key.
func foreignMedia(t *testing.T) (*evaluated, apitest.Foreign) {
	t.Helper()
	e := newEvaluated(t)
	e.upload("PUT", pathOf(t, e.answer["file"]), append(recording(500), apitest.Marker...)).Is(http.StatusAccepted)
	e.upload("PUT", e.inCandidate+"photo/", picture).Is(http.StatusAccepted)
	e.upload("PUT", e.inCandidate+"cv/", resume).Is(http.StatusAccepted)
	welcome := e.upload("POST", fmt.Sprintf("/api/v3/companies/%d/videos/", e.company.Number), append(recording(500), apitest.Marker...)).
		Is(http.StatusCreated)
	const company = "/api/v3/companies/:company"
	const project = company + "/projects/:project"
	const candidate = project + "/candidates/:candidate"
	return e, apitest.Foreign{
		Rows: map[string]string{
			company:                                  fmt.Sprint(e.company.Number),
			company + "/videos/:video":               idIn(welcome),
			project:                                  fmt.Sprint(e.project.Number),
			project + "/questions/:question":         fmt.Sprint(e.question.Number),
			project + "/results/:result":             fmt.Sprint(e.candidate.Number),
			candidate:                                fmt.Sprint(e.candidate.Number),
			candidate + "/answervideos/:answervideo": idIn(e.answer),
			candidate + "/ratings/:rating":           idIn(e.rating),
			candidate + "/notes/:note":               idIn(e.note),
			candidate + "/vetos/:veto":               idIn(e.veto),
		},
		Textless: []string{
			company + "/videos/", company + "/videos/:video/",
			candidate + "/answervideos/", candidate + "/answervideos/:answervideo/",
		},
	}
}

// idIn returns the integer id in a resource's address.
func idIn(o apitest.Object) string { return path.Base(o["resource_uri"].(string)) }

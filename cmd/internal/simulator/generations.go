package simulator

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

type generationRequest struct {
	GenerationID   string `json:"generationId"`
	JobRole        string `json:"jobRole"`
	JobDescription string `json:"jobDescription"`
}

type generationResult struct {
	Questions []string `json:"questions"`
}

// generate responds with questions marked as simulated. They depend only on the role,
// not on the description. It refuses a description with "[fail]".
func (s *Simulator) generate(w http.ResponseWriter, r *http.Request) {
	var req generationRequest
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		refuse(w, http.StatusBadRequest, "body is not a generation: "+err.Error())
		return
	}
	if req.GenerationID == "" || req.JobRole == "" {
		refuse(w, http.StatusBadRequest, "generationId and jobRole are required")
		return
	}
	if strings.Contains(req.JobDescription, "[fail]") {
		refuse(w, http.StatusUnprocessableEntity, "simulated: the description contains [fail]")
		return
	}
	answer(w, http.StatusOK, generationResult{questionsFor(req.JobRole)})
}

func questionsFor(role string) []string {
	questions := []string{
		"Why do you want to work as %s?",
		"What have you done that prepared you to work as %s?",
		"What would you do first as %s?",
	}
	for i, q := range questions {
		questions[i] = fmt.Sprintf("Simulated question %d: ", i+1) + fmt.Sprintf(q, role)
	}
	return questions
}

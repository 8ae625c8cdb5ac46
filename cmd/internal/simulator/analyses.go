package simulator

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/google/uuid"
)

const (
	// wordsOfFullAnswer is the length of an answer with full points: about 15 seconds of speech.
	wordsOfFullAnswer = 40
	// skillPoints of the 100 points depend on the share of required skills named, the rest on the length of the answers.
	skillPoints = 60
	rule        = "Simulated, not a judgement of a person: 60 points for the share of required skills named, 40 for " +
		"the length of answers."
)

type analysisRequest struct {
	InterviewID    string     `json:"interviewId"`
	JobTitle       string     `json:"jobTitle"`
	JobDescription string     `json:"jobDescription"`
	RequiredSkills []string   `json:"requiredSkills"`
	Transcript     []line     `json:"transcript"`
	Answers        []exchange `json:"answers"`
	CallbackURL    string     `json:"callbackUrl"`
}

// exchange is a question with its answer. In JSON it can also be a string, the answer.
type exchange struct {
	Question string `json:"question"`
	Answer   string `json:"answer"`
}

func (e *exchange) UnmarshalJSON(raw []byte) error {
	if err := json.Unmarshal(raw, &e.Answer); err == nil {
		return nil
	}
	type object exchange
	return json.Unmarshal(raw, (*object)(e))
}

type analysisResult struct {
	General  general `json:"general"`
	Specific any     `json:"specific"` // always null: the simulator tests no language
}

type general struct {
	OverallRating    int          `json:"overallRating"`    // 0–100
	CompanyFitRating string       `json:"companyFitRating"` // LOW, MEDIUM, HIGH
	Education        string       `json:"education"`
	Experience       string       `json:"experience"`
	StrongPoints     []string     `json:"strongPoints"`
	WeakPoints       []string     `json:"weakPoints"`
	Evaluation       []evaluation `json:"evaluation"`
	Summary          string       `json:"summary"`
}

type evaluation struct {
	Question string `json:"question"`
	Rating   int    `json:"rating"` // 0–100
	Comment  string `json:"comment"`
}

// analyse responds with the result. With "[async]" in an answer it sends the result by a later call-back; with "[fail]"
// it refuses.
func (s *Simulator) analyse(w http.ResponseWriter, r *http.Request) {
	var req analysisRequest
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		refuse(w, http.StatusBadRequest, "body is not an analysis: "+err.Error())
		return
	}
	exchanges := append(inTranscript(req.Transcript), req.Answers...)
	said := ""
	for _, e := range exchanges {
		said += e.Answer + "\n"
	}
	result := assess(req.RequiredSkills, exchanges, said)
	switch {
	case strings.Contains(said, "[fail]"):
		refuse(w, http.StatusUnprocessableEntity, "simulated: an answer contains [fail]")
	case strings.Contains(said, "[async]"):
		s.analyseLater(w, req, result)
	default:
		answer(w, http.StatusOK, result)
	}
}

func (s *Simulator) analyseLater(w http.ResponseWriter, req analysisRequest, result analysisResult) {
	if req.CallbackURL == "" {
		refuse(w, http.StatusBadRequest, "callbackUrl is required for an asynchronous analysis")
		return
	}
	s.mu.Lock()
	started := s.background(func() {
		err := sleep(s.ctx, s.opts.Talk)
		if err == nil {
			err = s.callBack(s.ctx, req.CallbackURL, result)
		}
		if err != nil {
			s.opts.Logger.Warn("simulator: analysis dropped", "interview_id", req.InterviewID, "error", err)
		}
	})
	s.mu.Unlock()
	if !started {
		refuse(w, http.StatusServiceUnavailable, "the simulator is stopping")
		return
	}
	answer(w, http.StatusAccepted, map[string]string{"analysisId": uuid.NewString()})
}

// inTranscript pairs each line of the agent with the candidate's next line.
func inTranscript(said []line) []exchange {
	exchanges, question := []exchange{}, ""
	for _, l := range said {
		if l.Role == "candidate" {
			exchanges = append(exchanges, exchange{Question: question, Answer: l.Content})
		} else {
			question = l.Content
		}
	}
	return exchanges
}

// assess applies the stated rule only, so equal input gives an equal result.
func assess(required []string, exchanges []exchange, said string) analysisResult {
	g := general{
		Education: "Not assessed by the simulator.", Experience: "Not assessed by the simulator.",
		StrongPoints: []string{}, WeakPoints: []string{}, Evaluation: []evaluation{},
	}
	said = strings.ToLower(said)
	for _, skill := range required {
		if strings.Contains(said, strings.ToLower(skill)) {
			g.StrongPoints = append(g.StrongPoints, "Named "+skill)
		} else {
			g.WeakPoints = append(g.WeakPoints, "Did not name "+skill)
		}
	}
	length := 0
	for _, e := range exchanges {
		words := len(strings.Fields(e.Answer))
		rating := min(100, 100*words/wordsOfFullAnswer)
		length += rating
		g.Evaluation = append(g.Evaluation, evaluation{e.Question, rating, fmt.Sprintf("Simulated: %d words.", words)})
	}
	length /= max(1, len(exchanges))
	g.OverallRating = length
	if len(required) > 0 {
		g.OverallRating = (skillPoints*100*len(g.StrongPoints)/len(required) + (100-skillPoints)*length) / 100
	}
	g.CompanyFitRating = fit(g.OverallRating)
	g.Summary = fmt.Sprintf("%s Named %d of %d; %d answers.", rule, len(g.StrongPoints), len(required), len(exchanges))
	return analysisResult{General: g}
}

func fit(rating int) string {
	switch {
	case rating >= 70:
		return "HIGH"
	case rating >= 40:
		return "MEDIUM"
	default:
		return "LOW"
	}
}

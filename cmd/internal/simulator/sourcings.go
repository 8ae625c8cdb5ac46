package simulator

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"html"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// pool is the number of profiles that the simulator finds for every request.
const pool = 42

type sourcingRequest struct {
	RequestID         string   `json:"requestId"`
	Title             string   `json:"title"`
	JobDescription    string   `json:"jobDescription"`
	Location          string   `json:"location"`
	Query             string   `json:"query"`
	Limit             int      `json:"limit"`
	ExcludeProfileIDs []string `json:"excludeProfileIds"`
	CallbackURL       string   `json:"callbackUrl"`
}

type sourcingResult struct {
	FoundCount  int                `json:"foundCount"`
	ScoredCount int                `json:"scoredCount"`
	Candidates  []sourcedCandidate `json:"candidates"`
}

type sourcedCandidate struct {
	ProfileID      string   `json:"profileId"`
	Name           string   `json:"name"`
	LinkedinURL    string   `json:"linkedinUrl"`
	MatchScore     int      `json:"matchScore"`
	Rationale      string   `json:"rationale"`
	Skills         []string `json:"skills"`
	Headline       string   `json:"headline"`
	Location       string   `json:"location,omitempty"`
	CurrentCompany string   `json:"currentCompany"`
	CurrentRole    string   `json:"currentRole"`
	AIFitPoints    []string `json:"aiFitPoints"`
	AIRedFlags     []string `json:"aiRedFlags"`
	Emails         []string `json:"emails,omitempty"`
}

// source responds with profiles marked as simulated, the same for the same title. It refuses a description with
// "[fail]", and reports the result later for one with "[async]".
func (s *Simulator) source(w http.ResponseWriter, r *http.Request) {
	var req sourcingRequest
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		refuse(w, http.StatusBadRequest, "body is not a sourcing: "+err.Error())
		return
	}
	if req.RequestID == "" || req.Title == "" || req.Limit < 1 {
		refuse(w, http.StatusBadRequest, "requestId, title and limit are required")
		return
	}
	result := find(req)
	text := req.JobDescription + req.Query
	switch {
	case strings.Contains(text, "[fail]"):
		refuse(w, http.StatusUnprocessableEntity, "simulated: the request contains [fail]")
	case strings.Contains(text, "[async]"):
		s.reportLater(w, req.RequestID, req.CallbackURL, result)
	default:
		answer(w, http.StatusOK, result)
	}
}

// find returns the first profiles of the title's pool that are not excluded.
func find(req sourcingRequest) sourcingResult {
	found := sourcingResult{FoundCount: pool, Candidates: []sourcedCandidate{}}
	h := fnv.New32a()
	_, _ = h.Write([]byte(strings.ToLower(req.Title))) // never fails
	for n := 1; n <= pool && len(found.Candidates) < req.Limit; n++ {
		id := fmt.Sprintf("sim-%08x-%d", h.Sum32(), n)
		if slices.Contains(req.ExcludeProfileIDs, id) {
			continue
		}
		found.Candidates = append(found.Candidates, sourcedCandidate{
			ProfileID: id, Name: fmt.Sprintf("Simulated Profile %d", n),
			LinkedinURL: "https://www.linkedin.com/in/" + id, MatchScore: max(0, 97-2*n),
			Rationale: "Simulated: the score falls with the profile's number.",
			Skills:    []string{"Simulation"}, Headline: req.Title + " (simulated)", Location: req.Location,
			CurrentCompany: "Simulated Company", CurrentRole: req.Title,
			AIFitPoints: []string{"Simulated fit"}, AIRedFlags: []string{},
		})
	}
	found.ScoredCount = len(found.Candidates)
	return found
}

type enrichmentRequest struct {
	RequestID string `json:"requestId"`
	Profiles  []struct {
		ProfileID   string `json:"profileId"`
		LinkedinURL string `json:"linkedinUrl"`
	} `json:"profiles"`
	CallbackURL string `json:"callbackUrl"`
}

type enrichmentResult struct {
	Profiles []enrichedProfile `json:"profiles"`
}

type enrichedProfile struct {
	ProfileID    string            `json:"profileId"`
	Candidate    *sourcedCandidate `json:"candidate,omitempty"`
	ErrorCode    string            `json:"errorCode,omitempty"`
	ErrorMessage string            `json:"errorMessage,omitempty"`
}

// enrich gives each profile an e-mail address of example.com. A profile whose id ends with "-7" fails.
func (s *Simulator) enrich(w http.ResponseWriter, r *http.Request) {
	var req enrichmentRequest
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		refuse(w, http.StatusBadRequest, "body is not an enrichment: "+err.Error())
		return
	}
	if req.RequestID == "" || len(req.Profiles) == 0 {
		refuse(w, http.StatusBadRequest, "requestId and profiles are required")
		return
	}
	result := enrichmentResult{}
	for _, p := range req.Profiles {
		if strings.HasSuffix(p.ProfileID, "-7") {
			result.Profiles = append(result.Profiles, enrichedProfile{
				ProfileID: p.ProfileID, ErrorCode: "TIMEOUT", ErrorMessage: "simulated: profiles with the number 7 fail",
			})
			continue
		}
		number := p.ProfileID[strings.LastIndex(p.ProfileID, "-")+1:]
		result.Profiles = append(result.Profiles, enrichedProfile{ProfileID: p.ProfileID, Candidate: &sourcedCandidate{
			ProfileID: p.ProfileID, Name: "Simulated Profile " + number, LinkedinURL: p.LinkedinURL, MatchScore: 80,
			Rationale: "Simulated: enriched.", Skills: []string{"Simulation"}, Headline: "Simulated",
			CurrentCompany: "Simulated Company", CurrentRole: "Simulated role",
			AIFitPoints: []string{"Simulated fit"}, AIRedFlags: []string{},
			Emails: []string{"profile" + number + "@example.com"},
		}})
	}
	answer(w, http.StatusOK, result)
}

// reportLater responds 202 and reports the result after the time of a talk.
func (s *Simulator) reportLater(w http.ResponseWriter, request, to string, result any) {
	if to == "" {
		refuse(w, http.StatusBadRequest, "callbackUrl is required for a later report")
		return
	}
	s.mu.Lock()
	started := s.background(func() {
		err := sleep(s.ctx, s.opts.Talk)
		if err == nil {
			err = s.callBack(s.ctx, to, result)
		}
		if err != nil {
			s.opts.Logger.Warn("simulator: report dropped", "request_id", request, "error", err)
		}
	})
	s.mu.Unlock()
	if !started {
		refuse(w, http.StatusServiceUnavailable, "the simulator is stopping")
		return
	}
	answer(w, http.StatusAccepted, map[string]string{"requestId": request})
}

type extractionRequest struct {
	URL  string `json:"url"`
	HTML string `json:"html"`
}

type extractedJob struct {
	Title       string `json:"title"`
	Description string `json:"description"`
	Status      string `json:"status"`
}

var (
	titleTag = regexp.MustCompile(`(?is)<title[^>]*>(.*?)</title>`)
	unshown  = regexp.MustCompile(`(?is)<(script|style|head)\b.*?</(script|style|head)>|<!--.*?-->`)
	anyTag   = regexp.MustCompile(`(?s)<[^>]*>`)
)

// longestDescription is what a job's description may have.
const longestDescription = 10_000

// extract takes the page's title as the job's, and its text as the description. It refuses a page without a title.
func (s *Simulator) extract(w http.ResponseWriter, r *http.Request) {
	var req extractionRequest
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		refuse(w, http.StatusBadRequest, "body is not an extraction: "+err.Error())
		return
	}
	title := titleTag.FindStringSubmatch(req.HTML)
	if title == nil || strings.TrimSpace(title[1]) == "" {
		refuse(w, http.StatusUnprocessableEntity, "simulated: the page has no title")
		return
	}
	text := []rune(plain(unshown.ReplaceAllString(req.HTML, " ")))
	answer(w, http.StatusOK, extractedJob{
		Title: plain(title[1]), Description: string(text[:min(len(text), longestDescription)]), Status: "OPEN",
	})
}

// plain is the text of HTML, with single spaces.
func plain(page string) string {
	return strings.Join(strings.Fields(html.UnescapeString(anyTag.ReplaceAllString(page, " "))), " ")
}

package profiles

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"greenroom/db/catalog"
)

// AIReport is the report on one response: the submission webhook's body, and part of the AI interviews API, which adds
// the conversation. Every evaluation comes from the analyser and is null if the analyser did not give it; only the
// scale of the score is derived. These fields of the analysis are read, first from general, then from specific:
//
//	candidate_summary   candidateSummary, candidate_summary, summary      a text
//	integrity_score     integrityScore, integrity_score                   a number, 0–10
//	recommendation      recommendation                                    a text
//	score               score, a number, 0–10; else overallRating (0–100) divided by ten
//	skill_wise_scores   skillWiseScores, skill_wise_scores                an object {must_haves, nice_to_haves}
type AIReport struct {
	AIResponse
	CandidateSummary *string `json:"candidate_summary"`
	// CompletedDate has the original's format, in UTC: Jul 05, 2025, 4:42:45 AM.
	CompletedDate  *string  `json:"completed_date"`
	CustomFieldID  *string  `json:"custom_field_id"`
	IntegrityScore *float64 `json:"integrity_score"`
	// InterviewRecording maps the time in milliseconds since 1970 to the recording's URL.
	InterviewRecording map[string]string `json:"interview_recording"`
	PDFLink            *string           `json:"pdf_link"`
	Recommendation     *string           `json:"recommendation"`
	ReportLink         *string           `json:"report_link"`
	Score              *float64          `json:"score"`

	SkillWiseScores map[string]json.RawMessage `json:"skill_wise_scores"`
}

// AIReportOf makes the report on a completed interview. Its links begin with baseURL, which has no trailing slash, and
// need a key of the company.
func AIReportOf(c *catalog.Context, baseURL string) AIReport {
	r := AIReport{AIResponse: aiResponseOf(c, "Completed"), InterviewRecording: aiRecordings(c, baseURL)}
	if i := c.Interview; i != nil {
		r.CustomFieldID, r.CompletedDate = i.CustomField, aiDate(i.FinishedAt)
		report := fmt.Sprintf("%s/ai-interviews/report/%d", baseURL, i.Number)
		pdf := report + "/download"
		r.ReportLink, r.PDFLink = &report, &pdf
	}
	a := aiAnalysisOf(c.Analysis)
	r.CandidateSummary = firstField[string](a, "candidateSummary", "candidate_summary", "summary")
	r.IntegrityScore = firstField[float64](a, "integrityScore", "integrity_score")
	r.Recommendation = firstField[string](a, "recommendation")
	if r.Score = firstField[float64](a, "score"); r.Score == nil {
		if rating := firstField[float64](a, "overallRating"); rating != nil {
			score := *rating / 10
			r.Score = &score
		}
	}
	if skills := firstField[map[string]json.RawMessage](a, "skillWiseScores", "skill_wise_scores"); skills != nil {
		r.SkillWiseScores = *skills
	}
	return r
}

func aiDate(t *time.Time) *string {
	if t == nil {
		return nil
	}
	date := t.UTC().Format("Jan 02, 2006, 3:04:05 PM")
	return &date
}

// aiRecordings gives each recording its own key: a second one of the same millisecond gets the next free millisecond.
func aiRecordings(c *catalog.Context, baseURL string) map[string]string {
	urls := map[string]string{}
	l := linksOf(baseURL, c)
	for _, r := range c.Recordings {
		url := l.recording(r)
		if url == "" {
			continue
		}
		ms := r.At.UnixMilli()
		for urls[strconv.FormatInt(ms, 10)] != "" {
			ms++
		}
		urls[strconv.FormatInt(ms, 10)] = url
	}
	return urls
}

// aiAnalysis holds the analyser's fields: those of general, then those of specific.
type aiAnalysis [2]map[string]json.RawMessage

func aiAnalysisOf(a *catalog.Analysis) (parts aiAnalysis) {
	if a == nil {
		return parts
	}
	for i, raw := range []json.RawMessage{a.General, a.Specific} {
		if json.Unmarshal(raw, &parts[i]) != nil { // missing, or not an object
			parts[i] = nil
		}
	}
	return parts
}

// firstField returns the first of the named fields that has type T; nil if none has.
func firstField[T any](a aiAnalysis, names ...string) *T {
	for _, part := range a {
		for _, name := range names {
			raw := part[name]
			v := new(T)
			if string(raw) != "null" && json.Unmarshal(raw, v) == nil {
				return v
			}
		}
	}
	return nil
}

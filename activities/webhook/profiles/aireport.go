package profiles

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"greenroom/db/catalog"
)

// AIReport is the report on one response, of the submission webhook and of the AI interviews API, which adds the
// conversation. Everything that evaluates is the analyser's own and null where it did not say it: nothing is derived
// but the scale of the score. The fields of the analysis that are read, first in general and then in specific, are:
//
//	candidate_summary   candidateSummary, candidate_summary, summary      a text
//	integrity_score     integrityScore, integrity_score                   a number, 0–10
//	recommendation      recommendation                                    a text
//	score               score, a number, 0–10; else overallRating (0–100) divided by ten
//	skill_wise_scores   skillWiseScores, skill_wise_scores                an object {must_haves, nice_to_haves}
type AIReport struct {
	AIResponse
	CandidateSummary *string `json:"candidate_summary"`
	// CompletedDate is as the original writes it, in UTC: Jul 05, 2025, 4:42:45 AM.
	CompletedDate  *string  `json:"completed_date"`
	CustomFieldID  *string  `json:"custom_field_id"`
	IntegrityScore *float64 `json:"integrity_score"`
	// InterviewRecording: milliseconds since 1970 → where the recording is.
	InterviewRecording map[string]string `json:"interview_recording"`
	PDFLink            *string           `json:"pdf_link"`
	Recommendation     *string           `json:"recommendation"`
	ReportLink         *string           `json:"report_link"`
	Score              *float64          `json:"score"`

	SkillWiseScores map[string]json.RawMessage `json:"skill_wise_scores"`
}

// AIReportOf makes the report from what is known of a completed interview. The links are below baseURL, which has no
// slash at its end, and need a key of the company.
func AIReportOf(c *catalog.Context, baseURL string) AIReport {
	r := AIReport{AIResponse: aiResponseOf(c, "Completed"), InterviewRecording: aiRecordings(c, baseURL)}
	if i := c.Interview; i != nil {
		r.CustomFieldID, r.CompletedDate = i.CustomField, aiDate(i.FinishedAt)
		report := fmt.Sprintf("%s/ai-interviews/report/%d", baseURL, i.Number)
		pdf := report + "/download"
		r.ReportLink, r.PDFLink = &report, &pdf
	}
	a := aiAnalysisOf(c.Analysis)
	r.CandidateSummary = said[string](a, "candidateSummary", "candidate_summary", "summary")
	r.IntegrityScore = said[float64](a, "integrityScore", "integrity_score")
	r.Recommendation = said[string](a, "recommendation")
	if r.Score = said[float64](a, "score"); r.Score == nil {
		if rating := said[float64](a, "overallRating"); rating != nil {
			score := *rating / 10
			r.Score = &score
		}
	}
	if skills := said[map[string]json.RawMessage](a, "skillWiseScores", "skill_wise_scores"); skills != nil {
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

// aiRecordings gives each recording a key of its own: two that began in the same millisecond are told apart by one.
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

// aiAnalysis is what an analyser said: the fields of general and of specific.
type aiAnalysis [2]map[string]json.RawMessage

func aiAnalysisOf(a *catalog.Analysis) (parts aiAnalysis) {
	if a == nil {
		return parts
	}
	for i, raw := range []json.RawMessage{a.General, a.Specific} {
		if json.Unmarshal(raw, &parts[i]) != nil { // not there, or no object: then it has no fields
			parts[i] = nil
		}
	}
	return parts
}

// said is the first of the named fields that is there in the wanted form.
func said[T any](a aiAnalysis, names ...string) *T {
	for _, part := range a {
		for _, name := range names {
			raw := part[name]
			v := new(T)
			if len(raw) > 0 && string(raw) != "null" && json.Unmarshal(raw, v) == nil {
				return v
			}
		}
	}
	return nil
}

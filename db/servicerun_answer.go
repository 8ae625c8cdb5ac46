package db

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"greenroom/db/pg"
)

// Sourced is a sourcing service's answer: the candidates of one pass, and how many profiles it found and rated.
type Sourced struct {
	FoundCount  int                 `json:"foundCount"`
	ScoredCount int                 `json:"scoredCount"`
	Candidates  []*SourcedCandidate `json:"candidates"`
}

// Enriched is a sourcing service's answer for one profile: the candidate, or why there is none.
type Enriched struct {
	ProfileID    string            `json:"profileId"`
	Candidate    *SourcedCandidate `json:"candidate"`
	ErrorCode    string            `json:"errorCode"`
	ErrorMessage string            `json:"errorMessage"`
}

// Limits of a sourcing service's answer. They bound what a person's card and a page of results show.
const (
	maxProfileID   = 128
	maxProfileText = 2000 // characters of each text
	maxProfileList = 50   // entries of each list
	maxCounted     = 1_000_000_000
	// MaxProfiles bounds the candidates of an answer: as many as a request may ask for.
	MaxProfiles = 100
)

// ParseSourced reads the answer of a sourcing, or of an enrichment. fault completes the sentence "the answer …" if it
// is not valid. Unknown fields are ignored.
func ParseSourced(raw []byte) (s *Sourced, fault string) {
	s = new(Sourced)
	if json.Unmarshal(raw, s) != nil || s.Candidates == nil {
		return nil, `has no list "candidates"`
	}
	if fault := pg.JSONFault(raw); fault != "" {
		return nil, fault
	}
	if len(s.Candidates) > MaxProfiles {
		return nil, fmt.Sprintf("has more than %d candidates", MaxProfiles)
	}
	if s.FoundCount < 0 || s.FoundCount > maxCounted || s.ScoredCount < 0 || s.ScoredCount > maxCounted {
		return nil, "has a count out of range"
	}
	for i, c := range s.Candidates {
		if fault := c.check(); fault != "" {
			return nil, fmt.Sprintf("has a candidate [%d] %s", i, fault)
		}
	}
	s.Candidates = slices.CompactFunc(slices.SortedStableFunc(slices.Values(s.Candidates), byProfile), sameProfile)
	slices.SortStableFunc(s.Candidates, byScore)
	return s, ""
}

// ParseEnriched reads the answer of an enrichment of those profiles, like ParseSourced.
func ParseEnriched(raw []byte) (profiles []Enriched, fault string) {
	var answer struct {
		Profiles []Enriched `json:"profiles"`
	}
	if json.Unmarshal(raw, &answer) != nil || answer.Profiles == nil {
		return nil, `has no list "profiles"`
	}
	if fault := pg.JSONFault(raw); fault != "" {
		return nil, fault
	}
	for i := range answer.Profiles {
		e := &answer.Profiles[i]
		if e.Candidate == nil {
			e.ErrorCode, e.ErrorMessage = clip(e.ErrorCode, maxProfileID), clip(e.ErrorMessage, maxProfileText)
			if e.ErrorCode == "" {
				e.ErrorCode = EnrichmentFailed
			}
			continue
		}
		if e.Candidate.ProfileID == "" {
			e.Candidate.ProfileID = e.ProfileID
		}
		if e.Candidate.ProfileID != e.ProfileID {
			return nil, fmt.Sprintf("has a profile [%d] with the candidate of another one", i)
		}
		if fault := e.Candidate.check(); fault != "" {
			return nil, fmt.Sprintf("has a candidate [%d] %s", i, fault)
		}
	}
	return answer.Profiles, ""
}

func byProfile(a, b *SourcedCandidate) int    { return strings.Compare(a.ProfileID, b.ProfileID) }
func sameProfile(a, b *SourcedCandidate) bool { return a.ProfileID == b.ProfileID }

// byScore orders candidates by their score, the best first.
func byScore(a, b *SourcedCandidate) int { return b.rank() - a.rank() }

func (c *SourcedCandidate) rank() int {
	if c.MatchScore == nil {
		return -1
	}
	return *c.MatchScore
}

// check refuses a candidate that is too large, and one without an id or a name. An address that is no web address is
// dropped, because it would become a link.
func (c *SourcedCandidate) check() string {
	switch {
	case c == nil:
		return "that is null"
	case !ValidProfileID(c.ProfileID):
		return fmt.Sprintf("without a profileId of 1 to %d characters", maxProfileID)
	case strings.TrimSpace(c.Name) == "":
		return "without a name"
	case c.MatchScore != nil && (*c.MatchScore < 0 || *c.MatchScore > 100):
		return "with a matchScore that is not between 0 and 100"
	}
	if u, err := url.Parse(c.LinkedinURL); err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		c.LinkedinURL = ""
	}
	if c.Skills == nil {
		c.Skills = []string{}
	}
	texts := slices.Concat([]string{
		c.Name, c.LinkedinURL, c.Rationale, c.Headline, c.Location, c.CurrentCompany, c.CurrentRole,
	}, c.Skills, c.AIFitPoints, c.AIRedFlags, c.Emails)
	for _, r := range c.AIDetailedRationale {
		texts = append(texts, r.Title, r.Company, r.Duration, r.RelevanceExplanation)
	}
	longest := max(len(c.Skills), len(c.AIFitPoints), len(c.AIRedFlags), len(c.Emails), len(c.AIDetailedRationale),
		len(c.DetailedExperience))
	for _, e := range c.DetailedExperience {
		texts, longest = append(
			append(texts, e.Role, e.Company, e.Duration),
			e.Highlights...), max(
			longest,
			len(e.Highlights),
		)
	}
	if longest > maxProfileList {
		return fmt.Sprintf("with a list of more than %d entries", maxProfileList)
	}
	if slices.ContainsFunc(texts, func(t string) bool { return utf8.RuneCountInString(t) > maxProfileText }) {
		return fmt.Sprintf("with a text of more than %d characters", maxProfileText)
	}
	return ""
}

// ValidProfileID reports whether a text can be the id of a profile.
func ValidProfileID(id string) bool {
	return id != "" && utf8.RuneCountInString(id) <= maxProfileID && !strings.ContainsRune(id, 0)
}

// clip cuts a text to n characters.
func clip(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n])
	}
	return s
}

package profiles

import (
	"fmt"

	"greenroom/activities/webhook"
	"greenroom/db/catalog"
)

// links makes the URLs of the interview suite's resources. A URL is empty if a part of it is not known.
type links struct {
	base string // the company's URL without a trailing slash
	*catalog.Context
}

func linksOf(base string, c *catalog.Context) links {
	l := links{Context: c}
	if c.Company != nil {
		l.base = fmt.Sprintf("%s/api/v3/companies/%d", base, c.Company.Number)
	}
	return l
}

func messageLinks(m webhook.Message) links { return linksOf(m.BaseURL, m.Context) }

func (l links) project() string {
	if l.base == "" || l.Job == nil {
		return ""
	}
	return fmt.Sprintf("%s/projects/%d/", l.base, l.Job.Number)
}

func (l links) candidate() string {
	if l.project() == "" || l.Candidate == nil {
		return ""
	}
	return fmt.Sprintf("%scandidates/%d/", l.project(), l.Candidate.Number)
}

// below returns the URL of a resource under its parent; empty if either is missing.
func below(parent, kind string, o *catalog.Object) string {
	if parent == "" || o == nil {
		return ""
	}
	return fmt.Sprintf("%s%s/%d/", parent, kind, o.Number)
}

func (l links) question() string { return below(l.project(), "questions", l.Question) }

func (l links) answerVideo(v *catalog.Object) string { return below(l.candidate(), "answervideos", v) }

func (l links) rating() string { return below(l.candidate(), "ratings", l.Rating) }

func (l links) note() string { return below(l.candidate(), "notes", l.Note) }

func (l links) staff() string {
	if l.base == "" {
		return ""
	}
	return below(l.base+"/", "customers", l.Staff)
}

// recording returns the URL of a recording: the provider's, or the file of a video that is stored here, which needs a
// key of the company.
func (l links) recording(r catalog.Recording) string {
	if r.URL != "" || r.Video == nil {
		return r.URL
	}
	if video := l.answerVideo(r.Video); video != "" {
		return video + "file/"
	}
	return ""
}

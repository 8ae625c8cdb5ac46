package api

import (
	"bytes"
	"encoding/json"
	"regexp"

	"greenroom/api/surface"
)

// isSubject are the allowed subjects: ids, which have no spaces and no "@", so that nobody's name or address gets into
// places where an erasure does not look.
var isSubject = regexp.MustCompile(`^[A-Za-z0-9._:/-]{1,200}$`).MatchString

// subject returns what an event is about: what the publisher says, or else the interview, the candidate or the job that
// its data names by interviewId, candidateId or jobId. Nil: nothing. It decodes no data that has none of these names.
func (p *publication) subject(data json.RawMessage) *string {
	if p.Subject != nil {
		return p.Subject
	}
	for _, kind := range []string{"interview", "candidate", "job"} {
		name := kind + "Id"
		if !bytes.Contains(data, []byte(name)) {
			continue
		}
		var id string
		_, value, _ := member(data, name)
		if json.Unmarshal(value, &id) == nil && id != "" && isSubject(kind+":"+id) {
			subject := kind + ":" + id
			return &subject
		}
	}
	return nil
}

// checkSubject refuses a subject that is not an id.
func (p *publication) checkSubject() error {
	if p.Subject != nil && !isSubject(*p.Subject) {
		return surface.Invalid("subject",
			"subject must be an id of 1 to 200 letters, digits and . _ : / - , such as interview:42")
	}
	return nil
}

package surface

import (
	"time"

	"github.com/google/uuid"

	"greenroom/db"
	"greenroom/db/pg"
	"greenroom/db/token"
)

const (
	// lateness allows a start in the recent past: clocks differ, and a request takes time.
	lateness = time.Minute
	// maxAhead limits how far ahead a start may be scheduled.
	maxAhead = 366 * 24 * time.Hour
	// defaultMaxMinutes limits an interview's duration if the options do not; it is also the default of that setting.
	defaultMaxMinutes = 120
)

// CheckStart refuses a start in the past or too far ahead; name is the field's name.
func CheckStart(name string, at, now time.Time) error {
	if at.Before(now.Add(-lateness)) {
		return Invalid(name, name+" must not be in the past")
	}
	if at.After(now.Add(maxAhead)) {
		return Invalid(name, name+" must be at most 366 days ahead")
	}
	return nil
}

// InterviewRow makes a new interview of the candidate by the agent, with the deadlines of the options: an ONLINE
// interview can be started until InvitationDeadline after at. job may be nil. The row is not stored: see
// db.CreateInterview.
func (s *Core) InterviewRow(a *db.Agent, c *db.Candidate, job *uuid.UUID, at time.Time) *db.Interview {
	i := &db.Interview{
		ID: pg.NewID(), CompanyID: c.CompanyID, CandidateID: c.ID, JobID: job, AgentID: a.ID, Type: a.Type, ScheduledAt: at,
		MaxMinutes: defaultMaxMinutes,
	}
	if s.MaxDuration > 0 {
		i.MaxMinutes = max(1, int((s.MaxDuration+time.Minute-1)/time.Minute))
	}
	if a.Type == db.Online && s.InvitationDeadline > 0 {
		deadline := at.Add(s.InvitationDeadline)
		i.DeadlineAt = &deadline
	}
	return i
}

// InviteURL returns the link by which a candidate opens an ONLINE interview. The link is the credential, and never
// changes.
func (s *Core) InviteURL(interview uuid.UUID) string {
	return token.InviteURL(s.PublicURL, s.Secret, interview)
}

package surface

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"greenroom/db"
	"greenroom/db/pg"
	"greenroom/db/token"
)

const (
	// lateness is how far in the past a start may lie: clocks differ, and a request takes its time.
	lateness = time.Minute
	// maxAhead bounds how far ahead something may be scheduled.
	maxAhead = 366 * 24 * time.Hour
	// defaultMaxMinutes bounds an interview in progress when the options do not: the setting's own default.
	defaultMaxMinutes = 120
)

// CheckStart refuses a time at which nothing can begin; name is the field's.
func CheckStart(name string, at, now time.Time) error {
	if at.Before(now.Add(-lateness)) {
		return Invalid(name, name+" must not be in the past")
	}
	if at.After(now.Add(maxAhead)) {
		return Invalid(name, name+" must be at most 366 days ahead")
	}
	return nil
}

// NewInterview returns the row of a new interview that starts at the given time, for db.Invite: with the time limits of
// the options, and mailed when there is a mail server. It stores nothing.
func (s *Core) NewInterview(at time.Time) *db.Interview {
	i := &db.Interview{
		ID: pg.NewID(), ScheduledAt: at, MaxMinutes: defaultMaxMinutes, InviteMail: s.Mails, Metadata: json.RawMessage("{}"),
	}
	if s.MaxDuration > 0 {
		i.MaxMinutes = max(1, int((s.MaxDuration+time.Minute-1)/time.Minute))
	}
	if s.InvitationDeadline > 0 {
		deadline := at.Add(s.InvitationDeadline)
		i.DeadlineAt = &deadline
	}
	return i
}

// InviteURL is the link by which a candidate opens an ONLINE interview; whoever has it may. The same each time.
func (s *Core) InviteURL(interview uuid.UUID) string {
	return token.InviteURL(s.PublicURL, s.Secret, interview)
}

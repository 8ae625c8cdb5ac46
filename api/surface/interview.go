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

// InviteURL returns the link by which a candidate opens an ONLINE interview. The link is the credential, and never
// changes.
func (s *Core) InviteURL(interview uuid.UUID) string {
	return token.InviteURL(s.PublicURL, s.Secret, interview)
}

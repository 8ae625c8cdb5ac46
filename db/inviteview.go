package db

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/pg"
)

// InviteView is what the candidate of an ONLINE interview may see: no data that only the company may see.
type InviteView struct {
	InterviewID     uuid.UUID
	CompanyID       uuid.UUID
	Company         string
	FirstName       string
	JobTitle        *string
	Agent           string
	Language        string
	DurationMinutes int
	// MaxMinutes is how long the interview may be in progress.
	MaxMinutes   int
	Questions    []string `bun:"questions,type:jsonb"`
	Status       InterviewStatus
	StatusReason *string
	ScheduledAt  time.Time
	DeadlineAt   *time.Time
	StartedAt    *time.Time
}

// Expired reports whether the deadline has passed and the interview has not started.
func (i *InviteView) Expired(at time.Time) bool {
	return i.Status == InterviewScheduled && i.DeadlineAt != nil && !at.Before(*i.DeadlineAt) ||
		i.Status == InterviewFailed && i.StatusReason != nil && *i.StatusReason == ReasonInvitationExpired
}

// NotYet reports whether the start is still more than a minute ahead: clocks may differ by that much.
func (i *InviteView) NotYet(at time.Time) bool {
	return i.Status == InterviewScheduled && at.Add(time.Minute).Before(i.ScheduledAt)
}

// EndsAt is when an interview that has started ends without answers; nil before the start.
func (i *InviteView) EndsAt() *time.Time {
	if i.StartedAt == nil {
		return nil
	}
	end := i.StartedAt.Add(time.Duration(i.MaxMinutes) * time.Minute)
	return &end
}

// LoadInvite reads what the candidate of an ONLINE interview may see. A deleted interview, one of a
// deleted candidate and a PHONE interview are ErrNotFound. A deleted job or agent is still shown.
func LoadInvite(ctx context.Context, db bun.IDB, interview uuid.UUID) (*InviteView, error) {
	i := new(InviteView)
	err := db.NewRaw(`SELECT i.id AS interview_id, i.company_id, co.name AS company, c.first_name, j.title AS job_title,
			a.name AS agent, a.language, a.duration_minutes, i.max_minutes, a.questions, i.status, i.status_reason,
			i.scheduled_at, i.deadline_at, i.started_at
		FROM interviews i JOIN companies co ON co.id = i.company_id JOIN candidates c ON c.id = i.candidate_id
			JOIN agents a ON a.id = i.agent_id LEFT JOIN jobs j ON j.id = i.job_id
		WHERE i.id = ? AND i.type = 'ONLINE' AND i.deleted_at IS NULL AND c.deleted_at IS NULL`, interview).Scan(ctx, i)
	if err != nil {
		return nil, fmt.Errorf("load invite: %w", pg.Translate(err))
	}
	return i, nil
}

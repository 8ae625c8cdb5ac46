package db

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// About names the rows that an event is about. They must exist; rows that an interview refers to need not be repeated.
type About struct {
	Company                                    uuid.UUID
	Job, Candidate, Interview                  *uuid.UUID
	Question, AnswerVideo, Rating, Note, Staff *uuid.UUID
	// Changed names the columns that an update changed.
	Changed []string
}

// recordAbout records events with the same data, and with the context of those rows as tx sees them.
func recordAbout(ctx context.Context, tx bun.Tx, a About, data json.RawMessage, eventTypes ...string) error {
	var about string
	err := pg.Direct(tx).
		QueryRowContext(ctx, contextSQL, a.Company, a.Job, a.Candidate, a.Interview, a.Question, a.AnswerVideo,
			a.Rating, a.Note,
			a.Staff, a.Changed).
		Scan(&about)
	if err != nil {
		return fmt.Errorf("read what the event is about: %w", pg.Translate(err))
	}
	es := make([]*delivery.Event, len(eventTypes))
	for i, t := range eventTypes {
		es[i] = &delivery.Event{
			CompanyID: &a.Company, JobID: a.Job, Type: t, Data: data, Context: json.RawMessage(about), Subject: a.subject(),
		}
	}
	_, err = delivery.RecordEvents(ctx, tx, es)
	return err
}

// subject returns the subject of the events: the interview, or else the candidate, or else the job; nil for none.
func (a *About) subject() *string {
	for _, of := range []struct {
		kind string
		id   *uuid.UUID
	}{{"interview", a.Interview}, {"candidate", a.Candidate}, {"job", a.Job}} {
		if of.id != nil {
			subject := of.kind + ":" + of.id.String()
			return &subject
		}
	}
	return nil
}

// contextSQL builds a catalog.Context of $1 company, $2 job, $3 candidate, $4 interview, $5 question, $6 answer video,
// $7 rating, $8 note, $9 staff user and $10 the changed columns. A candidate counts as created when this transaction
// inserted its row and has not changed it since. The analysis is added last, because its nulls must stay.
const contextSQL = `
SELECT (jsonb_strip_nulls(jsonb_build_object(
  'company', jsonb_build_object('id', co.id, 'number', co.number, 'name', co.name),
  'job', CASE WHEN j.id IS NOT NULL THEN jsonb_build_object('id', j.id, 'number', j.number, 'title', j.title,
    'description', j.description, 'status', j.status, 'createdAt', j.created_at, 'updatedAt', j.updated_at) END,
  'candidate', CASE WHEN c.id IS NOT NULL THEN jsonb_build_object('id', c.id, 'number', c.number, 'firstName',
  c.first_name,
    'lastName', c.last_name, 'email', c.email, 'phoneNumber', c.phone_number, 'status', c.status,
    'createdAt', c.created_at, 'updatedAt', c.updated_at) END,
  'interview', CASE WHEN i.id IS NOT NULL THEN jsonb_build_object('id', i.id, 'number', i.number, 'type', i.type,
  'status', i.status,
    'statusReason', i.status_reason, 'agentId', a.id, 'agentName', a.name, 'language', a.language, 'plannedMinutes',
    a.duration_minutes,
    'scheduledAt', i.scheduled_at, 'deadlineAt', i.deadline_at, 'startedAt', i.started_at, 'finishedAt', i.finished_at,
    'customField', i.custom_field, 'createdAt', i.created_at) END,
  'question', (SELECT jsonb_build_object('id', x.id, 'number', x.number) FROM questions x WHERE x.id = $5::uuid),
  'answerVideo', (SELECT jsonb_build_object('id', x.id, 'number', x.number) FROM answer_videos x WHERE x.id = $6::uuid),
  'rating', (SELECT jsonb_build_object('id', x.id, 'number', x.number) FROM ratings x WHERE x.id = $7::uuid),
  'note', (SELECT jsonb_build_object('id', x.id, 'number', x.number) FROM notes x WHERE x.id = $8::uuid),
  'staff', (SELECT jsonb_build_object('id', x.id, 'number', x.number) FROM staff x WHERE x.id = $9::uuid),
  'recordings', (SELECT jsonb_agg(r.recording ORDER BY r.at, r.id) FROM (
    SELECT ca.id, ca.updated_at AS at, jsonb_build_object('url', ca.recording_url, 'at', ca.updated_at,
      'durationSeconds', ca.duration_seconds) AS recording
    FROM call_attempts ca WHERE ca.interview_id = i.id AND ca.recording_url IS NOT NULL
    UNION ALL
    SELECT v.id, v.updated_at, jsonb_build_object('video', jsonb_build_object('id', v.id, 'number', v.number), 'at',
    v.updated_at,
      'durationSeconds', v.duration_seconds)
    FROM answer_videos v WHERE v.interview_id = i.id AND v.deleted_at IS NULL) r),
  'created', CASE WHEN c.xmin = pg_current_xact_id()::xid AND c.updated_at = c.created_at THEN true END,
  'changed', to_jsonb($10::text[])))
  || CASE WHEN an.id IS NULL THEN '{}' ELSE
    jsonb_build_object('analysis', jsonb_build_object('id', an.id, 'general', an.general, 'specific', an.specific))
    END)::text
FROM companies co
  LEFT JOIN interviews i ON i.id = $4::uuid
  LEFT JOIN jobs j ON j.id = COALESCE($2::uuid, i.job_id)
  LEFT JOIN candidates c ON c.id = COALESCE($3::uuid, i.candidate_id)
  LEFT JOIN agents a ON a.id = i.agent_id
  LEFT JOIN analyses an ON an.interview_id = i.id AND an.status = 'COMPLETED'
WHERE co.id = $1`

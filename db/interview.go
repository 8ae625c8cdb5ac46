package db

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/catalog"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// InterviewType is how an interview is held.
type InterviewType string

// ONLINE: the candidate opens an invite link. PHONE: a call provider calls the candidate.
const (
	Online InterviewType = "ONLINE"
	Phone  InterviewType = "PHONE"
)

// InterviewStatus is the status of an interview: SCHEDULED → IN_PROGRESS → COMPLETED | FAILED, or CANCELED.
type InterviewStatus string

// The five statuses (reference instaview §2.13).
const (
	InterviewScheduled  InterviewStatus = "SCHEDULED"
	InterviewInProgress InterviewStatus = "IN_PROGRESS"
	InterviewCompleted  InterviewStatus = "COMPLETED"
	InterviewFailed     InterviewStatus = "FAILED"
	InterviewCanceled   InterviewStatus = "CANCELED"
)

// Analysis statuses of an interview.
const (
	AnalysisPending   = "PENDING"
	AnalysisCompleted = "COMPLETED"
	AnalysisFailed    = "FAILED"
)

// Reasons for a failed interview that Greenroom sets; a provider may set others.
const (
	ReasonInvitationExpired = "INVITATION_EXPIRED"
	ReasonMaxDuration       = "MAX_DURATION_EXCEEDED"
	ReasonNoAnswer          = "NO_ANSWER"
	ReasonTechnical         = "TECHNICAL_ERROR"
	ReasonProvider          = "CALL_PROVIDER_UNAVAILABLE"
)

// Reasons for a canceled interview.
const (
	ReasonCanceledByClient = "CANCELED_BY_CLIENT"
	ReasonDeleted          = "DELETED"
	ReasonCandidateDeleted = "CANDIDATE_DELETED"
)

// Interview is one interview of one candidate.
type Interview struct {
	bun.BaseModel `bun:"table:interviews,alias:i"`

	ID           uuid.UUID       `bun:"id,pk"`
	Number       int64           `bun:"number,autoincrement"`
	CompanyID    uuid.UUID       `bun:"company_id"`
	CandidateID  uuid.UUID       `bun:"candidate_id"`
	JobID        *uuid.UUID      `bun:"job_id"`
	AgentID      uuid.UUID       `bun:"agent_id"`
	Type         InterviewType   `bun:"type"`
	Status       InterviewStatus `bun:"status"`
	StatusReason *string         `bun:"status_reason"`
	ScheduledAt  time.Time       `bun:"scheduled_at"`
	// DeadlineAt: an ONLINE interview that has not started by then fails.
	DeadlineAt *time.Time `bun:"deadline_at"`
	// MaxMinutes bounds the time in progress.
	MaxMinutes     int             `bun:"max_minutes"`
	StartedAt      *time.Time      `bun:"started_at"`
	FinishedAt     *time.Time      `bun:"finished_at"`
	Answers        json.RawMessage `bun:"answers,type:jsonb"`
	Transcript     json.RawMessage `bun:"transcript,type:jsonb"`
	AnalysisStatus *string         `bun:"analysis_status"`
	// AnalysisDueAt: an analysis that has not arrived by then has failed.
	AnalysisDueAt *time.Time `bun:"analysis_due_at"`
	// CustomField is the id that the client assigned.
	CustomField *string `bun:"custom_field"`
	// InviteMail: the invitation is to be sent to the candidate by e-mail; InviteMailedAt is when it was.
	InviteMail     bool       `bun:"invite_mail"`
	InviteMailedAt *time.Time `bun:"invite_mailed_at"`
	// InviteMailError is the reason why it cannot be sent.
	InviteMailError *string         `bun:"invite_mail_error"`
	Metadata        json.RawMessage `bun:"metadata,type:jsonb"`
	CreatedAt       time.Time       `bun:"created_at"`
	UpdatedAt       time.Time       `bun:"updated_at"`
	DeletedAt       *time.Time      `bun:"deleted_at"`

	// DurationMinutes is the planned duration.
	DurationMinutes int `bun:"duration_minutes,scanonly"`
}

// CreateInterview stores a new SCHEDULED interview, with the first call attempt of a PHONE interview and the events
// interview.scheduled and (ONLINE) candidate.invited. Its workflow starts when tx commits. It locks the candidate's
// row, so that a deletion of the candidate either comes before (ErrNotFound) or cancels the interview.
func CreateInterview(ctx context.Context, tx bun.Tx, i *Interview) error {
	if err := lockCandidateShared(ctx, tx, i.CandidateID); err != nil {
		return err
	}
	i.Status = InterviewScheduled
	i.Answers, i.Transcript = json.RawMessage("[]"), json.RawMessage("[]")
	i.CreatedAt = now()
	i.UpdatedAt = i.CreatedAt
	if _, err := tx.NewInsert().Model(i).Exec(ctx); err != nil {
		return fmt.Errorf("insert interview: %w", pg.Translate(err))
	}
	if i.Type == Phone {
		if err := insertCall(ctx, tx, i.ID, i.ScheduledAt, 0); err != nil {
			return err
		}
	}
	events := []string{catalog.InterviewScheduled}
	if i.Type == Online {
		events = append(events, catalog.CandidateInvited)
	}
	if err := recordInterview(ctx, tx, i, nil, events...); err != nil {
		return err
	}
	return delivery.AddCommand(ctx, tx, InterviewChanged, i.ID, nil)
}

// GetInterview returns an interview that the scope sees, unless it was deleted.
func GetInterview(ctx context.Context, db bun.IDB, s pg.Scope, id uuid.UUID) (*Interview, error) {
	i := new(Interview)
	q := db.NewSelect().
		Model(i).
		ColumnExpr("i.*").
		ColumnExpr(plannedDuration).
		Where("i.id = ? AND i.deleted_at IS NULL", id)
	if s.Company != nil {
		q = q.Where("i.company_id = ?", *s.Company)
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("get interview: %w", pg.Translate(err))
	}
	return i, nil
}

const plannedDuration = "(SELECT a.duration_minutes FROM agents a WHERE a.id = i.agent_id) AS duration_minutes"

// InterviewFilter narrows a list of interviews; zero values do not.
type InterviewFilter struct {
	Status                      InterviewStatus
	CandidateID, JobID, AgentID *uuid.UUID
}

// ListInterviews returns one page of the interviews that the scope sees, newest first, and the total. It leaves out
// answers and transcripts, which have up to 1 MiB each.
func ListInterviews(
	ctx context.Context,
	db bun.IDB,
	s pg.Scope,
	f InterviewFilter,
	p pg.Page,
) ([]Interview, int64, error) {
	is := []Interview{}
	q := db.NewSelect().
		Model(&is).
		ExcludeColumn("answers", "transcript").
		ColumnExpr(plannedDuration).
		Where("i.deleted_at IS NULL").
		Order("i.id DESC")
	if f.Status != "" {
		q = q.Where("i.status = ?", f.Status)
	}
	for column, id := range map[string]*uuid.UUID{
		"company_id": s.Company, "candidate_id": f.CandidateID, "job_id": f.JobID, "agent_id": f.AgentID,
	} {
		if id != nil {
			q = q.Where("i.? = ?", bun.Ident(column), *id)
		}
	}
	total, err := q.Limit(p.Limit).Offset(p.Offset).ScanAndCount(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("list interviews: %w", err)
	}
	return is, total, nil
}

// LockInterview locks an interview's row, also a deleted one, and returns its status. It must come before changes of
// the interview's calls, so that concurrent reports and cancellations cannot deadlock.
func LockInterview(ctx context.Context, tx bun.Tx, id uuid.UUID) (InterviewStatus, error) {
	var status InterviewStatus
	if err := tx.NewRaw("SELECT status FROM interviews WHERE id = ? FOR UPDATE", id).Scan(ctx, &status); err != nil {
		return "", fmt.Errorf("lock interview: %w", pg.Translate(err))
	}
	return status, nil
}

// StartInterview moves SCHEDULED → IN_PROGRESS, with interview.started and participant.joined. Any other status is a
// StateError.
func StartInterview(ctx context.Context, tx bun.Tx, id uuid.UUID) (*Interview, error) {
	i, err := transition(ctx, tx, id, []InterviewStatus{InterviewScheduled},
		"status = 'IN_PROGRESS', started_at = clock_timestamp()")
	if err != nil {
		return nil, fmt.Errorf("start interview: %w", err)
	}
	return i, recordInterview(ctx, tx, i, nil, catalog.InterviewStarted, catalog.ParticipantJoined)
}

// Finish is the result of an interview. Answers and Transcript are JSON arrays; nil means empty.
type Finish struct {
	Answers    json.RawMessage
	Transcript json.RawMessage
	// AnalysisWithin bounds the wait for the analysis.
	AnalysisWithin time.Duration
}

// FinishInterview moves IN_PROGRESS → COMPLETED, with participant.left and interview.finished; the analysis is then
// pending. A deleted interview, or one of a deleted candidate, ends without transcript, analysis or event.
func FinishInterview(ctx context.Context, tx bun.Tx, id uuid.UUID, f Finish) (*Interview, error) {
	answers, transcript := orEmptyList(f.Answers), orEmptyList(f.Transcript)
	i, err := transition(ctx, tx, id, []InterviewStatus{InterviewInProgress},
		`status = 'COMPLETED', finished_at = clock_timestamp(),
		 deleted_at = CASE WHEN NOT `+kept+` THEN COALESCE(deleted_at, now()) END,
		 answers = CASE WHEN `+kept+` THEN ?::jsonb ELSE '[]' END,
		 transcript = CASE WHEN `+kept+` THEN ?::jsonb ELSE '[]' END,
		 analysis_status = CASE WHEN `+kept+` THEN 'PENDING' END,
		 analysis_due_at = CASE WHEN `+kept+` THEN clock_timestamp() + ? * interval '1 ms' END`,
		string(answers), string(transcript), f.AnalysisWithin.Milliseconds())
	if err != nil {
		return nil, fmt.Errorf("finish interview: %w", err)
	}
	return i, recordInterview(ctx, tx, i, nil, catalog.ParticipantLeft, catalog.InterviewFinished)
}

// kept is true for an interview that was not deleted, nor was its candidate.
const kept = "(deleted_at IS NULL AND " + candidateKept + ")"

// candidateKept is true for an interview whose candidate was not deleted.
const candidateKept = "EXISTS (SELECT 1 FROM candidates ck WHERE ck.id = candidate_id AND ck.deleted_at IS NULL)"

func orEmptyList(list json.RawMessage) json.RawMessage {
	if len(list) == 0 {
		return json.RawMessage("[]")
	}
	return list
}

// FailInterview moves SCHEDULED or IN_PROGRESS → FAILED, with interview.failed. reason is a code, message a sentence.
func FailInterview(ctx context.Context, tx bun.Tx, id uuid.UUID, reason, message string) (*Interview, error) {
	i, err := transition(ctx, tx, id, []InterviewStatus{InterviewScheduled, InterviewInProgress},
		"status = 'FAILED', status_reason = ?, finished_at = clock_timestamp()", reason)
	if err != nil {
		return nil, fmt.Errorf("fail interview: %w", err)
	}
	if err := endCalls(ctx, tx, id, CallFailed, reason); err != nil {
		return nil, err
	}
	return i, recordInterview(
		ctx,
		tx,
		i,
		map[string]any{"reason": reason, "errorMessage": message},
		catalog.InterviewFailed,
	)
}

// CancelInterview moves SCHEDULED or IN_PROGRESS → CANCELED, with interview.canceled.
func CancelInterview(ctx context.Context, tx bun.Tx, id uuid.UUID, reason string) (*Interview, error) {
	i, err := transition(ctx, tx, id, []InterviewStatus{InterviewScheduled, InterviewInProgress},
		"status = 'CANCELED', status_reason = ?, finished_at = clock_timestamp()", reason)
	if err != nil {
		return nil, fmt.Errorf("cancel interview: %w", err)
	}
	if err := endCalls(ctx, tx, id, CallCancelled, reason); err != nil {
		return nil, err
	}
	return i, recordInterview(ctx, tx, i, map[string]any{"reason": reason}, catalog.InterviewCanceled)
}

// DeleteInterview soft-deletes an interview in any status, with interview.deleted. A scheduled one is canceled with its
// calls. One in progress continues to its end, without transcript, analysis or further events. What the interview said
// of its candidate ends with it: the cancellation reports that, and else candidate.updated.
func DeleteInterview(ctx context.Context, tx bun.Tx, s pg.Scope, id uuid.UUID) error {
	// Before the status is read: an interview that starts at this moment would be canceled.
	if _, err := LockInterview(ctx, tx, id); err != nil {
		return err
	}
	i, err := GetInterview(ctx, tx, s, id)
	if err != nil {
		return err
	}
	canceled := i.Status == InterviewScheduled
	if canceled {
		if i, err = CancelInterview(ctx, tx, id, ReasonDeleted); err != nil {
			return err
		}
	}
	if err := recordInterview(ctx, tx, i, nil, catalog.InterviewDeleted); err != nil {
		return err
	}
	if !canceled {
		if err := recordInterviewOf(ctx, tx, i); err != nil {
			return err
		}
	}
	if err := pg.One(
		tx.ExecContext(
			ctx,
			"UPDATE interviews SET deleted_at = now(), updated_at = now() WHERE id = ? AND deleted_at IS NULL",
			id,
		),
	); err != nil {
		return fmt.Errorf("delete interview: %w", err)
	}
	return delivery.AddCommand(ctx, tx, InterviewChanged, id, nil)
}

// transition makes every change of status: one UPDATE that requires a status in from, signals the interview's workflow
// and returns the new row. Any other status is a StateError.
func transition(
	ctx context.Context,
	tx bun.Tx,
	id uuid.UUID,
	from []InterviewStatus,
	set string,
	args ...any,
) (*Interview, error) {
	i := new(Interview)
	args = append(args, id, bun.List(from))
	err := tx.NewRaw("UPDATE interviews SET "+set+", updated_at = clock_timestamp() WHERE id = ? "+
		"AND status IN (?) RETURNING *", args...).
		Scan(ctx, i)
	if err = pg.Translate(err); err == nil {
		return i, delivery.AddCommand(ctx, tx, InterviewChanged, id, nil)
	}
	if !errors.Is(err, pg.ErrNotFound) {
		return nil, err
	}
	var status string
	if err := tx.NewRaw("SELECT status FROM interviews WHERE id = ?", id).Scan(ctx, &status); err != nil {
		return nil, pg.Translate(err)
	}
	return nil, &pg.StateError{Resource: "interview", State: status}
}

// InterviewData is the data of every interview and analysis event: ids and status (reference instaview §2.5).
type InterviewData struct {
	InterviewID   uuid.UUID  `json:"interviewId"`
	CallAttemptID *uuid.UUID `json:"callAttemptId"`
	CandidateID   uuid.UUID  `json:"candidateId"`
	JobID         *uuid.UUID `json:"jobId"`
	Status        string     `json:"status"`
}

// recordInterview records events about an interview, all with the same data. A deleted interview has no more events.
func recordInterview(ctx context.Context, tx bun.Tx, i *Interview, extra map[string]any, eventTypes ...string) error {
	if i.DeletedAt != nil {
		return nil
	}
	d := InterviewData{InterviewID: i.ID, CandidateID: i.CandidateID, JobID: i.JobID, Status: string(i.Status)}
	call, err := LastCall(ctx, tx, i.ID)
	if err != nil {
		return err
	}
	if call != nil {
		d.CallAttemptID = &call.ID
	}
	data, err := mergeJSON(d, extra)
	if err != nil {
		return err
	}
	return recordAbout(
		ctx,
		tx,
		About{Company: i.CompanyID, Job: i.JobID, Candidate: &i.CandidateID, Interview: &i.ID},
		data,
		eventTypes...)
}

// mergeJSON appends extra's keys, sorted, to the JSON object of v.
func mergeJSON(v any, extra map[string]any) (json.RawMessage, error) {
	data, err := json.Marshal(v)
	if err != nil || len(extra) == 0 {
		return data, err
	}
	more, err := json.Marshal(extra)
	if err != nil {
		return nil, err
	}
	data[len(data)-1] = ','
	return append(data, more[1:]...), nil
}

// InterviewKind returns the type and number of an interview, also of a deleted one.
func InterviewKind(ctx context.Context, db bun.IDB, id uuid.UUID) (*Interview, error) {
	i := new(Interview)
	if err := db.NewSelect().Model(i).Column("type", "number").Where("i.id = ?", id).Scan(ctx); err != nil {
		return nil, fmt.Errorf("look at interview: %w", pg.Translate(err))
	}
	return i, nil
}

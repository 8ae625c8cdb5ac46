package db

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/catalog"
	"greenroom/db/pg"
)

// Note is a text about a candidate for a job. Only its author reads a note that is not shared.
type Note struct {
	bun.BaseModel `bun:"table:notes,alias:n"`

	ID          uuid.UUID `bun:"id,pk"`
	Number      int64     `bun:"number,autoincrement"`
	CompanyID   uuid.UUID `bun:"company_id"`
	JobID       uuid.UUID `bun:"job_id"`
	CandidateID uuid.UUID `bun:"candidate_id"`
	// StaffID is the author; nil: a client with a key of the company.
	StaffID       *uuid.UUID `bun:"staff_id"`
	AnswerVideoID *uuid.UUID `bun:"answer_video_id"`
	Text          string     `bun:"text"`
	Shared        bool       `bun:"shared"`
	CreatedAt     time.Time  `bun:"created_at"`
	UpdatedAt     time.Time  `bun:"updated_at"`
	DeletedAt     *time.Time `bun:"deleted_at"`

	StaffNumber       *int64 `bun:"staff_number,scanonly"`
	AnswerVideoNumber *int64 `bun:"answer_video_number,scanonly"`
}

const noteNumbers = `(SELECT s.number FROM staff s WHERE s.id = n.staff_id) AS staff_number,
	(SELECT v.number FROM answer_videos v WHERE v.id = n.answer_video_id) AS answer_video_number`

// Reader is the reader of notes: a staff user, or nil for a client with a key of the company, which reads its own and
// the shared ones.
type Reader struct{ Staff *uuid.UUID }

// mayRead is the condition for notes that the reader may see.
const mayRead = "n.deleted_at IS NULL AND (n.shared OR n.staff_id IS NOT DISTINCT FROM ?)"

// CreateNote stores a new note, with the event note.created. A deleted candidate, or an answer that is not of this job
// and candidate, is ErrNotFound.
func CreateNote(ctx context.Context, tx bun.Tx, n *Note) error {
	if err := lockNotedShared(ctx, tx, n); err != nil {
		return err
	}
	n.ID, n.CreatedAt = pg.NewID(), now()
	n.UpdatedAt = n.CreatedAt
	if _, err := tx.NewInsert().Model(n).Exec(ctx); err != nil {
		return fmt.Errorf("insert note: %w", pg.Translate(err))
	}
	return recordNote(ctx, tx, n, catalog.NoteCreated, nil)
}

// lockNotedShared keeps the rows that a note is about from being deleted until tx ends.
func lockNotedShared(ctx context.Context, tx bun.Tx, n *Note) error {
	if err := lockCandidateShared(ctx, tx, n.CandidateID); err != nil {
		return err
	}
	if n.AnswerVideoID == nil {
		return nil
	}
	return lockAnswerVideoShared(ctx, tx, n.JobID, n.CandidateID, *n.AnswerVideoID)
}

// NoteByNumber returns a note about a candidate for a job that the reader may see.
func NoteByNumber(
	ctx context.Context,
	db bun.IDB,
	job, candidate uuid.UUID,
	reader Reader,
	number int64,
) (*Note, error) {
	n := new(Note)
	err := db.NewSelect().Model(n).ColumnExpr("n.*").ColumnExpr(noteNumbers).Where(mayRead, reader.Staff).
		Where("n.number = ? AND n.job_id = ? AND n.candidate_id = ?", number, job, candidate).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("get note: %w", pg.Translate(err))
	}
	return n, nil
}

// ListNotes returns one page of the notes about a candidate for a job that the reader may see, oldest first, and the
// total.
func ListNotes(
	ctx context.Context,
	db bun.IDB,
	job, candidate uuid.UUID,
	reader Reader,
	p pg.Page,
) ([]Note, int64, error) {
	ns := []Note{}
	total, err := db.NewSelect().Model(&ns).ColumnExpr("n.*").ColumnExpr(noteNumbers).Where(mayRead, reader.Staff).
		Where("n.job_id = ? AND n.candidate_id = ?", job, candidate).Order("n.id").
		Limit(p.Limit).Offset(p.Offset).ScanAndCount(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("list notes: %w", err)
	}
	return ns, total, nil
}

// UpdateNote writes the named columns of n, with the event note.updated. It checks the same rows as CreateNote.
func UpdateNote(ctx context.Context, tx bun.Tx, n *Note, columns ...string) error {
	if err := lockNotedShared(ctx, tx, n); err != nil {
		return err
	}
	n.UpdatedAt = now()
	err := pg.One(tx.NewUpdate().Model(n).Column(append(slices.Clone(columns), "updated_at")...).
		Where("id = ? AND deleted_at IS NULL", n.ID).Exec(ctx))
	if err != nil {
		return fmt.Errorf("update note: %w", pg.Translate(err))
	}
	return recordNote(ctx, tx, n, catalog.NoteUpdated, columns)
}

// DeleteNote soft-deletes a note.
func DeleteNote(ctx context.Context, db bun.IDB, id uuid.UUID) error {
	if err := softDelete(ctx, db, "notes", id); err != nil {
		return fmt.Errorf("delete note: %w", err)
	}
	return nil
}

type noteData struct {
	NoteID        uuid.UUID  `json:"noteId"`
	CandidateID   uuid.UUID  `json:"candidateId"`
	JobID         uuid.UUID  `json:"jobId"`
	AnswerVideoID *uuid.UUID `json:"answerVideoId"`
	StaffID       *uuid.UUID `json:"staffId"`
	Shared        bool       `json:"shared"`
}

// recordNote records ids only, so that a note that is not shared stays private.
func recordNote(ctx context.Context, tx bun.Tx, n *Note, eventType string, changed []string) error {
	data, err := json.Marshal(noteData{n.ID, n.CandidateID, n.JobID, n.AnswerVideoID, n.StaffID, n.Shared})
	if err != nil {
		return fmt.Errorf("encode note event: %w", err)
	}
	return recordAbout(ctx, tx, About{
		Company:     n.CompanyID,
		Work:        &n.JobID,
		Candidate:   &n.CandidateID,
		AnswerVideo: n.AnswerVideoID,
		Note:        &n.ID,
		Staff:       n.StaffID,
		Changed:     changed,
	}, data, eventType)
}

package db

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/pg"
)

// AttachmentKind is what a person's file is of the person.
type AttachmentKind string

// The kinds of attachments. Staff users have photos alone.
const (
	Photo AttachmentKind = "photo"
	CV    AttachmentKind = "cv"
)

// Person is whose an attachment is: a candidate or a staff user.
type Person struct {
	table, column string
	ID            uuid.UUID
}

// CandidatePerson is a candidate, whatever the job.
func CandidatePerson(id uuid.UUID) Person { return Person{"candidates", "candidate_id", id} }

// StaffPerson is a staff user.
func StaffPerson(id uuid.UUID) Person { return Person{"staff", "staff_id", id} }

// Attachment is a person's own file, one of each kind. The file itself is in the store of media.
type Attachment struct {
	bun.BaseModel `bun:"table:attachments,alias:at"`

	Kind        AttachmentKind `bun:"kind"`
	File        string         `bun:"file"`
	ContentType string         `bun:"content_type"`
	Size        int64          `bun:"size"`
	UpdatedAt   time.Time      `bun:"updated_at"`
}

// PutAttachment stores a person's file, in the place of the one of its kind that is there. a.File must be reserved
// (ReserveFile) and counts from now on. It locks the person; one who was deleted is ErrNotFound.
func PutAttachment(ctx context.Context, tx bun.Tx, p Person, a *Attachment) error {
	if err := Lock(ctx, tx, p.table, p.ID); err != nil {
		return err
	}
	if err := claimFile(ctx, tx, a.File); err != nil {
		return err
	}
	a.UpdatedAt = now()
	_, err := tx.ExecContext(
		ctx,
		`INSERT INTO attachments (?0, kind, file, content_type, size, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
		ON CONFLICT (?0, kind) DO UPDATE SET
			file = EXCLUDED.file, content_type = EXCLUDED.content_type, size = EXCLUDED.size, updated_at = EXCLUDED.updated_at`,
		bun.Ident(p.column),
		p.ID,
		a.Kind,
		a.File,
		a.ContentType,
		a.Size,
		a.UpdatedAt,
	)
	if err != nil {
		return fmt.Errorf("write attachment: %w", pg.Translate(err))
	}
	return nil
}

// GetAttachment returns a person's file of that kind.
func GetAttachment(ctx context.Context, db bun.IDB, p Person, kind AttachmentKind) (*Attachment, error) {
	a := new(Attachment)
	if err := db.NewSelect().
		Model(a).
		Where("at.? = ? AND at.kind = ?", bun.Ident(p.column), p.ID, kind).
		Scan(ctx); err != nil {
		return nil, fmt.Errorf("get attachment: %w", pg.Translate(err))
	}
	return a, nil
}

// Attachments are the kinds of files that people have.
type Attachments map[uuid.UUID][]AttachmentKind

// CandidateAttachments tells what of those candidates is there.
func CandidateAttachments(ctx context.Context, db bun.IDB, ids ...uuid.UUID) (Attachments, error) {
	return attachmentsOf(ctx, db, CandidatePerson(uuid.Nil).column, ids)
}

// StaffAttachments tells what of those staff users is there.
func StaffAttachments(ctx context.Context, db bun.IDB, ids ...uuid.UUID) (Attachments, error) {
	return attachmentsOf(ctx, db, StaffPerson(uuid.Nil).column, ids)
}

func attachmentsOf(ctx context.Context, db bun.IDB, column string, ids []uuid.UUID) (Attachments, error) {
	found := Attachments{}
	if len(ids) == 0 {
		return found, nil
	}
	var rows []struct {
		ID   uuid.UUID
		Kind AttachmentKind
	}
	err := db.NewRaw("SELECT ?0 AS id, kind FROM attachments WHERE ?0 IN (?1)", bun.Ident(column), bun.List(ids)).
		Scan(ctx, &rows)
	if err != nil {
		return nil, fmt.Errorf("list attachments: %w", err)
	}
	for _, r := range rows {
		found[r.ID] = append(found[r.ID], r.Kind)
	}
	return found, nil
}

// DeleteAttachment deletes a person's file of that kind; ErrNotFound when there is none. It locks the person.
func DeleteAttachment(ctx context.Context, tx bun.Tx, p Person, kind AttachmentKind) error {
	if err := Lock(ctx, tx, p.table, p.ID); err != nil {
		return err
	}
	err := pg.One(tx.ExecContext(ctx, "DELETE FROM attachments WHERE ? = ? AND kind = ?", bun.Ident(p.column), p.ID, kind))
	if err != nil {
		return fmt.Errorf("delete attachment: %w", pg.Translate(err))
	}
	return nil
}

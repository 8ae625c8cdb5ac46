package db

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/pg"
)

// AttachmentKind is the kind of a person's file.
type AttachmentKind string

// The kinds of attachments. Staff users only have photos.
const (
	Photo AttachmentKind = "photo"
	CV    AttachmentKind = "cv"
)

// Person is the owner of an attachment: a candidate or a staff user.
type Person struct {
	table, column string
	ID            uuid.UUID
}

// CandidatePerson is a candidate.
func CandidatePerson(id uuid.UUID) Person { return Person{"candidates", "candidate_id", id} }

// StaffPerson is a staff user.
func StaffPerson(id uuid.UUID) Person { return Person{"staff", "staff_id", id} }

// Attachment is a person's file, at most one of each kind. The media store has the file.
type Attachment struct {
	bun.BaseModel `bun:"table:attachments,alias:at"`

	Kind        AttachmentKind `bun:"kind"`
	File        string         `bun:"file"`
	ContentType string         `bun:"content_type"`
	Size        int64          `bun:"size"`
	UpdatedAt   time.Time      `bun:"updated_at"`
}

// PutAttachment stores a person's file and replaces the existing one of its kind. a.File must be reserved
// (ReserveFile); the row refers to it from now on. It locks the person's row; a deleted person is ErrNotFound.
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

// Attachments are the kinds of files that exist, by person.
type Attachments map[uuid.UUID][]AttachmentKind

// CandidateAttachments returns which files the candidates have.
func CandidateAttachments(ctx context.Context, db bun.IDB, ids ...uuid.UUID) (Attachments, error) {
	return attachmentsOf(ctx, db, CandidatePerson(uuid.Nil).column, ids)
}

// StaffAttachments returns which files the staff users have.
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

package db

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/pg"
)

// WelcomeVideo is a company's video for its candidates. The media store has the file.
type WelcomeVideo struct {
	bun.BaseModel `bun:"table:welcome_videos,alias:w"`

	ID          uuid.UUID  `bun:"id,pk"`
	Number      int64      `bun:"number,autoincrement"`
	CompanyID   uuid.UUID  `bun:"company_id"`
	File        string     `bun:"file"`
	ContentType string     `bun:"content_type"`
	Size        int64      `bun:"size"`
	CreatedAt   time.Time  `bun:"created_at"`
	UpdatedAt   time.Time  `bun:"updated_at"`
	DeletedAt   *time.Time `bun:"deleted_at"`
}

// CreateWelcomeVideo stores a new welcome video. Its file must be reserved (ReserveFile); the row refers to it from now
// on. There is no event for it.
func CreateWelcomeVideo(ctx context.Context, tx bun.Tx, w *WelcomeVideo) error {
	if err := claimFile(ctx, tx, w.File); err != nil {
		return err
	}
	w.ID, w.CreatedAt = pg.NewID(), now()
	w.UpdatedAt = w.CreatedAt
	if _, err := tx.NewInsert().Model(w).Exec(ctx); err != nil {
		return fmt.Errorf("insert welcome video: %w", pg.Translate(err))
	}
	return nil
}

// WelcomeVideoByNumber returns a welcome video of a company, unless it was deleted.
func WelcomeVideoByNumber(ctx context.Context, db bun.IDB, company uuid.UUID, number int64) (*WelcomeVideo, error) {
	w := new(WelcomeVideo)
	err := db.NewSelect().
		Model(w).
		Where("w.number = ? AND w.company_id = ? AND w.deleted_at IS NULL", number, company).
		Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("get welcome video: %w", pg.Translate(err))
	}
	return w, nil
}

// ListWelcomeVideos returns one page of a company's welcome videos, newest first, and the total.
func ListWelcomeVideos(ctx context.Context, db bun.IDB, company uuid.UUID, p pg.Page) ([]WelcomeVideo, int64, error) {
	ws := []WelcomeVideo{}
	total, err := db.NewSelect().Model(&ws).Where("w.company_id = ? AND w.deleted_at IS NULL", company).Order("w.id DESC").
		Limit(p.Limit).Offset(p.Offset).ScanAndCount(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("list welcome videos: %w", err)
	}
	return ws, total, nil
}

// DeleteWelcomeVideo soft-deletes a welcome video; its file will be deleted.
func DeleteWelcomeVideo(ctx context.Context, db bun.IDB, id uuid.UUID) error {
	if err := softDelete(ctx, db, "welcome_videos", id); err != nil {
		return fmt.Errorf("delete welcome video: %w", err)
	}
	return nil
}

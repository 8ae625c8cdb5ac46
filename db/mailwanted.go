package db

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"
)

// MailWanted is what only a mail server can deliver.
type MailWanted struct {
	// Webhooks and Companies are those with an address for mail about webhooks.
	Webhooks, Companies int
	// Invitations and Activations report whether one waits to be mailed.
	Invitations, Activations bool
}

// WantsMail returns what only a mail server can deliver.
func WantsMail(ctx context.Context, db bun.IDB) (w MailWanted, err error) {
	err = db.NewRaw(`SELECT
		(SELECT count(*) FROM webhooks WHERE notify_email IS NOT NULL AND deleted_at IS NULL) AS webhooks,
		(SELECT count(*) FROM companies WHERE notify_email IS NOT NULL AND deleted_at IS NULL) AS companies,
		EXISTS (SELECT FROM interviews i WHERE `+interviewDue+` IS NOT NULL AND i.status = 'SCHEDULED' AND i.invite_mail
			AND i.invite_mailed_at IS NULL AND i.invite_mail_error IS NULL AND i.deleted_at IS NULL) AS invitations,
		EXISTS (SELECT FROM staff st WHERE `+activationDue+` IS NOT NULL) AS activations`).Scan(ctx, &w)
	if err != nil {
		return w, fmt.Errorf("look for mail: %w", err)
	}
	return w, nil
}

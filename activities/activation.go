package activities

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/wneessen/go-mail"

	"greenroom/db"
	"greenroom/db/token"
)

// SendActivation mails a new staff user the link to set a password, unless it was sent or is no longer wanted, under
// the same rules as SendInvitation.
func (a *Activities) SendActivation(ctx context.Context, staff uuid.UUID) error {
	letter, wanted, err := db.LoadStaffLetter(ctx, a.DB, staff)
	if err != nil || !wanted {
		return err
	}
	if a.Mail.URL == "" {
		return errors.New("no mail server is configured (smtp.url)")
	}
	msg, err := a.activation(staff, letter)
	if err != nil {
		return db.ActivationMailed(ctx, a.DB, staff, err.Error())
	}
	started := time.Now()
	refusal, err := a.mail(ctx, letter.CompanyID, msg)
	if err != nil {
		return fmt.Errorf("send activation: %w", err)
	}
	a.Logger.InfoContext(ctx, "activation sent", "staff_id", staff, "refused", refusal != "",
		"duration_ms", time.Since(started).Milliseconds())
	return db.ActivationMailed(ctx, a.DB, staff, refusal)
}

// activationWords are the values of the templates.
type activationWords struct{ Name, Company, Username, Link string }

// activation builds the mail. Its errors are permanent.
func (a *Activities) activation(staff uuid.UUID, l *db.StaffLetter) (*mail.Msg, error) {
	key := token.ActivationKey(a.Secret, token.StaffActivation, l.Number, staff)
	words := activationWords{
		Name: oneLine(l.FirstName + " " + l.LastName), Company: oneLine(l.Company), Username: oneLine(l.Username),
		Link: token.ActivationURL(strings.TrimRight(a.PublicURL, "/"), key),
	}
	if words.Name == "" {
		words.Name = words.Username
	}
	msg, err := a.letter(
		"user",
		l.Email,
		words.Name,
		"Your account at "+words.Company,
		fmt.Sprintf("activation.%s", staff),
	)
	if err != nil {
		return nil, err
	}
	if err := msg.SetBodyTextTemplate(activationText, words); err != nil {
		return nil, fmt.Errorf("write activation: %w", err)
	}
	return msg, wrap("write activation", msg.AddAlternativeHTMLTemplate(activationHTML, words))
}

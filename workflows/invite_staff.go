package workflows

import (
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/workflow"

	"greenroom/activities"
)

// InviteStaffInput names the staff user. The row says whether there is something to send.
type InviteStaffInput struct{ StaffID uuid.UUID }

// InviteStaffWorkflowID is the id of the one workflow that mails a staff user's activation.
func InviteStaffWorkflowID(staff uuid.UUID) string { return "invite-staff:" + staff.String() }

// InviteStaff mails a new staff user the link to set a password. It is retried until the mail server has accepted or
// refused it, or until it is no longer wanted.
func InviteStaff(ctx workflow.Context, in InviteStaffInput) error {
	if in.StaffID == uuid.Nil {
		return refuseWithout("StaffID")
	}
	var a *activities.Activities
	return workflow.ExecuteActivity(withInvitation(ctx, time.Time{}), a.SendActivation, in.StaffID).Get(ctx, nil)
}

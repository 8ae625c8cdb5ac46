package interviewsuite

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"greenroom/api/surface"
	"greenroom/db"
	"greenroom/db/pg"
)

// authorizeGrant refuses a user who creates or promotes an account above their own type, and a key that gives an
// account scopes that it does not hold: whoever logs in to the account gets them.
func (s *server) authorizeGrant(c *gin.Context, kind db.AccountType) error {
	me, err := s.staff(c)
	if err != nil {
		return err
	}
	if me != nil {
		if kind.Above(me.AccountType) {
			return surface.Denied("customer")
		}
		return nil
	}
	for _, scope := range kind.Scopes() {
		if !surface.Caller(c).Holds(scope) {
			return &surface.Error{
				Status: http.StatusForbidden, Code: surface.CodeScope,
				Message: "A key can only give an account type whose scopes it has; this one lacks " + scope,
				Details: surface.Details{"requiredScope": scope},
			}
		}
	}
	return nil
}

// authorizeManage refuses a user who changes or deletes an account above their own type. Below admin it also refuses a
// colleague's account of the same type, because setting a password takes the account over.
func (s *server) authorizeManage(c *gin.Context, user *db.Staff) error {
	me, err := s.staff(c)
	if err != nil || me == nil || me.ID == user.ID {
		return err
	}
	if user.AccountType.Above(me.AccountType) || user.AccountType == me.AccountType && db.Admin.Above(me.AccountType) {
		return surface.Denied("customer")
	}
	return nil
}

// authorizePassword refuses a new password from a caller who has no more than a token: a user confirms it with their
// own current password, so that a stolen token cannot become an account. A log-in has no end and works from everywhere,
// so a key that is bound to addresses or to a time cannot give one.
func (s *server) authorizePassword(c *gin.Context, in *customerInput) error {
	if !in.Password.Set {
		return nil
	}
	me, err := s.staff(c)
	switch {
	case err != nil:
		return err
	case me == nil && surface.Caller(c).Key.Restricted():
		return &surface.Error{
			Status: http.StatusForbidden, Code: surface.CodeDenied,
			Message: "A key that expires or is bound to addresses cannot set a password",
		}
	case me == nil:
		return nil
	case !in.CurrentPassword.Set:
		return surface.Missing("current_password")
	}
	right, err := s.passwordIs(c, me, in.CurrentPassword.Value)
	if err == nil && !right {
		err = surface.Invalid("current_password", "current_password is not the password of the calling user")
	}
	return err
}

// heldByPlatform reports whether the changed user is inactive because the platform said so. It refuses a company that
// activates such a user.
func heldByPlatform(c *gin.Context, before, after *db.Staff) (bool, error) {
	platform := surface.Caller(c).Platform()
	switch {
	case after.IsActive == before.IsActive:
		return before.HeldByPlatform, nil
	case after.IsActive && before.HeldByPlatform && !platform:
		return true, &pg.StateError{Resource: "customer", State: "inactive, and only the platform can activate it"}
	}
	return !after.IsActive && platform, nil
}

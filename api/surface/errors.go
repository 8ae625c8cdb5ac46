package surface

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"greenroom/db"
	"greenroom/db/pg"
)

// Codes classify an [Error]. Those up to CodeNotFound are from the webhooks API's reference (§1.12, §2.3); the others
// are additions.
const (
	CodeInvalidKey   = "INVALID_API_KEY"
	CodeSuspended    = "API_KEY_SUSPENDED"
	CodeScope        = "INSUFFICIENT_PERMISSIONS"
	CodeDenied       = "RESOURCE_ACCESS_DENIED"
	CodeValidation   = "VALIDATION_ERROR"
	CodeNotFound     = "RESOURCE_NOT_FOUND"
	CodeMissing      = "MISSING_REQUIRED_FIELD"
	CodeConflict     = "CONFLICT"
	CodeInvalidState = "INVALID_STATE"
	CodeExists       = "ALREADY_EXISTS"
	CodeIdempotency  = "IDEMPOTENCY_CONFLICT"
	CodeIPDenied     = "IP_NOT_ALLOWED"
	CodeTooLarge     = "PAYLOAD_TOO_LARGE"
	CodeMediaType    = "UNSUPPORTED_MEDIA_TYPE"
	CodeMethod       = "METHOD_NOT_ALLOWED"
	CodeInternal     = "INTERNAL_ERROR"
	CodeUnavailable  = "SERVICE_UNAVAILABLE"
	CodeRateLimited  = "RATE_LIMITED"
	CodeTimeout      = "REQUEST_TIMEOUT"
	CodeQuota        = "QUOTA_EXCEEDED"
	CodeGap          = "EVENTS_REMOVED"
)

// Error is a refusal, independent of the surface; a style writes it in its product's format. Its JSON is the canonical
// surface's format.
type Error struct {
	Status  int     `json:"-"`
	Code    string  `json:"code"`
	Message string  `json:"message"`
	Details Details `json:"details,omitempty"`
	// Limited is only set with CodeRateLimited.
	Limited *Limited `json:"-"`
}

// Error is the text for logs.
func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Field is the path of the refused field, as in "headers[0].name"; "" if the refusal is not about a field.
func (e *Error) Field() string {
	field, _ := e.Details["field"].(string)
	return field
}

// Details are the further members of an error: "field", "provided", "allowed", "resourceType", "resourceId", …; and
// "errors", all faults of a body that has several: see Faults.
type Details map[string]any

var (
	errUnknownPath = &Error{Status: http.StatusNotFound, Code: CodeNotFound, Message: "There is nothing at this path"}
	errMethod      = &Error{
		Status:  http.StatusMethodNotAllowed,
		Code:    CodeMethod,
		Message: "This path does not take this method",
	}
)

// Invalid refuses a field: the message begins with the field's name and says what it must be.
func Invalid(field, message string) *Error {
	return &Error{Status: http.StatusBadRequest, Code: CodeValidation, Message: message, Details: Details{"field": field}}
}

// Missing refuses a body without a required field.
func Missing(field string) *Error {
	return &Error{
		Status: http.StatusBadRequest, Code: CodeMissing, Message: field + " is required", Details: Details{"field": field},
	}
}

// NotFound names the resource as the reference does: its type and the id exactly as the caller sent it.
func NotFound(resourceType, id string) *Error {
	return &Error{
		Status: http.StatusNotFound, Code: CodeNotFound, Message: fmt.Sprintf("%s with ID %s not found", resourceType, id),
		Details: Details{"resourceType": resourceType, "resourceId": id},
	}
}

// Denied refuses a row that exists but belongs to another company; what is as in "this job".
func Denied(what string) *Error {
	return &Error{Status: http.StatusForbidden, Code: CodeDenied, Message: "Access denied to this " + what}
}

// InvalidState refuses an operation that the state of a resource does not allow.
func InvalidState(message string, d Details) *Error {
	return &Error{Status: http.StatusConflict, Code: CodeInvalidState, Message: message, Details: d}
}

// QuotaExceeded refuses to create more of a resource than the company may have.
func QuotaExceeded(resource string, limit int64) *Error {
	return &Error{
		Status: http.StatusConflict, Code: CodeQuota,
		Message: fmt.Sprintf("This company has the maximum of %d %s", limit, resource),
		Details: Details{"resource": resource, "limit": limit},
	}
}

// ToError converts any error into a refusal. It is the only place that maps database errors to statuses. An unknown
// error is logged and answered as an internal error without its text.
func (s *Core) ToError(c *gin.Context, err error) *Error {
	var known *Error
	var state *pg.StateError
	var quota *db.QuotaError
	if refused := gathered(err); refused != nil {
		return refused
	}
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &quota):
		return QuotaExceeded(quota.Resource, int64(quota.Limit))
	case errors.As(err, &state):
		return InvalidState(
			"This "+state.Resource+" is "+state.State,
			Details{"resource": state.Resource, "state": state.State},
		)
	case errors.Is(err, pg.ErrNotFound):
		return &Error{Status: http.StatusNotFound, Code: CodeNotFound, Message: "Resource not found"}
	case errors.Is(err, pg.ErrDuplicate):
		return &Error{Status: http.StatusConflict, Code: CodeExists, Message: "A resource with this value already exists"}
	case errors.Is(err, pg.ErrConflict):
		return &Error{
			Status:  http.StatusConflict,
			Code:    CodeConflict,
			Message: "The resource was changed by another request; try again",
		}
	case errors.Is(err, context.DeadlineExceeded), c.Request.Context().Err() != nil && errors.Is(err, context.Canceled):
		return &Error{
			Status:  http.StatusServiceUnavailable,
			Code:    CodeUnavailable,
			Message: "The request took too long; try again",
		}
	case pg.IsUnavailable(err):
		return s.unavailable(c, err)
	}
	return s.internal(c, err)
}

// outageEvery limits how often an outage of a store is logged, because every request would log it.
const outageEvery = time.Minute

// unavailable is the answer while the database or another store is unavailable. Nothing of the request was done.
func (s *Core) unavailable(c *gin.Context, err error) *Error {
	now := time.Now().UnixNano()
	if last := s.outage.Load(); (last == 0 || now-last >= int64(outageEvery)) && s.outage.CompareAndSwap(last, now) {
		s.Logger.LogAttrs(c.Request.Context(), slog.LevelError, "storage unavailable; requests are answered 503",
			slog.String("route", c.FullPath()), slog.Any("error", err))
	}
	return &Error{
		Status:  http.StatusServiceUnavailable,
		Code:    CodeUnavailable,
		Message: "The storage is unavailable; try again in a few seconds",
	}
}

// internal hides the error and answers with the request id, by which its log line can be found.
func (s *Core) internal(c *gin.Context, err error) *Error {
	id := RequestID(c)
	s.Logger.LogAttrs(c.Request.Context(), slog.LevelError, "request failed",
		slog.String("request_id", id), slog.String("route", c.FullPath()), slog.Any("error", err))
	return &Error{
		Status: http.StatusInternalServerError, Code: CodeInternal, Message: "Something went wrong on our side",
		Details: Details{"requestId": id},
	}
}

// Clip limits the length of what an error repeats from a request.
func Clip(s string) string {
	if r := []rune(s); len(r) > 100 {
		return string(r[:100]) + "…"
	}
	return s
}

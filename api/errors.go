package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"greenroom/db"
)

// Codes of the error answers. Those up to codeNotFound are the reference's (§1.12, §2.3); it leaves the others unnamed.
const (
	codeInvalidKey     = "INVALID_API_KEY"
	codeSuspended      = "API_KEY_SUSPENDED"
	codeScope          = "INSUFFICIENT_PERMISSIONS"
	codeDenied         = "RESOURCE_ACCESS_DENIED"
	codeValidation     = "VALIDATION_ERROR"
	codeNotFound       = "RESOURCE_NOT_FOUND"
	codeMissing        = "MISSING_REQUIRED_FIELD"
	codeConflict       = "CONFLICT"
	codeInvalidState   = "INVALID_STATE"
	codeExists         = "ALREADY_EXISTS"
	codeIdempotency    = "IDEMPOTENCY_CONFLICT"
	codeIPDenied       = "IP_NOT_ALLOWED"
	codeTooLarge       = "PAYLOAD_TOO_LARGE"
	codeMediaType      = "UNSUPPORTED_MEDIA_TYPE"
	codeMethod         = "METHOD_NOT_ALLOWED"
	codeInternal       = "INTERNAL_ERROR"
	codeUnavailable    = "SERVICE_UNAVAILABLE"
	statusClientClosed = 499 // nginx's number for a caller that hung up; only the log sees it
)

// apiError is an error answer.
type apiError struct {
	Status  int    `json:"-"`
	Code    string `json:"code"`
	Message string `json:"message"`
	Details any    `json:"details,omitempty"`
}

func (e *apiError) Error() string { return e.Code + ": " + e.Message }

// details is what an error says beside its message.
type details map[string]any

var (
	errUnknownRoute = &apiError{Status: http.StatusNotFound, Code: codeNotFound, Message: "There is nothing at this path"}
	errMethod       = &apiError{Status: http.StatusMethodNotAllowed, Code: codeMethod, Message: "This path does not take this method"}
)

// invalid refuses one field: the message begins with the field's name and says what it must be.
func invalid(field, message string) *apiError {
	return &apiError{Status: http.StatusBadRequest, Code: codeValidation, Message: message, Details: details{"field": field}}
}

func missing(field string) *apiError {
	return &apiError{
		Status: http.StatusBadRequest, Code: codeMissing, Message: field + " is required", Details: details{"field": field},
	}
}

// notFound names the resource as the reference does: its type and the id as the caller gave it, whatever that was.
func notFound(resourceType, id string) *apiError {
	return &apiError{
		Status: http.StatusNotFound, Code: codeNotFound, Message: fmt.Sprintf("%s with ID %s not found", resourceType, id),
		Details: details{"resourceType": resourceType, "resourceId": id},
	}
}

// denied is for a row that is there but belongs to another company; what is as in "this job".
func denied(what string) *apiError {
	return &apiError{Status: http.StatusForbidden, Code: codeDenied, Message: "Access denied to this " + what}
}

func invalidState(message string, d details) *apiError {
	return &apiError{Status: http.StatusConflict, Code: codeInvalidState, Message: message, Details: d}
}

type envelope struct {
	Success   bool      `json:"success"`
	Data      any       `json:"data"`
	Error     *apiError `json:"error"`
	Timestamp timestamp `json:"timestamp"`
}

// timestamp is a time as every answer shows it: RFC 3339, UTC, milliseconds.
type timestamp time.Time

const timestampLayout = "2006-01-02T15:04:05.000Z"

func (t timestamp) String() string { return time.Time(t).UTC().Format(timestampLayout) }

// MarshalJSON shows the time in the one form of this API.
func (t timestamp) MarshalJSON() ([]byte, error) { return []byte(`"` + t.String() + `"`), nil }

// maybe is a time that may be null.
func maybe(t *time.Time) *timestamp {
	if t == nil {
		return nil
	}
	ts := timestamp(*t)
	return &ts
}

// ok answers with data in the envelope.
func ok(c *gin.Context, status int, data any) error {
	c.JSON(status, envelope{Success: true, Data: data, Timestamp: timestamp(time.Now())})
	return nil
}

// fail answers with an error. It is the only place that knows which error means which status.
func (s *server) fail(c *gin.Context, err error) {
	var limited *rateLimited
	if errors.As(err, &limited) {
		limited.answer(c)
		return
	}
	e := s.toAPI(c, err)
	if e.Status == statusClientClosed {
		c.Status(statusClientClosed)
		return
	}
	if e.Status == http.StatusUnauthorized {
		c.Header("WWW-Authenticate", `Bearer realm="greenroom"`)
	}
	c.JSON(e.Status, envelope{Error: e, Timestamp: timestamp(time.Now())})
}

func (s *server) toAPI(c *gin.Context, err error) *apiError {
	var known *apiError
	var state *db.StateError
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &state):
		return invalidState("This "+state.Resource+" is "+state.State, details{"resource": state.Resource, "state": state.State})
	case errors.Is(err, db.ErrNotFound):
		return &apiError{Status: http.StatusNotFound, Code: codeNotFound, Message: "Resource not found"}
	case errors.Is(err, db.ErrDuplicate):
		return &apiError{Status: http.StatusConflict, Code: codeExists, Message: "A resource with this value exists already"}
	case errors.Is(err, db.ErrConflict):
		return &apiError{Status: http.StatusConflict, Code: codeConflict, Message: "The resource was changed meanwhile; try again"}
	case c.Request.Context().Err() != nil && errors.Is(err, context.Canceled):
		return &apiError{Status: statusClientClosed}
	case errors.Is(err, context.DeadlineExceeded):
		return &apiError{Status: http.StatusServiceUnavailable, Code: codeUnavailable, Message: "The request took too long; try again"}
	}
	return s.internal(c, err)
}

// internal hides a fault of ours behind an id by which its log line is found.
func (s *server) internal(c *gin.Context, err error) *apiError {
	id := requestID(c)
	s.Logger.LogAttrs(c.Request.Context(), slog.LevelError, "request failed",
		slog.String("request_id", id), slog.String("route", c.FullPath()), slog.Any("error", err))
	return &apiError{
		Status: http.StatusInternalServerError, Code: codeInternal, Message: "Something went wrong on our side",
		Details: details{"requestId": id},
	}
}

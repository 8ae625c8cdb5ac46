package interviewsuite

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"greenroom/api/surface"
)

// fail writes an error in the format of the original's framework (reference 2.2): a field's error as a list of
// sentences under the field's name, any other as detail.
func fail(c *gin.Context, e *surface.Error) {
	if e.Field() == "" || e.Status != http.StatusBadRequest {
		c.JSON(e.Status, gin.H{"detail": detail(c, e)})
		return
	}
	faults := map[string][]string{}
	for _, f := range e.Faults() {
		field := f.Field
		if i := strings.IndexAny(field, ".["); i > 0 { // an error inside a list or an object belongs to the field
			field = field[:i]
		}
		sentence := f.Message + "."
		if f.Missing() {
			sentence = "This field is required."
		}
		faults[field] = append(faults[field], sentence)
	}
	c.JSON(e.Status, faults)
}

// detail returns the framework's sentence for the error, or Greenroom's message where the framework has none.
func detail(c *gin.Context, e *surface.Error) string {
	switch e.Code {
	case surface.CodeInvalidKey:
		if key, err := surface.PresentedKey(c.Request.Header); key == "" && err == nil {
			return "Authentication credentials were not provided."
		}
		return "Invalid token."
	case surface.CodeScope, surface.CodeDenied:
		return "You do not have permission to perform this action."
	case surface.CodeNotFound:
		return "Not found."
	case surface.CodeMethod:
		return fmt.Sprintf("Method %q not allowed.", c.Request.Method)
	case surface.CodeMediaType:
		if c.GetHeader("Content-Encoding") != "" {
			break // the content encoding may be the cause
		}
		return fmt.Sprintf("Unsupported media type %q in request.", c.GetHeader("Content-Type"))
	case surface.CodeRateLimited:
		return fmt.Sprintf("Request was throttled. Expected available in %d seconds.", e.Limited.RetryAfter)
	}
	if at, found := e.Details["offset"]; found { // only a syntax error has one
		return fmt.Sprintf("JSON parse error - %s (char %v)", e.Message, at)
	}
	return e.Message + "."
}

package api

import (
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"greenroom/api/surface"
)

// style writes refusals in the canonical surface's format.
var style = surface.Style{Fail: fail, Challenge: `Bearer realm="greenroom"`, KeyIn: "Authorization: Bearer sk_…"}

type envelope struct {
	Success   bool              `json:"success"`
	Data      any               `json:"data"`
	Error     *surface.Error    `json:"error"`
	Timestamp surface.Timestamp `json:"timestamp"`
}

// wrapped puts data into the envelope of a success.
func wrapped(data any) envelope {
	return envelope{Success: true, Data: data, Timestamp: surface.Timestamp(time.Now())}
}

// ok answers with data in the envelope.
func ok(c *gin.Context, status int, data any) error {
	c.JSON(status, wrapped(data))
	return nil
}

// limited is the 429 body of the reference (§2.9), which is not in the envelope.
type limited struct {
	StatusCode int    `json:"statusCode"`
	Message    string `json:"message"`
	Error      string `json:"error"`
	RetryAfter int64  `json:"retryAfter"`
	Limit      int64  `json:"limit"`
	Remaining  int64  `json:"remaining"`
	Reset      int64  `json:"reset"`
}

func fail(c *gin.Context, e *surface.Error) {
	if l := e.Limited; l != nil {
		c.JSON(e.Status, limited{
			StatusCode: e.Status,
			Message:    e.Message,
			Error:      http.StatusText(e.Status),
			RetryAfter: l.RetryAfter,
			Limit:      l.Limit,
			Reset:      l.Reset,
		})
		return
	}
	c.JSON(e.Status, envelope{Error: e, Timestamp: surface.Timestamp(time.Now())})
}

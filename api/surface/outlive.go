package surface

import (
	"context"
	"time"

	"github.com/gin-gonic/gin"
)

// outliveFor is how long a request goes on after its connection has ended: as long as the slowest answer takes, a
// test call of a webhook.
const outliveFor = 40 * time.Second

// outlive lets a request come to its end although its caller has closed its side of the connection. net/http takes
// that for a caller that is gone and cancels the request, but a caller that only has no more to send still waits for
// the answer, and a write that is half done is no help to one that is gone.
func outlive(c *gin.Context) {
	connection := c.Request.Context()
	ctx, cancel := context.WithCancel(context.WithoutCancel(connection))
	defer cancel()
	stop := context.AfterFunc(connection, func() {
		select {
		case <-ctx.Done():
		case <-time.After(outliveFor):
			cancel()
		}
	})
	defer stop()
	c.Request = c.Request.WithContext(ctx)
	c.Next()
}

package surface

import (
	"context"
	"time"

	"github.com/gin-gonic/gin"
)

// outliveFor limits how long a request continues after its connection has ended: as long as the slowest answer takes, a
// test call of a webhook.
const outliveFor = 40 * time.Second

// outlive lets a request finish although its caller has closed its side of the connection. net/http then cancels the
// request. But a caller that has only finished sending still waits for the answer, and aborting a write halfway does
// not help a caller that has gone.
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
	c.Set(connectionKey, connection)
	c.Request = c.Request.WithContext(ctx)
	c.Next()
}

const connectionKey = "connection"

// Hangup is closed when the client has closed its connection, or has closed it for sending. A handler that waits for
// something to happen then answers at once.
func Hangup(c *gin.Context) <-chan struct{} {
	connection, is := c.Value(connectionKey).(context.Context)
	if !is {
		return c.Request.Context().Done()
	}
	return connection.Done()
}

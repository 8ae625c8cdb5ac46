package surface

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"greenroom/db"
	"greenroom/db/pg"
)

// Answer is the answer to a request that this process made to itself.
type Answer struct {
	Status int
	Body   []byte
	header http.Header
}

// Header implements http.ResponseWriter.
func (a *Answer) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter.
func (a *Answer) WriteHeader(status int) { a.Status = status }

// Write implements http.ResponseWriter.
func (a *Answer) Write(p []byte) (int, error) {
	a.Body = append(a.Body, p...)
	return len(p), nil
}

// insideKey is the context key of the caller of an inside request.
type insideKey struct{}

// insider is the caller of an inside request, with the id of the request that it belongs to.
type insider struct {
	Principal
	requestID string
}

func insiderOf(ctx context.Context) (insider, bool) {
	in, is := ctx.Value(insideKey{}).(insider)
	return in, is
}

// Inside sends a request of an authenticated caller to the mounted surfaces, within this process, as part of the
// request c: a page gets its data by the same code, checks and scopes as any client. The request counts against no rate
// limit, and neither the log nor the metrics have it: they have c. headers are alternating names and values.
func (s *Core) Inside(
	c *gin.Context, p Principal, method, target string, body []byte, headers ...string,
) (*Answer, error) {
	ctx := context.WithValue(c.Request.Context(), insideKey{}, insider{p, RequestID(c)})
	ctx = db.WithActor(ctx, p.Actor())
	req, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.RemoteAddr = c.Request.RemoteAddr
	if len(body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	a := &Answer{Status: http.StatusOK, header: http.Header{}}
	s.handler.ServeHTTP(a, req)
	return a, nil
}

// Resume authenticates the holder of a session by the hash of the key that began it. The key is read from the database
// and checked as Authenticate checks it, so a session ends with its key: when that is revoked, rotated, suspended or
// expired, or the caller's address is not allowed.
func (s *Core) Resume(c *gin.Context, hash []byte) (Principal, error) {
	key, err := db.FindAPIKey(c.Request.Context(), s.DB, hash)
	if errors.Is(err, pg.ErrNotFound) || err == nil && !key.Usable(time.Now()) {
		return Principal{}, unauthorized("The session has ended")
	}
	if err != nil {
		return Principal{}, err
	}
	if err := admits(key, c.ClientIP()); err != nil {
		return Principal{}, err
	}
	c.Set(callerKey, Principal{Key: key})
	return Principal{Key: key}, nil
}

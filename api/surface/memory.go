package surface

import (
	"time"

	"github.com/gin-gonic/gin"
)

// Memory of the requests in progress, in bytes of bodies and answers. Decoding, rows and encoding need some five times
// as much: 30 arrays of events of 4 MiB at once took 550 MiB. So 48 MiB keep a process below 300 MiB, and below the
// 512 MiB of a pod together with the rest.
const (
	memoryTotal = 48 << 20
	// memoryEach is the share of a company, and of a network without a key: three arrays of events.
	memoryEach = 12 << 20
	// memoryWait is how long a request waits for its share.
	memoryWait = 10 * time.Second
)

// Defaults of [Route.MaxBody] and [Route.Weighs].
const (
	// publicBody limits the body of a route without authentication: a log-in has about 100 bytes.
	publicBody = 16 << 10
	// rowAnswer is for one row: an interview has up to 1 MiB each of answers, transcript and analysis, but rarely more
	// than a tenth.
	rowAnswer = 1 << 20
	// listAnswer is for a page of rows.
	listAnswer = 4 << 20
)

// LargeList is the weight of a list whose rows may have some 100 KiB each, for [Route.Weighs]: a whole share.
const LargeList = memoryEach

const routeKey = "route"

// bodyLimit returns the limit of the route's bodies.
func (r Route) bodyLimit() int64 {
	switch {
	case r.maxBody > 0:
		return r.maxBody
	case r.Scope == Public:
		return publicBody
	}
	return MaxBody
}

// answerWeight returns the memory that the route's answers count for.
func (r Route) answerWeight() int64 {
	switch {
	case r.weight != nil:
		return *r.weight
	case r.Scope == Public, r.recognizing:
		return 0
	case r.list:
		return listAnswer
	}
	return rowAnswer
}

// checkLength refuses a body that is announced as too large, before any of it is read.
func (r Route) checkLength(c *gin.Context) error {
	c.Set(routeKey, r)
	if r.streams || c.Request.ContentLength <= r.bodyLimit() {
		return nil
	}
	c.Header("Connection", "close") // the body stays unread
	return TooLarge(int(r.bodyLimit()))
}

// hold runs the handler with the memory that the request needs, and refuses the request with 503 if there is none. The
// memory is taken at once and before the body is read: requests that held a part while they wait for the rest could
// wait for each other.
func (s *Core) hold(r Route, h Handler) Handler {
	if r.streams {
		return h
	}
	return func(c *gin.Context) error {
		need := r.answerWeight()
		switch sent := c.Request.ContentLength; {
		case sent > 0:
			need += sent
		case sent < 0: // unknown
			need += r.bodyLimit()
		}
		if need == 0 {
			return h(c)
		}
		release, err := s.Reserve(c, need)
		if err != nil {
			c.Header("Connection", "close") // the body stays unread
			return err
		}
		defer release()
		return h(c)
	}
}

// Reserve takes memory, in bytes, for a request whose route weighs nothing because it waits first. release must be
// called, once.
func (s *Core) Reserve(c *gin.Context, bytes int64) (release func(), err error) {
	release, got := s.memory.Acquire(c.Request.Context(), Owner(c), bytes)
	if !got {
		return nil, Busy("Too many requests are in progress; try again")
	}
	return release, nil
}

// Owner identifies who a request's use of shared resources counts for: the company of the key, the platform key, or
// without a key the client's network.
func Owner(c *gin.Context) string {
	p, found := callerOf(c)
	switch {
	case !found:
		return "network:" + Network(c.ClientIP())
	case p.Platform():
		return "key:" + p.Key.ID.String()
	}
	return "company:" + p.Key.CompanyID.String()
}

// bodyLimitOf returns the limit of the called route's bodies.
func bodyLimitOf(c *gin.Context) int64 {
	if r, is := c.Value(routeKey).(Route); is {
		return r.bodyLimit()
	}
	return MaxBody
}

// noStore is the Cache-Control of all answers that do not have their own. Answers belong to the holder of a key, and
// RFC 9111 §3.5 keeps shared caches only from requests with Authorization, not from those with x-api-key or apiKey.
func noStore(c *gin.Context) {
	c.Header("Cache-Control", "no-store")
	c.Next()
}

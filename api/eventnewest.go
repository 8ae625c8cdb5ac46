package api

import (
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"greenroom/api/surface"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// listNewestEvents pages newest first, for people. It shows an event as soon as it is stored, so a client that follows
// events reads the feed.
func (s *server) listNewestEvents(c *gin.Context) error {
	q, err := newestQuery(c)
	if err != nil {
		return err
	}
	p, err := delivery.ReadNewest(c.Request.Context(), s.DB, q)
	if errors.Is(err, pg.ErrNotFound) {
		return surface.Invalid("cursor", "cursor must be a nextCursor of an earlier answer; its event is not kept any more")
	}
	if err != nil {
		return err
	}
	var next *string
	if p.Next != uuid.Nil {
		cursor := cursorOf(p.Next)
		next = &cursor
	}
	return ok(c, http.StatusOK, gin.H{
		"data": surface.Mapped(p.Events, showEvent), "nextCursor": next, "hasMore": next != nil,
	})
}

func newestQuery(c *gin.Context) (q delivery.NewestQuery, err error) {
	scope, err := surface.ScopeOf(c)
	if err != nil {
		return q, err
	}
	q.Company = scope.Company
	if q.Types, err = queryTypes(c); err != nil {
		return q, err
	}
	if q.Since, q.Until, err = queryRange(c); err != nil {
		return q, err
	}
	if q.Before, err = queryCursor(c); err != nil {
		return q, err
	}
	limit, err := surface.QueryInt(c, "limit", surface.DefaultLimit, surface.MaxLimit)
	q.Limit = int(limit)
	return q, err
}

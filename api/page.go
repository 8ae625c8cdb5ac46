package api

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"greenroom/api/surface"
	"greenroom/db"
)

const (
	defaultLimit = 20
	maxLimit     = 100
	// maxPage keeps the offset far from overflow; nobody pages that far through one company's rows.
	maxPage = 1_000_000
)

type page struct{ number, limit int64 }

func (p page) window() db.Page { return db.Page{Limit: p.limit, Offset: (p.number - 1) * p.limit} }

// pageOf reads ?page= (from 1) and ?limit= (20, at most 100).
func pageOf(c *gin.Context) (page, error) {
	number, err := surface.QueryInt(c, "page", 1, maxPage)
	if err != nil {
		return page{}, err
	}
	limit, err := surface.QueryInt(c, "limit", defaultLimit, maxLimit)
	return page{number, limit}, err
}

// listed is a page in both published shapes at once (reference §2.10): the reference's flat numbers and the guide's object.
type listed struct {
	Data       any        `json:"data"`
	Total      int64      `json:"total"`
	Page       int64      `json:"page"`
	Limit      int64      `json:"limit"`
	TotalPages int64      `json:"totalPages"`
	Pagination pagination `json:"pagination"`
}

type pagination struct {
	Total           int64 `json:"total"`
	Page            int64 `json:"page"`
	Limit           int64 `json:"limit"`
	TotalPages      int64 `json:"totalPages"`
	HasNextPage     bool  `json:"hasNextPage"`
	HasPreviousPage bool  `json:"hasPreviousPage"`
}

// okPage answers with one page of items; show makes a row what the wire shows.
func okPage[Row, Wire any](c *gin.Context, p page, rows []Row, total int64, show func(*Row) Wire) error {
	pages := (total + p.limit - 1) / p.limit
	return ok(c, http.StatusOK, listed{
		Data: surface.Mapped(rows, show), Total: total, Page: p.number, Limit: p.limit, TotalPages: pages,
		Pagination: pagination{total, p.number, p.limit, pages, p.number < pages, p.number > 1},
	})
}

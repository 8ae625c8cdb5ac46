package api

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"greenroom/api/surface"
)

// listed is a page in both published formats at once (reference §2.10): Data with flat numbers, as the pages of the
// reference have it, and Items with the object Pagination, as its guide and the guide's clients do.
type listed struct {
	Data       any        `json:"data"`
	Items      any        `json:"items"`
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

// okPage answers with one page of items; show converts a row to its wire type.
func okPage[Row, Wire any](c *gin.Context, p surface.Page, rows []Row, total int64, show func(*Row) Wire) error {
	pages, items := p.Pages(total), surface.Encoded(surface.Mapped(rows, show))
	return ok(c, http.StatusOK, listed{
		Data: items, Items: items, Total: total, Page: p.Number, Limit: p.Limit, TotalPages: pages,
		Pagination: pagination{total, p.Number, p.Limit, pages, p.Number < pages, p.Number > 1},
	})
}

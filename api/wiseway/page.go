package wiseway

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

// listed is one page of a list. One object has no envelope; a list needs a place for its numbers.
type listed[Wire any] struct {
	Data       []Wire `json:"data"`
	Total      int64  `json:"total"`
	Page       int64  `json:"page"`
	Limit      int64  `json:"limit"`
	TotalPages int64  `json:"totalPages"`
}

func okPage[Wire any](c *gin.Context, p page, items []Wire, total int64) error {
	c.JSON(http.StatusOK, listed[Wire]{items, total, p.number, p.limit, (total + p.limit - 1) / p.limit})
	return nil
}

// slice is the page of rows that are all there.
func slice[Row any](p page, rows []Row) []Row {
	total := int64(len(rows))
	from := min((p.number-1)*p.limit, total)
	return rows[from:min(from+p.limit, total)]
}

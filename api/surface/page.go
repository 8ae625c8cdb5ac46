package surface

import (
	"github.com/gin-gonic/gin"

	"greenroom/db/pg"
)

// Default limits of a page, where the reference of a surface does not say otherwise (webhooks API §2.10).
const (
	DefaultLimit = 20
	MaxLimit     = 100
	// MaxPage keeps the offset from overflowing; no company has that many rows.
	MaxPage = 1_000_000
)

// Page selects a part of a list. Pages are counted from 1 and have Limit rows.
type Page struct{ Number, Limit int64 }

// PageOf reads ?page= and ?limit= and refuses values out of range.
func PageOf(c *gin.Context) (Page, error) {
	number, err := QueryInt(c, "page", 1, MaxPage)
	if err != nil {
		return Page{}, err
	}
	limit, err := QueryInt(c, "limit", DefaultLimit, MaxLimit)
	return Page{number, limit}, err
}

// Window is the page as limit and offset.
func (p Page) Window() pg.Page { return pg.Page{Limit: p.Limit, Offset: (p.Number - 1) * p.Limit} }

// Pages returns the number of pages of a list with total rows.
func (p Page) Pages(total int64) int64 { return (total + p.Limit - 1) / p.Limit }

// Cut returns the page of a complete list.
func Cut[T any](p Page, all []T) []T {
	w := p.Window()
	from := min(w.Offset, int64(len(all)))
	return all[from:min(from+w.Limit, int64(len(all)))]
}

package surface

import (
	"github.com/gin-gonic/gin"

	"greenroom/db/pg"
)

// How long a page of a list is, where the reference of a surface says nothing else (webhooks API §2.10).
const (
	DefaultLimit = 20
	MaxLimit     = 100
	// MaxPage keeps the offset far from overflow; nobody pages that far through one company's rows.
	MaxPage = 1_000_000
)

// Page is which part of a list a request wants: pages are counted from 1, and each has Limit rows.
type Page struct{ Number, Limit int64 }

// PageOf reads ?page= and ?limit= and refuses what is out of their bounds.
func PageOf(c *gin.Context) (Page, error) {
	number, err := QueryInt(c, "page", 1, MaxPage)
	if err != nil {
		return Page{}, err
	}
	limit, err := QueryInt(c, "limit", DefaultLimit, MaxLimit)
	return Page{number, limit}, err
}

// Window is the page as the database takes it.
func (p Page) Window() pg.Page { return pg.Page{Limit: p.Limit, Offset: (p.Number - 1) * p.Limit} }

// Pages is how many pages a list of so many rows has.
func (p Page) Pages(total int64) int64 { return (total + p.Limit - 1) / p.Limit }

// Cut is the page of a list that is all there.
func Cut[T any](p Page, all []T) []T {
	w := p.Window()
	from := min(w.Offset, int64(len(all)))
	return all[from:min(from+w.Limit, int64(len(all)))]
}

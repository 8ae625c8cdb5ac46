package interviewsuite

import (
	"net/http"
	"strconv"

	"github.com/gin-gonic/gin"

	"greenroom/api/surface"
)

// pageOf reads ?page= (from 1) and ?page_size= (20 by default, capped at 100 as in the original's framework).
func pageOf(c *gin.Context) (surface.Page, error) {
	number, err := surface.QueryInt(c, "page", 1, surface.MaxPage)
	if err != nil {
		return surface.Page{}, err
	}
	size, err := surface.QueryInt(c, "page_size", surface.DefaultLimit, 1<<31)
	return surface.Page{Number: number, Limit: min(size, surface.MaxLimit)}, err
}

type pageOutput[T any] struct {
	Meta    meta `json:"meta"`
	Objects []T  `json:"objects"`
}

type meta struct {
	TotalCount int64   `json:"total_count"`
	Previous   *string `json:"previous"`
	Next       *string `json:"next"`
}

// okPage answers with one page of a list. A page past the end is 404, as in the original's framework; the first page
// always exists.
func okPage[T any](s *server, c *gin.Context, p surface.Page, objects []T, total int64) error {
	if objects == nil {
		objects = []T{}
	}
	if p.Number > 1 && len(objects) == 0 {
		return &surface.Error{Status: http.StatusNotFound, Code: codeInvalidPage, Message: "Invalid page"}
	}
	out := pageOutput[T]{Meta: meta{TotalCount: total}, Objects: objects}
	if p.Number > 1 {
		out.Meta.Previous = s.pageURL(c, p.Number-1)
	}
	if p.Number*p.Limit < total {
		out.Meta.Next = s.pageURL(c, p.Number+1)
	}
	return ok(c, http.StatusOK, out)
}

// pageURL returns the request's address with another page number; filters and page_size stay.
func (s *server) pageURL(c *gin.Context, number int64) *string {
	q := c.Request.URL.Query()
	q.Set("page", strconv.FormatInt(number, 10))
	link := s.PublicURL + c.Request.URL.Path + "?" + q.Encode()
	return &link
}

// codeInvalidPage is the error code for a page past the end; it has its own message.
const codeInvalidPage = "INVALID_PAGE"

func ok(c *gin.Context, status int, body any) (err error) {
	if n, wanted := c.Get(nestedKey); wanted {
		if body, err = n.(*nested).embed(body); err != nil {
			return err
		}
	}
	c.JSON(status, body)
	return nil
}

func noContent(c *gin.Context) error {
	c.Status(http.StatusNoContent)
	c.Writer.WriteHeaderNow()
	return nil
}

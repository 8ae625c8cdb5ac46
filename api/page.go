package api

import (
	"net/http"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

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
	number, err := queryInt(c, "page", 1, maxPage)
	if err != nil {
		return page{}, err
	}
	limit, err := queryInt(c, "limit", defaultLimit, maxLimit)
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
		Data: mapped(rows, show), Total: total, Page: p.number, Limit: p.limit, TotalPages: pages,
		Pagination: pagination{total, p.number, p.limit, pages, p.number < pages, p.number > 1},
	})
}

func mapped[Row, Wire any](rows []Row, show func(*Row) Wire) []Wire {
	out := make([]Wire, len(rows))
	for i := range rows {
		out[i] = show(&rows[i])
	}
	return out
}

func queryInt(c *gin.Context, name string, unset, most int64) (int64, error) {
	raw, sent := c.GetQuery(name)
	if !sent {
		return unset, nil
	}
	n, err := strconv.ParseInt(raw, 10, 64)
	if err != nil || n < 1 || n > most {
		return 0, invalid(name, name+" must be an integer between 1 and "+strconv.FormatInt(most, 10))
	}
	return n, nil
}

// queryID reads a UUID from the query; nil when it is not sent.
func queryID(c *gin.Context, name string) (*uuid.UUID, error) {
	raw, sent := c.GetQuery(name)
	if !sent {
		return nil, nil //nolint:nilnil // not sent is an ordinary answer
	}
	id, valid := db.ParseID(raw)
	if !valid {
		return nil, invalid(name, name+" must be a UUID")
	}
	return &id, nil
}

// queryTime reads an RFC 3339 time from the query; the zero time when it is not sent.
func queryTime(c *gin.Context, name string) (time.Time, error) {
	raw, sent := c.GetQuery(name)
	if !sent {
		return time.Time{}, nil
	}
	t, reason := parseTime(raw)
	if reason != "" {
		return time.Time{}, invalid(name, name+" "+reason)
	}
	return t, nil
}

// queryText reads a text of at most 255 characters; "" when it is not sent. What PostgreSQL cannot hold is refused.
func queryText(c *gin.Context, name string) (string, error) {
	raw := c.Query(name)
	for _, r := range raw {
		if r == 0 {
			return "", invalid(name, name+" must not contain NUL characters")
		}
	}
	if !utf8.ValidString(raw) {
		return "", invalid(name, name+" must be valid UTF-8")
	}
	if utf8.RuneCountInString(raw) > 255 {
		return "", invalid(name, name+" must be at most 255 characters")
	}
	return raw, nil
}

// queryOneOf reads one of a set of words; "" when it is not sent.
func queryOneOf(c *gin.Context, name string, allowed ...string) (string, error) {
	raw, sent := c.GetQuery(name)
	if !sent {
		return "", nil
	}
	for _, a := range allowed {
		if a == raw {
			return raw, nil
		}
	}
	e := invalid(name, name+" must be one of the allowed values")
	e.Details = details{"field": name, "provided": raw, "allowed": allowed}
	return "", e
}

// pathID reads the UUID of a path. Anything else is "not found" with the id as it was given (reference §1.12).
func pathID(c *gin.Context, name, resourceType string) (uuid.UUID, error) {
	raw := c.Param(name)
	id, valid := db.ParseID(raw)
	if !valid {
		return uuid.Nil, notFound(resourceType, raw)
	}
	return id, nil
}

package surface

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"greenroom/db/pg"
)

// Mapped converts rows to their wire type; no rows become an empty list, not null.
func Mapped[Row, Wire any](rows []Row, show func(*Row) Wire) []Wire {
	out := make([]Wire, len(rows))
	for i := range rows {
		out[i] = show(&rows[i])
	}
	return out
}

// QueryInt reads an integer from 1 to most from the query; unset if it is not sent.
func QueryInt(c *gin.Context, name string, unset, most int64) (int64, error) {
	raw, sent := c.GetQuery(name)
	if !sent {
		return unset, nil
	}
	n, err := strconv.ParseInt(raw, 10, 64)
	if err != nil || n < 1 || n > most {
		return 0, Invalid(name, name+" must be an integer between 1 and "+strconv.FormatInt(most, 10))
	}
	return n, nil
}

// QueryID reads a UUID from the query; nil if it is not sent.
func QueryID(c *gin.Context, name string) (*uuid.UUID, error) {
	raw, sent := c.GetQuery(name)
	if !sent {
		return nil, nil //nolint:nilnil // not sent is an ordinary answer
	}
	id, valid := pg.ParseID(raw)
	if !valid {
		return nil, Invalid(name, name+" must be a UUID")
	}
	return &id, nil
}

// QueryTime reads an RFC 3339 time from the query; the zero time if it is not sent.
func QueryTime(c *gin.Context, name string) (time.Time, error) {
	raw, sent := c.GetQuery(name)
	if !sent {
		return time.Time{}, nil
	}
	t, reason := ParseTime(raw)
	if reason != "" {
		if strings.Contains(raw, " ") { // a query decodes + as a space
			reason += "; write the + of an offset as %2B"
		}
		return time.Time{}, Invalid(name, name+" "+reason)
	}
	return t, nil
}

// QueryText reads a text of at most 255 characters; "" if it is not sent. It refuses text that PostgreSQL cannot store.
func QueryText(c *gin.Context, name string) (string, error) {
	raw := c.Query(name)
	for _, r := range raw {
		if r == 0 {
			return "", Invalid(name, name+" must not contain NUL characters")
		}
	}
	if !utf8.ValidString(raw) {
		return "", Invalid(name, name+" must be valid UTF-8")
	}
	if utf8.RuneCountInString(raw) > 255 {
		return "", Invalid(name, name+" must be at most 255 characters")
	}
	return raw, nil
}

// QueryOneOf reads one of the allowed values; "" if it is not sent.
func QueryOneOf(c *gin.Context, name string, allowed ...string) (string, error) {
	raw, sent := c.GetQuery(name)
	if !sent {
		return "", nil
	}
	for _, a := range allowed {
		if a == raw {
			return raw, nil
		}
	}
	e := Invalid(name, name+" must be one of the allowed values")
	e.Details = Details{"field": name, "provided": raw, "allowed": allowed}
	return "", e
}

// PathID reads the UUID of a path. An invalid one is "not found" with the id as it was sent (reference §1.12).
func PathID(c *gin.Context, name, resourceType string) (uuid.UUID, error) {
	raw := c.Param(name)
	id, valid := pg.ParseID(raw)
	if !valid {
		return uuid.Nil, NotFound(resourceType, raw)
	}
	return id, nil
}

// PathNumber reads the integer id of a path. An invalid one is "not found" with the id as it was sent.
func PathNumber(c *gin.Context, name, resourceType string) (int64, error) {
	raw := c.Param(name)
	n, err := strconv.ParseInt(raw, 10, 64)
	if err != nil || n < 1 || strconv.FormatInt(n, 10) != raw {
		return 0, NotFound(resourceType, raw)
	}
	return n, nil
}

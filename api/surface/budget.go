package surface

import (
	"strconv"

	"github.com/gin-gonic/gin"

	"greenroom/db"
)

// budgets returns what a request counts against: the key, the keys of its company through which it was made, and the
// company. Keys and tokens are free, so their limits alone would be multiplied by their number. A key with a higher
// limit than its company, which only an operator makes, and the keys made through it have this limit instead of the
// company's.
func (s *Core) budgets(p Principal) []Principal {
	var out []Principal
	chain := p.Key.Budgets()
	for _, k := range chain {
		out = append(out, Principal{Key: k})
	}
	first := chain[len(chain)-1]
	if p.Platform() || first.RatePerMinute > s.CompanyPerMinute || first.RatePerHour > s.CompanyPerHour {
		return out
	}
	return append(out, Principal{Key: &db.APIKey{
		ID: *p.Key.CompanyID, CompanyID: p.Key.CompanyID, RatePerMinute: s.CompanyPerMinute, RatePerHour: s.CompanyPerHour,
	}})
}

// countBudgets counts the request in each budget, the key's own first, and returns the first that is exceeded, or nil.
// A request that a budget refuses does not use up those after it.
// With take it counts the request; otherwise the request has been counted.
func (s *Core) countBudgets(c *gin.Context, take bool) (over *Limited) {
	for _, name := range []string{"Minute", "Hour"} {
		c.Writer.Header().Del(remaining + name)
	}
	for _, p := range s.budgets(Caller(c)) {
		if over := s.countRequest(c, p, take); over != nil {
			return over
		}
	}
	return nil
}

const remaining = "X-RateLimit-Remaining-"

// showWindow reports a window in its three headers, unless they show a budget that has fewer requests left.
func showWindow(c *gin.Context, name string, limit, left, reset int64) {
	if shown, err := strconv.ParseInt(c.Writer.Header().Get(remaining+name), 10, 64); err == nil && shown <= left {
		return
	}
	c.Header("X-RateLimit-Limit-"+name, strconv.FormatInt(limit, 10))
	c.Header(remaining+name, strconv.FormatInt(left, 10))
	c.Header("X-RateLimit-Reset-"+name, strconv.FormatInt(reset, 10))
}

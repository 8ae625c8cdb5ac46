package api

import (
	"math"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"greenroom/api/surface"
	"greenroom/db"
)

func (s *server) billingRoutes() []surface.Route {
	return []surface.Route{
		surface.List("/billing/usage", "read:billing", s.getUsage, "start", "end"),
	}
}

const (
	usageDays = 30  // the default period
	mostDays  = 366 // the longest one
	// billedInMinutes: there are no credits here. The reference has both systems.
	billedInMinutes = "minutes"
)

type usageOutput struct {
	Companies []companyUsage `json:"companies"`
	usageSums
}

type companyUsage struct {
	CompanyID     uuid.UUID `json:"companyId"`
	CompanyName   string    `json:"companyName"`
	BillingSystem string    `json:"billingSystem"`
	usageSums
}

// usageSums are the totals of a company, or of all.
type usageSums struct {
	Minutes    float64    `json:"totalMinutesUsed"`
	Interviews int64      `json:"totalInterviews"`
	Breakdown  []usageKey `json:"breakdownByCostKey"`
}

type usageKey struct {
	CostKey string  `json:"costKey"`
	Events  int64   `json:"events"`
	Minutes float64 `json:"minutesUsed"`
}

func (u *usageSums) add(row *db.Usage) {
	minutes := round(row.Minutes)
	if row.CostKey == db.UsageInterviews {
		u.Interviews += row.Events
	}
	u.Minutes = round(u.Minutes + minutes)
	for i := range u.Breakdown {
		if k := &u.Breakdown[i]; k.CostKey == row.CostKey {
			k.Events, k.Minutes = k.Events+row.Events, round(k.Minutes+minutes)
			return
		}
	}
	u.Breakdown = append(u.Breakdown, usageKey{row.CostKey, row.Events, minutes})
}

// round rounds minutes to hundredths.
func round(minutes float64) float64 { return math.Round(minutes*100) / 100 }

// getUsage sums up whole days (UTC): of the key's company, or for a platform key of that in ?companyId= or of all
// that used something.
func (s *server) getUsage(c *gin.Context) error {
	scope, err := surface.ScopeOf(c)
	if err != nil {
		return err
	}
	start, end, err := usagePeriod(c)
	if err != nil {
		return err
	}
	rows, err := db.ListUsage(c.Request.Context(), s.DB, scope, start, end)
	if err != nil {
		return err
	}
	out := usageOutput{Companies: []companyUsage{}, usageSums: noUsage()}
	if scope.Company != nil && len(rows) == 0 {
		company, err := db.GetCompany(c.Request.Context(), s.DB, *scope.Company)
		if err != nil {
			return err
		}
		out.Companies = append(out.Companies, companyUsage{company.ID, company.Name, billedInMinutes, noUsage()})
	}
	for i := range rows {
		row := &rows[i]
		if n := len(out.Companies); n == 0 || out.Companies[n-1].CompanyID != row.CompanyID {
			out.Companies = append(out.Companies, companyUsage{row.CompanyID, row.CompanyName, billedInMinutes, noUsage()})
		}
		out.Companies[len(out.Companies)-1].add(row)
		out.add(row)
	}
	return ok(c, http.StatusOK, out)
}

func noUsage() usageSums { return usageSums{Breakdown: []usageKey{}} }

// usagePeriod reads ?start= and ?end=: dates, or times whose dates (UTC) count. Without start the period has 30 days.
func usagePeriod(c *gin.Context) (start, end time.Time, err error) {
	if end, err = queryDay(c, "end", time.Now().UTC()); err != nil {
		return start, end, err
	}
	if start, err = queryDay(c, "start", end.AddDate(0, 0, -usageDays)); err != nil {
		return start, end, err
	}
	switch {
	case start.After(end):
		return start, end, surface.Invalid("start", "start must not be after end")
	case end.Sub(start) > mostDays*24*time.Hour:
		return start, end, surface.Invalid("start", "start must be at most 366 days before end")
	}
	return start, end, nil
}

func queryDay(c *gin.Context, name string, unset time.Time) (time.Time, error) {
	raw, sent := c.GetQuery(name)
	if !sent {
		return unset.Truncate(24 * time.Hour), nil
	}
	if day, err := time.Parse(time.DateOnly, raw); err == nil && day.Year() >= 1970 {
		return day, nil
	}
	at, reason := surface.ParseTime(raw)
	if reason != "" {
		return at, surface.Invalid(name, name+" must be a date like 2024-01-15, or a date and time with an offset (ISO 8601)")
	}
	return at.Truncate(24 * time.Hour), nil
}

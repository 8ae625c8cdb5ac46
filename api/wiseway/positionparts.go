package wiseway

import (
	"greenroom/api/surface"
	"greenroom/db"
)

type location struct {
	WorkMode    *string `json:"workMode" validate:"anyword"`
	Street      *string `json:"street" validate:"max=255"`
	City        *string `json:"city" validate:"max=255"`
	PostalCode  *string `json:"postalCode" validate:"max=32"`
	CountryCode *string `json:"countryCode" validate:"iso3166_1_alpha2"`
}

func (l *location) row() *db.JobLocation {
	if l == nil {
		return nil
	}
	row := db.JobLocation(*l)
	row.WorkMode = upper(row.WorkMode)
	return &row
}

type salary struct {
	Min      *float64 `json:"min" validate:"gte=0,lte=1000000000000"`
	Max      *float64 `json:"max" validate:"gte=0,lte=1000000000000"`
	Currency *string  `json:"currency" validate:"iso4217"`
	Period   *string  `json:"period" validate:"anyword"`
}

func (s *salary) row() *db.Salary {
	if s == nil {
		return nil
	}
	row := db.Salary(*s)
	row.Period = upper(row.Period)
	return &row
}

// check refuses a minimum above the maximum.
func (s *salary) check() error {
	if s != nil && s.Min != nil && s.Max != nil && *s.Min > *s.Max {
		return surface.Invalid("salary.max", "salary.max must be at least salary.min")
	}
	return nil
}

package interviewsuite

import (
	"context"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/gin-gonic/gin"
	"github.com/uptrace/bun"

	"greenroom/api/surface"
	"greenroom/db"
	"greenroom/db/pg"
)

// settings are the four sub-resources that a company's answer refers to.
var settings = []string{"billing", "design", "account", "security"}

func (s *server) companyRoutes() []surface.Route {
	routes := []surface.Route{
		surface.Get("/api/v3/companies/:company/", "read:companies", s.getCompany),
		surface.Patch("/api/v3/companies/:company/", "write:companies", s.updateCompany),
		surface.Get("/api/v3/company-by-identifier/:identifier/", "read:companies", s.getCompany),
		surface.Patch("/api/v3/company-by-identifier/:identifier/", "write:companies", s.updateCompany),
	}
	for _, part := range settings {
		routes = append(routes, surface.Get("/api/v3/companies/:company/"+part+"/", "read:companies", s.getSettings))
	}
	return routes
}

// namedCompany returns the company that the path names by number or by identifier. For a company's key, any other
// identifier is forbidden, as any other number is.
func (s *server) namedCompany(c *gin.Context) (*db.Company, error) {
	identifier, named := c.Params.Get("identifier")
	if !named {
		return s.company(c)
	}
	own := surface.Caller(c).Key.CompanyID
	if own == nil {
		if !utf8.ValidString(identifier) || strings.ContainsRune(identifier, 0) { // PostgreSQL refuses it as a parameter
			return nil, pg.ErrNotFound
		}
		return db.CompanyByIdentifier(c.Request.Context(), s.DB, identifier)
	}
	company, err := db.GetCompany(c.Request.Context(), s.DB, *own)
	if err == nil && company.Identifier != identifier {
		return nil, surface.Denied("company")
	}
	return company, err
}

// companyPatch follows reference 2.3; settings and features are read only.
type companyPatch struct {
	Name          surface.Opt[string] `json:"name" validate:"min=1,max=255"`
	City          surface.Opt[string] `json:"city" validate:"max=255" null:"ok"`
	Country       surface.Opt[string] `json:"country" validate:"max=2048" null:"ok"`
	Address       surface.Opt[string] `json:"address" validate:"max=1000" null:"ok"`
	StateProvince surface.Opt[string] `json:"state_province" validate:"max=255" null:"ok"`
	Division      surface.Opt[string] `json:"division" validate:"max=255" null:"ok"`
	Phone         surface.Opt[string] `json:"phone" validate:"max=64" null:"ok"`
	Postcode      surface.Opt[string] `json:"postcode" validate:"max=32" null:"ok"`
}

func (in *companyPatch) apply(company *db.Company) error {
	own, err := decoded[companySuite](company.Suite)
	if err != nil {
		return err
	}
	setIfSent(&company.Name, in.Name)
	setIfSent(&own.City, in.City)
	setPtrIfSent(&own.Country, in.Country)
	setIfSent(&own.Address, in.Address)
	setIfSent(&own.StateProvince, in.StateProvince)
	setIfSent(&own.Division, in.Division)
	setIfSent(&own.Phone, in.Phone)
	setIfSent(&own.Postcode, in.Postcode)
	company.Suite = surface.Encoded(own)
	return nil
}

type companyOutput struct {
	ResourceURI      string   `json:"resource_uri"`
	Identifier       string   `json:"identifier"`
	Name             string   `json:"name"`
	City             string   `json:"city"`
	Country          *string  `json:"country"`
	Address          string   `json:"address"`
	StateProvince    string   `json:"state_province"`
	Division         string   `json:"division"`
	Phone            string   `json:"phone"`
	Postcode         string   `json:"postcode"`
	BillingSettings  string   `json:"billing_settings"`
	DesignSettings   string   `json:"design_settings"`
	AccountSettings  string   `json:"account_settings"`
	SecuritySettings string   `json:"security_settings"`
	Features         []string `json:"features"`
}

func (s *server) showCompany(company *db.Company) (companyOutput, error) {
	own, err := decoded[companySuite](company.Suite)
	uri := s.companyURI(company.Number)
	return companyOutput{
		ResourceURI:      uri,
		Identifier:       company.Identifier,
		Name:             company.Name,
		City:             own.City,
		Country:          own.Country,
		Address:          own.Address,
		StateProvince:    own.StateProvince,
		Division:         own.Division,
		Phone:            own.Phone,
		Postcode:         own.Postcode,
		BillingSettings:  uri + "billing/",
		DesignSettings:   uri + "design/",
		AccountSettings:  uri + "account/",
		SecuritySettings: uri + "security/",
		Features:         []string{},
	}, err
}

func (s *server) getCompany(c *gin.Context) error {
	company, err := s.namedCompany(c)
	if err != nil {
		return err
	}
	return s.answerCompany(c, http.StatusOK, company)
}

func (s *server) answerCompany(c *gin.Context, status int, company *db.Company) error {
	out, err := s.showCompany(company)
	if err != nil {
		return err
	}
	return ok(c, status, out)
}

func (s *server) updateCompany(c *gin.Context) error {
	company, err := s.namedCompany(c)
	if err != nil {
		return err
	}
	in, err := surface.BindKnown[companyPatch](c)
	if err != nil {
		return err
	}
	err = pg.InTx(c.Request.Context(), s.DB, func(ctx context.Context, tx bun.Tx) (err error) {
		if err := db.Lock(ctx, tx, "companies", company.ID); err != nil {
			return err
		}
		if company, err = db.GetCompany(ctx, tx, company.ID); err != nil {
			return err
		}
		if err := in.apply(company); err != nil {
			return err
		}
		return db.UpdateCompany(ctx, tx, company, "name", "suite")
	})
	if err != nil {
		return err
	}
	return s.answerCompany(c, http.StatusAccepted, company)
}

type settingsOutput struct {
	ResourceURI string `json:"resource_uri"`
	Company     string `json:"company"`
}

// getSettings serves the settings addresses in a company's answer. There are no such settings here; the addresses
// exist so that a client that follows every reference gets no error.
func (s *server) getSettings(c *gin.Context) error {
	company, err := s.company(c)
	if err != nil {
		return err
	}
	return ok(c, http.StatusOK, settingsOutput{s.PublicURL + c.Request.URL.Path, s.companyURI(company.Number)})
}

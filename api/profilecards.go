package api

import (
	_ "embed"
	"html/template"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"greenroom/api/surface"
	"greenroom/db"
)

//go:embed profilecard.html
var cardHTML string

// cardTemplate renders a profile as one element with inline styles alone, so that it can be put into any page or mail.
// html/template escapes what the sourcing service wrote, and refuses links that are no web addresses.
var cardTemplate = template.Must(template.New("card").Parse(cardHTML))

// cardsInput is the body of POST /sourcing/render-html.
type cardsInput struct {
	ProfileIDs []string `json:"profileIds" validate:"required,max=10,unique,dive,min=1,max=128"`
	Theme      string   `json:"theme" validate:"omitempty,oneof=dark light"`
}

type cardsOutput struct {
	Success       bool         `json:"success"`
	RenderedCount int          `json:"renderedCount"`
	Data          []cardOutput `json:"data"`
}

type cardOutput struct {
	ProfileID   string `json:"profileId"`
	Success     bool   `json:"success"`
	Name        string `json:"name,omitempty"`
	HTMLContent string `json:"htmlContent,omitempty"`
	ErrorCode   string `json:"errorCode,omitempty"`
}

// card is what the template shows. The colors are constants of this program, and not escaped.
type card struct {
	*db.SourcedCandidate
	Background, Border, Text, Muted, Chip template.CSS
}

// renderCards answers at once: it shows what the company's sourcings and enrichments have found, and asks no service.
func (s *server) renderCards(c *gin.Context) error {
	company, err := s.CallerCompany(c)
	if err != nil {
		return err
	}
	in, err := surface.Bind[cardsInput](c)
	if err != nil {
		return err
	}
	known, err := db.FindProfiles(c.Request.Context(), s.DB, company, in.ProfileIDs)
	if err != nil {
		return err
	}
	out := cardsOutput{Success: true, Data: make([]cardOutput, len(in.ProfileIDs))}
	for i, id := range in.ProfileIDs {
		p := known[id]
		if p == nil {
			out.Data[i] = cardOutput{ProfileID: id, ErrorCode: db.ProfileUnknown}
			continue
		}
		html, err := renderCard(p, in.Theme)
		if err != nil {
			return err
		}
		out.Data[i] = cardOutput{ProfileID: id, Success: true, Name: p.Name, HTMLContent: html}
		out.RenderedCount++
	}
	c.JSON(http.StatusOK, out)
	return nil
}

func renderCard(p *db.SourcedCandidate, theme string) (string, error) {
	view := card{p, "#0f172a", "#334155", "#f1f5f9", "#94a3b8", "#1e293b"}
	if theme == "light" {
		view = card{p, "#ffffff", "#e2e8f0", "#0f172a", "#64748b", "#f1f5f9"}
	}
	var b strings.Builder
	err := cardTemplate.Execute(&b, view)
	return strings.TrimSpace(b.String()), err
}

package api

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/gin-gonic/gin"

	"greenroom/api/console"
	"greenroom/api/surface"
)

// portalLinkInput is the body of POST /companies/{id}/portal-links; it may be absent.
type portalLinkInput struct {
	// FrameAncestors are the origins that may show the pages in a frame; none: the pages are in no frame.
	FrameAncestors []string `json:"frameAncestors" validate:"max=10"`
}

type portalLinkOutput struct {
	URL       string            `json:"url"`
	ExpiresAt surface.Timestamp `json:"expiresAt"`
}

// createPortalLink answers with a link to the console's pages of one company. It stores nothing: the link is sealed and
// ends with the calling key, and after an hour at the latest.
func (s *server) createPortalLink(c *gin.Context) error {
	if !s.hasPortal {
		return surface.InvalidState("The console is switched off (console.enabled), and with it the portal", nil)
	}
	co, err := s.company(c)
	if err != nil {
		return err
	}
	var in portalLinkInput
	if c.Request.ContentLength != 0 {
		if in, err = surface.Bind[portalLinkInput](c); err != nil {
			return err
		}
	}
	for _, origin := range in.FrameAncestors {
		if !isOrigin(origin) {
			return surface.Invalid("frameAncestors",
				"frameAncestors must be origins such as https://app.example.com; this is not: "+surface.Clip(origin))
		}
	}
	path, ends, err := console.PortalLink(s.Core, surface.Caller(c).Key, co.ID, in.FrameAncestors)
	if err != nil {
		return err
	}
	return ok(c, http.StatusCreated, portalLinkOutput{s.PublicURL + path, surface.Timestamp(ends)})
}

// isOrigin reports whether the text is scheme, host and perhaps port alone, so that it cannot extend the header of a
// policy.
func isOrigin(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.Hostname() != "" &&
		!strings.ContainsAny(text, " ;,'\"*") && text == u.Scheme+"://"+u.Host
}

package api

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"greenroom/api/docs"
	"greenroom/api/surface"
)

func (s *server) docRoutes() []surface.Route {
	return []surface.Route{
		surface.Get("/", surface.Public, goHome).Alone(),
		surface.Get("/docs", surface.Public, s.showDocs).Alone(),
		surface.Get("/docs/:name", surface.Public, s.showDocs).Alone(),
		surface.Get("/docs/guides/:name", surface.Public, s.showDocs).Alone(),
		surface.Get("/openapi/:file", surface.Public, s.showDocs).Alone(),
		surface.Get("/llms.txt", surface.Public, s.showDocs).Alone(),
	}
}

// goHome redirects a browser that opened the server's address.
func goHome(c *gin.Context) error {
	c.Header("Location", docs.Home)
	c.Status(http.StatusFound)
	return nil
}

func (s *server) showDocs(c *gin.Context) error {
	found, err := s.docs.Serve(c.Writer, c.Request)
	if err == nil && !found {
		return surface.NotFound("Page", c.Request.URL.Path)
	}
	return err
}

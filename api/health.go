package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"greenroom/api/surface"
	"greenroom/db"
)

// readyTimeout limits the database check; it is shorter than the usual timeout of a probe.
const readyTimeout = 2 * time.Second

func (s *server) infraRoutes() []surface.Route {
	routes := []surface.Route{
		surface.Get("/healthz", surface.Public, s.health).Alone(),
		surface.Get("/readyz", surface.Public, s.ready).Alone(),
	}
	if s.showsMetrics {
		routes = append(routes, surface.Get("/metrics", surface.Public, s.showMetrics()).Alone())
	}
	return routes
}

// health reports that the process is alive, without checking its dependencies; /readyz does.
func (s *server) health(c *gin.Context) error {
	return ok(c, http.StatusOK, gin.H{"status": "up"})
}

// ready reports whether this process can serve: the database answers and is migrated, the keyset is the
// installation's, and Options.Ready agrees.
func (s *server) ready(c *gin.Context) error {
	if reason := s.notReady(c); reason != "" {
		return &surface.Error{Status: http.StatusServiceUnavailable, Code: surface.CodeUnavailable, Message: reason}
	}
	return ok(c, http.StatusOK, gin.H{"status": "ready"})
}

func (s *server) showMetrics() surface.Handler {
	h := promhttp.HandlerFor(s.Metrics, promhttp.HandlerOpts{})
	return func(c *gin.Context) error {
		h.ServeHTTP(c.Writer, c.Request)
		return nil
	}
}

// notReady returns why this process cannot serve, or "".
func (s *server) notReady(c *gin.Context) string {
	ctx, cancel := context.WithTimeout(c.Request.Context(), readyTimeout)
	defer cancel()
	err := db.CheckMigrated(ctx, s.DB)
	if err == nil {
		err = db.CheckKeyset(ctx, s.DB, s.Box)
	}
	switch {
	case errors.Is(err, db.ErrNotMigrated):
		return "The database is not migrated: run greenroom migrate up"
	case errors.Is(err, db.ErrOtherKeyset):
		s.Logger.WarnContext(ctx, "not ready", "error", err)
		return "The keyset is not this installation's: the log has more"
	case err != nil:
		s.Logger.WarnContext(ctx, "not ready", "error", err)
		return "The database does not answer"
	}
	if s.isReady == nil {
		return ""
	}
	if err := s.isReady(ctx); err != nil {
		s.Logger.WarnContext(ctx, "not ready", "error", err)
		return "A part of this process is not ready"
	}
	return ""
}

package api

import (
	"context"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"greenroom/db"
)

// readyTimeout is what the database gets to answer: less than the time-out of any usual probe.
const readyTimeout = 2 * time.Second

func (s *server) infraRoutes() []route {
	return []route{
		{http.MethodGet, "/healthz", public, s.health},
		{http.MethodGet, "/readyz", public, s.ready},
		{http.MethodGet, "/metrics", public, s.showMetrics()},
	}
}

// health says that the process answers; what it depends on is /readyz.
func (s *server) health(c *gin.Context) error {
	return ok(c, http.StatusOK, gin.H{"status": "up"})
}

// ready says whether this process can serve: the database answers and is migrated, and what Options.Ready adds.
func (s *server) ready(c *gin.Context) error {
	if reason := s.notReady(c); reason != "" {
		return &apiError{Status: http.StatusServiceUnavailable, Code: codeUnavailable, Message: reason}
	}
	return ok(c, http.StatusOK, gin.H{"status": "ready"})
}

func (s *server) showMetrics() handler {
	h := promhttp.HandlerFor(s.Metrics, promhttp.HandlerOpts{})
	return func(c *gin.Context) error {
		h.ServeHTTP(c.Writer, c.Request)
		return nil
	}
}

// notReady is why this process cannot serve, or "".
func (s *server) notReady(c *gin.Context) string {
	ctx, cancel := context.WithTimeout(c.Request.Context(), readyTimeout)
	defer cancel()
	pending, err := db.Migrator(s.DB).MigrationsWithStatus(ctx)
	switch {
	case err != nil:
		s.Logger.WarnContext(ctx, "not ready", "error", err)
		return "The database does not answer"
	case len(pending.Unapplied()) > 0:
		return "The database is not migrated: run greenroom migrate up"
	}
	if s.Ready == nil {
		return ""
	}
	if err := s.Ready(ctx); err != nil {
		s.Logger.WarnContext(ctx, "not ready", "error", err)
		return "A part of this process is not ready"
	}
	return ""
}

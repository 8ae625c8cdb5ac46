package devstack

import (
	"os"
	"path/filepath"
)

// TemporalServerThere finds a server in the cache without building it.
func TemporalServerThere() (TemporalServerPrograms, bool) {
	cache, err := os.UserCacheDir()
	dir := filepath.Join(cache, "greenroom", "temporal-server-"+temporalServerVersion)
	p := TemporalServerPrograms{Server: filepath.Join(dir, "server"), SQL: filepath.Join(dir, "sql")}
	return p, err == nil && p.there()
}

// VisibilityURL returns the URL of the visibility database.
func (t *TemporalServer) VisibilityURL() string { return t.opts.Postgres.url(visibilityDatabase) }

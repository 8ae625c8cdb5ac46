package devstack

import (
	"os"
	"path/filepath"
)

// TemporalServerThere finds a server that is built already.
func TemporalServerThere() (TemporalServerPrograms, bool) {
	cache, err := os.UserCacheDir()
	dir := filepath.Join(cache, "greenroom", "temporal-server-"+temporalServerVersion)
	p := TemporalServerPrograms{Server: filepath.Join(dir, "server"), SQL: filepath.Join(dir, "sql")}
	return p, err == nil && p.there()
}

// VisibilityURL is the database of the indexes.
func (t *TemporalServer) VisibilityURL() string { return t.opts.Postgres.url(visibilityDatabase) }

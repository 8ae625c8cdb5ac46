package pg

import "github.com/google/uuid"

// Page is a window on one of the small tables (companies, jobs, candidates, …), where counting is cheap. Deliveries and
// events are never counted nor skipped over: they are listed by keyset.
type Page struct {
	Limit  int64
	Offset int64
}

// Scope is what a caller may see: one company, or everything when Company is nil (a platform key).
type Scope struct{ Company *uuid.UUID }

package leader

// The lease, for tests.
var (
	Acquire = acquire
	Release = release
)

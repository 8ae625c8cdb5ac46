package pg

// ForgetPooler undoes what Open learned of a pooler, for the tests that follow.
func ForgetPooler() { planEach.Store(false) }

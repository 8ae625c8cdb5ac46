package dispatch

// RunOnce is one round of Run, for tests that need no timers.
var RunOnce = (*Dispatcher).runOnce

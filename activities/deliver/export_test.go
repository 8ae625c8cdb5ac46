package deliver

// AttemptAs is AttemptDelivery in the name of a workflow run, for tests that are no workflow.
var AttemptAs = (*Activities).attemptAs

// AttemptBatchAs is AttemptBatch in the name of a workflow run.
var AttemptBatchAs = (*Activities).attemptBatchAs

// Busy is the error of an attempt that found no place.
var Busy = busy

// WriteJournal writes a result and returns the function to call once it is recorded.
var WriteJournal = (*Journal).write

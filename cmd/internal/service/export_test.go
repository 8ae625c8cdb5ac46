package service

// TemporalOptions says how to reach Temporal.
var TemporalOptions = temporalOptions

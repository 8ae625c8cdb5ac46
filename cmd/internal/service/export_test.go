package service

// TemporalOptions exports temporalOptions.
var TemporalOptions = temporalOptions

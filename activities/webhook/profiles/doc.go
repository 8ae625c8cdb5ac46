// Package profiles holds the contracts that receivers were written for, one file each, and the list of them.
//
// The design decision: a profile is a [webhook.Profile] value, data and two small functions, and holds everything that
// differs between contracts. To add one, add its file, its line in the list, its schemas and its golden files, all in
// this directory. Code outside names a profile only as a default.
//
// Where a contract's documentation is silent, each file's comments and openapi.yaml say what was chosen. openapi.yaml
// describes the deliveries to authors of receivers.
package profiles

// Package profiles holds the contracts that receivers were written for, one file each, and the list of them.
//
// The decision it rests on: a profile is a [webhook.Profile] value, data and two small functions, and everything that
// anyone asks of a profile is on that value. To add one, add its file, its line in the list, its schemas and golden
// files: all of it here. Nothing outside this folder names a profile, except where it stands for a default.
//
// What a contract leaves open was chosen in its own style; the choices are in each file's comments and in openapi.yaml,
// which describes the deliveries to those who write receivers.
package profiles

// Package surface has what the HTTP surfaces of all products share: authentication and scopes, decoding and validation
// of bodies, errors, idempotency, rate limits, pages, and the construction of rows that several surfaces create.
//
// A [Surface] is one product's API: a table of routes and a [Style], which writes its errors. All surfaces are mounted
// on one [Core] and share its keys, limits and log; no surface knows another. A handler either answers or returns an
// error. The core converts any error into an [Error] in one place, and the style of the called surface writes it in its
// product's format.
package surface

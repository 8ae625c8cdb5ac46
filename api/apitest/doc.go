// Package apitest has the test fixtures that all surfaces share: the API on its own database, with two companies and
// their keys.
//
// Each request is checked against the contract of its surface (api/openapi), so every test also tests the contract:
// answers of all statuses must match it and only have documented fields, and the request of a 2xx answer must be one
// that the contract allows. Two tests walk over the mounted routes: each route must be in its contract (CheckRoutes),
// and a key of another company must get no data from it (WalkForeign).
package apitest

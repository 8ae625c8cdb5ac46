// Package apitest is what the tests of all surfaces share: the API on a database of its own, with two companies and
// their keys.
//
// Every call is held against the contract of the surface that the path belongs to (api/openapi), so a contract is
// tested by all the tests there are: every answer of every status must fit it, its fields be documented, and what was
// asked of an answer of 2xx must be something that the contract allows. Two walks over the mounted routes test what
// nobody should have to remember: that each route is in its contract (CheckRoutes), and that a key of another company
// gets nothing out of it (WalkForeign).
package apitest

// Package api is the canonical HTTP surface of Greenroom: the webhooks API, with the pages and probes of the server.
// Package surface has what it shares with the other products' surfaces, which New mounts beside it.
//
// It does not know Temporal. A handler decodes the body, checks it, commits one transaction (the row, its event, its
// deliveries, its commands) and answers. So the API accepts work while Temporal is unavailable, and a crash loses
// nothing: no second system has to be written after the commit.
//
// Each file has the routes of one resource as data, one line per route with its scope, followed by the handlers and
// their request and response types. These types are unexported and are never rows. A handler either answers or returns
// an error, which package surface turns into an answer. Bodies are decoded strictly: an unknown field is refused by
// name.
package api

// Package api is HTTP in, JSON out: the canonical surface of Greenroom.
//
// It knows gin and db and does not know Temporal: a handler binds, checks and commits one transaction (the row, its
// event, its deliveries, its commands) and answers. So the API keeps accepting work while Temporal is down, and
// nothing is lost between a commit and a queue, because there is no second commit.
//
// The routes are data, one line each with the scope they ask for, beside their handlers. A handler returns an error
// or has answered; package surface turns errors into answers. Request and response types stand beside their handler,
// are unexported and are never rows. Package surface reads bodies strictly: an unknown member is refused by name.
package api

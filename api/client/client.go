// Package client calls Greenroom's API: client.gen.go is generated from the contract `greenroom`, and knows nothing of
// the server. A method ends with WithResponse; its result has a field for each answer, such as JSON201, of which one is
// set: JSON4XX and JSON5XX have the error.
package client

import (
	"context"
	"net/http"
)

// New returns a client of the API at that base URL, with an API key.
func New(baseURL, key string, options ...ClientOption) (*ClientWithResponses, error) {
	authorize := func(_ context.Context, r *http.Request) error {
		r.Header.Set("Authorization", "Bearer "+key)
		return nil
	}
	return NewClientWithResponses(baseURL, append([]ClientOption{WithRequestEditorFn(authorize)}, options...)...)
}

// Events returns the names of events as the API takes them.
func Events(names ...string) []EventRef {
	refs := make([]EventRef, len(names))
	for i, name := range names {
		_ = refs[i].FromEventRef1(name) // a string can be encoded
	}
	return refs
}

// OneEvent returns one event as the body of PublishEventWithResponse. It returns an error if its data have no form in
// JSON.
func OneEvent(event EventInput) (Publication, error) {
	var body Publication
	err := body.FromEventInput(event)
	return body, err
}

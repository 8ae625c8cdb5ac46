package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"greenroom/activities/webhook/profiles"
	"greenroom/api/surface"
)

// Some contracts send one event for each of several things that upstream tells at once: see List of webhook.Type.

// maxParts is how many events one publication may make.
const maxParts = 100

// part is the data of one of the events that a publication makes.
type part struct {
	data json.RawMessage
	// from and to: where a fault of the data stands in what was published.
	from, to string
}

// path is the place of a fault in what was published.
func (p part) path(at string) string {
	if rest, is := strings.CutPrefix(at, p.from); p.from != "" && is && (rest == "" || rest[0] == '/') {
		return p.to + rest
	}
	return at
}

// split takes data with a list apart: as many parts as it has elements, each byte for byte as it was published but
// for the list, in whose place is the element. All other data is one part as it is. size counts the bytes of a
// request's parts, which repeat what stands beside the list, and may not be more than a request may have.
func split(eventType string, data json.RawMessage, size *int) ([]part, *surface.Error) {
	t := profiles.TypeOf(eventType)
	if t.List == "" {
		return []part{{data: data}}, nil
	}
	before, list, after := member(data, t.List)
	if list == nil {
		return []part{{data: data}}, nil
	}
	if _, one, _ := member(data, t.One); one != nil {
		return nil, misfit(eventType, "/"+t.List, "must not be there beside "+t.One)
	}
	var elements []json.RawMessage
	if err := json.Unmarshal(list, &elements); err != nil || len(elements) == 0 || len(elements) > maxParts {
		return nil, misfit(eventType, "/"+t.List, fmt.Sprintf("must be an array of 1 to %d elements", maxParts))
	}
	parts := make([]part, len(elements))
	for i, element := range elements {
		parts[i] = part{
			data: bytes.Join([][]byte{before, strconv.AppendQuote(nil, t.One), []byte(":"), element, after}, nil),
			from: "/" + t.One, to: fmt.Sprintf("/%s/%d", t.List, i),
		}
		if *size += len(parts[i].data); *size > maxArrayBody {
			return nil, surface.TooLarge(maxArrayBody)
		}
	}
	return parts, nil
}

// member finds a member of an object that was checked: what stands before its name, its value (nil: there is none of
// that name), and what stands after it.
func member(object []byte, name string) (before, value, after []byte) {
	d := json.NewDecoder(bytes.NewReader(object))
	if _, err := d.Token(); err != nil {
		return object, nil, nil
	}
	for d.More() {
		end := d.InputOffset() // of what stands before the comma and the name
		key, err := d.Token()
		if err != nil {
			return object, nil, nil
		}
		var v json.RawMessage
		if err := d.Decode(&v); err != nil {
			return object, nil, nil
		}
		if key == name {
			start := end + int64(bytes.IndexByte(object[end:], '"'))
			return object[:start], v, object[d.InputOffset():]
		}
	}
	return object, nil, nil
}

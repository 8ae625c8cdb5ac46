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

// maxParts limits the events that one publication becomes.
const maxParts = 100

// part is the data of one event of a publication.
type part struct {
	data json.RawMessage
	// The value at the JSON pointer from in data stood at the pointer to in the published data.
	from, to string
}

// publishedPath translates a JSON pointer into the part to one into the published data.
func (p part) publishedPath(at string) string {
	if rest, found := strings.CutPrefix(at, p.from); p.from != "" && found && (rest == "" || rest[0] == '/') {
		return p.to + rest
	}
	return at
}

// splitList splits {…, list: [a, b]} into one part per element, replacing the list by that element and keeping all
// other bytes: some contracts send one event per element (see webhook.Type.List). Other data is returned as one
// part, unchanged. size counts the bytes of all parts of a request, because they repeat the rest of the object; it is
// limited like the body of an array.
func splitList(eventType string, data json.RawMessage, size *int) ([]part, error) {
	t := profiles.TypeOf(eventType)
	if t.List == "" {
		return []part{{data: data}}, nil
	}
	before, list, after := member(data, t.List)
	if list == nil {
		return []part{{data: data}}, nil
	}
	if _, one, _ := member(data, t.One); one != nil {
		return nil, schemaMismatch(eventType, "/"+t.List, "must not be there beside "+t.One)
	}
	var elements []json.RawMessage
	if err := json.Unmarshal(list, &elements); err != nil || len(elements) == 0 || len(elements) > maxParts {
		return nil, schemaMismatch(eventType, "/"+t.List, fmt.Sprintf("must be an array of 1 to %d elements", maxParts))
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

// member returns the value of a member of a valid object, with the bytes before its name and after its value. The
// value is nil if the object has no such member.
func member(object []byte, name string) (before, value, after []byte) {
	d := json.NewDecoder(bytes.NewReader(object))
	if _, err := d.Token(); err != nil {
		return object, nil, nil
	}
	for d.More() {
		end := d.InputOffset() // before the comma and the name
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

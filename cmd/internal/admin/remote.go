package admin

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"greenroom/api/client"
)

// remoteTimeout is longer than the test of a webhook takes, which waits for a delivery of at most 30 s.
const remoteTimeout = time.Minute

// Connect returns an Admin that works through the API at base with a key. It does no I/O. What the commands show is
// read from the same fields as on the database. The key is in no error.
func Connect(base, key string) (*Admin, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return nil, errors.New("--url must be the address of the API, such as https://greenroom.example.com")
	}
	if key == "" {
		return nil, fmt.Errorf("there is no key for the API at %s: set --key or GREENROOM_API_KEY", base)
	}
	api, err := client.New(base, key, client.WithHTTPClient(&http.Client{
		Timeout: remoteTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { // it may lead a key elsewhere
			return http.ErrUseLastResponse
		},
	}))
	if err != nil {
		return nil, err
	}
	return &Admin{api: api}, nil
}

// refusal is an answer of the API that is no success.
type refusal struct {
	status                 int
	code, message, request string
	// details are those of a fault in the request, in JSON; "": none.
	details string
	// wait is how long the key is refused, with a 429.
	wait time.Duration
}

func (r *refusal) Error() string {
	text := fmt.Sprintf("the API refused: %s (%d %s", r.message, r.status, r.code)
	if r.request != "" {
		text += ", request " + r.request
	}
	text += ")"
	if r.details != "" {
		text += ": " + r.details
	}
	return printable(text)
}

// mostAnswer bounds an answer of the API: a page of 100 deliveries with their errors is smaller.
const mostAnswer = 32 << 20

// answered reads the data of an answer of the API, as in answered[Delivery](a.api.GetDelivery(ctx, id)). An answer
// without data is one of another server.
func answered[T any](resp *http.Response, err error) (data T, _ error) {
	if err != nil {
		return data, unreachable(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, mostAnswer))
	if err != nil {
		return data, fmt.Errorf("read the API's answer: %w", err)
	}
	var envelope struct {
		Success bool
		Data    json.RawMessage
	}
	if err := json.Unmarshal(raw, &envelope); err != nil || !envelope.Success ||
		len(envelope.Data) == 0 || string(envelope.Data) == "null" {
		return data, refused(resp, raw)
	}
	if err := json.Unmarshal(envelope.Data, &data); err != nil {
		return data, fmt.Errorf("the API's answer does not have the form of this version, %s: %w", resp.Request.URL.Path, err)
	}
	return data, nil
}

// done reads an answer of the API to a change after which nothing is left to show.
func done(resp *http.Response, err error) error {
	if err == nil && resp.StatusCode == http.StatusNoContent {
		return resp.Body.Close()
	}
	_, err = answered[any](resp, err)
	return err
}

func unreachable(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return fmt.Errorf("no answer from the API at %s: %w", e.URL, e.Err)
	}
	return err
}

// refused reads an error in the API's envelope, or that of a rate limit, which has none.
func refused(resp *http.Response, raw []byte) error {
	r := &refusal{status: resp.StatusCode, request: resp.Header.Get("X-Request-Id")}
	var limited struct{ Message string }
	var body struct {
		Error struct {
			Code, Message string
			Details       json.RawMessage
		}
	}
	switch {
	case json.Unmarshal(raw, &body) == nil && body.Error.Code != "":
		r.code, r.message = body.Error.Code, body.Error.Message
		if r.status == http.StatusBadRequest && string(body.Error.Details) != "null" {
			r.details = string(body.Error.Details)
		}
	case r.status == http.StatusTooManyRequests && json.Unmarshal(raw, &limited) == nil && limited.Message != "":
		after := resp.Header.Get("Retry-After")
		r.code, r.message = "rate limit", limited.Message+"; try again in "+after+" s"
		if seconds, err := strconv.Atoi(after); err == nil {
			r.wait = time.Duration(seconds) * time.Second
		}
	default:
		at := *resp.Request.URL
		at.Path, at.RawQuery = "", ""
		return fmt.Errorf("%s responded %d, not as Greenroom's API does: is --url its address?", at.String(), r.status)
	}
	return r
}

// place is where a page of a list begins: by number or, if there is one, by cursor.
type place struct {
	number int
	cursor *string
	size   int
}

// largestPage is the API's.
const largestPage = 100

// longestWait is the longest that a list waits for a key's next requests: it waits for a limit of a minute.
const longestWait = time.Minute

// listed reads pages of a list until it has limit items that keep takes, if it is not nil. 0: all. When a key has no
// request left in this minute for a further page, it says so and waits.
func listed[T any](
	ctx context.Context, limit int64, from place, keep func(*T) bool, page func(place) (*http.Response, error),
) ([]T, error) {
	list := []T{}
	from.number, from.size = 1, largestPage
	if keep == nil && limit > 0 {
		from.size = int(min(limit, largestPage))
	}
	for {
		p, err := answered[struct {
			Data       []T
			TotalPages int
			NextCursor *string
		}](page(from))
		if r, is := errors.AsType[*refusal](err); is && from.number > 1 && r.wait > 0 && r.wait <= longestWait {
			fmt.Fprintf(os.Stderr, "greenroom: the key has no request left: the list continues in %s\n", r.wait)
			if err = sleep(ctx, r.wait); err == nil {
				continue
			}
		}
		if err != nil {
			return nil, err
		}
		for i := range p.Data {
			if keep == nil || keep(&p.Data[i]) {
				list = append(list, p.Data[i])
			}
			if limit > 0 && int64(len(list)) == limit {
				return list, nil
			}
		}
		if p.NextCursor == nil && from.number >= p.TotalPages {
			return list, nil
		}
		if p.NextCursor != nil && from.cursor != nil && *p.NextCursor == *from.cursor {
			return nil, errors.New("the API leads from a page of the list to the same page again")
		}
		from.cursor, from.number = p.NextCursor, from.number+1
	}
}

// after is the API's cursor of the row with this id; nil: the beginning.
func after(id uuid.UUID) *string {
	if id == uuid.Nil {
		return nil
	}
	text := base64.RawURLEncoding.EncodeToString(id[:])
	return &text
}

// given returns nil for a zero value, which a request leaves out.
func given[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

func idText(id *uuid.UUID) *string {
	if id == nil {
		return nil
	}
	text := id.String()
	return &text
}

// remoteCompany returns the company with this exact name.
func (a *Admin) remoteCompany(ctx context.Context, name string) (uuid.UUID, error) {
	found, err := listed(ctx, 0, place{}, func(c *Company) bool { return c.Name == name },
		func(at place) (*http.Response, error) {
			return a.api.ListCompanies(ctx, &client.ListCompaniesParams{Page: &at.number, Limit: &at.size})
		})
	if err != nil {
		return uuid.Nil, err
	}
	if len(found) != 1 {
		ids := make([]string, len(found))
		for i, c := range found {
			ids[i] = c.ID.String()
		}
		return uuid.Nil, notOne(name, ids)
	}
	return found[0].ID, nil
}

// jsonBody is the body of a request that the generated types cannot express, such as one with a null.
func jsonBody(fields map[string]any) io.Reader {
	raw, _ := json.Marshal(fields) // of texts, numbers and times
	return strings.NewReader(string(raw))
}

const jsonType = "application/json"

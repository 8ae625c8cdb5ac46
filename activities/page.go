package activities

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"
	"golang.org/x/text/encoding/htmlindex"

	"greenroom/activities/webhook"
	"greenroom/db"
)

const (
	// maxPage bounds the page of a job posting, in bytes. Postings have some 200 KiB of HTML.
	maxPage = 2 << 20
	// pageWithin bounds one try to get it.
	pageWithin = 10 * time.Second
	// maxRedirects is what a posting needs to come from a short link to its language.
	maxRedirects = 5
)

// pageFault is why a page cannot be used, which a retry would not change.
type pageFault struct{ code, message string }

// fetchPage gets the HTML of a page through the guarded client: each address, also of a redirect, must be one that a
// webhook may have. Errors are retryable.
func (a *Activities) fetchPage(
	ctx context.Context, company uuid.UUID, address string,
) (html string, fault *pageFault, err error) {
	leave, err := a.outside.enter(thePages, company)
	if err != nil {
		return "", nil, err
	}
	defer leave()
	ctx, cancel := context.WithTimeout(ctx, pageWithin)
	defer cancel()
	for range maxRedirects + 1 {
		resp, fault, err := a.getPage(ctx, address)
		if err != nil || fault != nil {
			return "", fault, err
		}
		next, redirected := redirectOf(resp)
		if !redirected {
			html, fault, err := readPage(resp)
			_ = resp.Body.Close()
			return html, fault, err
		}
		_ = resp.Body.Close()
		address = next
	}
	return "", &pageFault{db.RunRefused, fmt.Sprintf("the page redirects more than %d times", maxRedirects)}, nil
}

func (a *Activities) getPage(ctx context.Context, address string) (*http.Response, *pageFault, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, &pageFault{db.RunForbiddenURL, "the address of the page is not a URL"}, nil //nolint:nilerr // final
	}
	req.Header.Set("Accept", "text/html, application/xhtml+xml")
	req.Header.Set("User-Agent", webhook.UserAgent)
	resp, err := a.Client.HTTPClient().Do(req)
	if forbidden, is := errors.AsType[*webhook.URLError](err); is {
		return nil, &pageFault{db.RunForbiddenURL, "the page's " + forbidden.Error()}, nil
	}
	if err != nil && webhook.IsBlocked(err) {
		return nil, &pageFault{db.RunForbiddenURL, "the page's host resolves to a private, local or reserved address"}, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("get the page: %w", anonymous(err))
	}
	return resp, nil, nil
}

// redirectOf returns where an answer redirects to.
func redirectOf(resp *http.Response) (to string, redirected bool) {
	if resp.StatusCode < 300 || resp.StatusCode > 399 {
		return "", false
	}
	u, err := resp.Location()
	if err != nil {
		return "", false
	}
	u.Fragment = ""
	return (&url.URL{
		Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath, RawQuery: u.RawQuery,
	}).String(), true
}

// readPage reads an answer as HTML in UTF-8.
func readPage(resp *http.Response) (html string, fault *pageFault, err error) {
	switch {
	case isRetryable(resp.StatusCode):
		return "", nil, fmt.Errorf("the page answered %d", resp.StatusCode)
	case resp.StatusCode != http.StatusOK:
		return "", &pageFault{db.RunRefused, fmt.Sprintf("the page answered %d", resp.StatusCode)}, nil
	}
	media, params, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil || media != "text/html" && media != "application/xhtml+xml" && media != "text/plain" {
		return "", &pageFault{db.RunRefused, "the page is not HTML"}, nil //nolint:nilerr // final
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxPage+1))
	if err != nil {
		return "", nil, fmt.Errorf("read the page: %w", anonymous(err))
	}
	if len(raw) > maxPage {
		return "", &pageFault{db.RunRefused, fmt.Sprintf("the page is longer than %d bytes", maxPage)}, nil
	}
	if charset := params["charset"]; charset != "" && !strings.EqualFold(charset, "utf-8") {
		encoding, err := htmlindex.Get(charset)
		if err != nil {
			return "", &pageFault{db.RunRefused, "the page's charset is not known"}, nil //nolint:nilerr // final
		}
		if raw, err = encoding.NewDecoder().Bytes(raw); err != nil {
			return "", &pageFault{db.RunRefused, "the page is not in its charset"}, nil //nolint:nilerr // final
		}
	}
	return strings.ToValidUTF8(string(raw), "\uFFFD"), nil, nil
}

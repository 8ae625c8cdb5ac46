package webhook

import (
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// clockTolerance is the difference of a receiver's clock above which a failure mentions it. Date has whole seconds and
// may come from a cache; receivers that check webhook-timestamp allow five minutes (Standard Webhooks).
const clockTolerance = time.Minute

// answerFailure describes an answer that is not a success: the status and, after ": ", what helps to repair it.
func answerFailure(r *Request, resp *http.Response, now time.Time) (ErrorKind, string) {
	status := resp.StatusCode
	switch status {
	case http.StatusMovedPermanently,
		http.StatusFound,
		http.StatusSeeOther,
		http.StatusTemporaryRedirect,
		http.StatusPermanentRedirect:
		target := redirectTarget(r.URL, resp.Header.Get("Location"))
		return KindRedirect, statusText(status) + " (redirects are not followed): " + target
	}
	if r.Profile.Success(status) {
		return KindNone, ""
	}
	return KindNone, statusText(status) + clockText(resp.Header, now)
}

// redirectTarget says where a redirect points, without credentials, query and fragment, which may be secret.
func redirectTarget(from, location string) string {
	base, err := url.Parse(from)
	if err != nil || location == "" {
		return "it names no address"
	}
	to, err := base.Parse(location)
	if err != nil {
		return "it names no valid address"
	}
	to.User, to.RawQuery, to.ForceQuery, to.Fragment, to.RawFragment = nil, "", false, "", ""
	return "it points to " + clip(to.String())
}

// clockText says how far the receiver's clock is off; "" if it is within clockTolerance or not known.
func clockText(h http.Header, now time.Time) string {
	date, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return ""
	}
	off, word := date.Sub(now), "ahead"
	if off < 0 {
		off, word = -off, "behind"
	}
	if off < clockTolerance {
		return ""
	}
	return ": the receiver's clock is " + off.Round(time.Second).String() + " " + word
}

// retryAfter reads a Retry-After header: whole seconds or an HTTP date (RFC 9110 §10.2.3). A date counts from the
// answer's own Date, so that the receiver's clock does not matter. 0 means absent, invalid or past. A number of seconds
// that overflows becomes the longest wait.
func retryAfter(h http.Header, now time.Time) time.Duration {
	value := strings.TrimSpace(h.Get("Retry-After"))
	if value == "" {
		return 0
	}
	if strings.Trim(value, "0123456789") == "" {
		seconds, err := strconv.ParseUint(value, 10, 63)
		if err != nil {
			seconds = math.MaxInt64
		}
		return time.Duration(min(seconds, math.MaxInt64/uint64(time.Second))) * time.Second
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date
	}
	return max(at.Sub(now), 0)
}

func statusText(status int) string {
	text := "HTTP " + strconv.Itoa(status)
	if reason := http.StatusText(status); reason != "" {
		text += " " + reason
	}
	return text
}

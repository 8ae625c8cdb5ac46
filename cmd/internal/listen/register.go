package listen

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"greenroom/cmd/internal/client"
)

// Registration is the webhook that a receiver registers for itself.
type Registration struct {
	client.Settings
	// Events are names of event types, or patterns of them such as interview.*, which are replaced by the types that the
	// API has now.
	Events []string
	// Profile is the contract of the deliveries.
	Profile string
	// Company is the id of the company whose events it receives; "": that of the key.
	Company string
	// URL is the receiver's, as the API reaches it.
	URL string
}

// Registered is a registered webhook.
type Registered struct {
	ID, Secret string
	// Events are the profile's names of the types that it receives.
	Events []string
	// IsTakenOver: it is the webhook of an earlier receiver that ended without deleting it, with what waited for it.
	IsTakenOver bool
	// Timeout is how long the sender waits for a response.
	Timeout time.Duration

	api *client.Client
}

// row is a webhook as the API shows it.
type row struct {
	ID            string `json:"id"`
	Name          string `json:"name"`
	URL           string `json:"url"`
	Profile       string `json:"profile"`
	TimeoutMS     int    `json:"timeoutMs"`
	SigningSecret string `json:"signingSecret"`
}

// Register creates a webhook, or takes over one of an earlier receiver on this machine that has ended. It deletes
// further ones of such receivers. A receiver that still runs keeps its webhook.
func Register(ctx context.Context, r Registration) (*Registered, error) {
	s := &registrar{r, client.New(r.Settings)}
	events, err := s.events(ctx)
	if err != nil {
		return nil, err
	}
	left, err := s.left(ctx)
	if err != nil {
		return nil, err
	}
	hook, taken := &row{}, false
	if i := slices.IndexFunc(left, func(old row) bool { return old.Profile == r.Profile }); i >= 0 {
		hook, err = s.takeOver(ctx, left[i], events)
		left, taken = slices.Delete(left, i, i+1), true
	} else {
		err = s.create(ctx, events, hook)
	}
	if err != nil {
		return nil, err
	}
	out := &Registered{
		ID: hook.ID, Secret: hook.SigningSecret, Events: events, IsTakenOver: taken,
		Timeout: time.Duration(hook.TimeoutMS) * time.Millisecond, api: s.api,
	}
	for _, old := range left {
		if err := s.api.Do(ctx, http.MethodDelete, "/webhooks/"+old.ID, nil, nil); err != nil {
			return nil, errors.Join(fmt.Errorf("delete webhook %s: %w", old.ID, err), out.Delete(ctx))
		}
	}
	return out, nil
}

// deleteWait is how long Delete waits for the API.
const deleteWait = 10 * time.Second

// Delete deletes the webhook, even if ctx has ended.
func (r *Registered) Delete(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), deleteWait)
	defer cancel()
	if err := r.api.Do(ctx, http.MethodDelete, "/webhooks/"+r.ID, nil, nil); err != nil {
		return fmt.Errorf("delete webhook %s: %w", r.ID, err)
	}
	return nil
}

type registrar struct {
	Registration
	api *client.Client
}

// mark names the webhooks of the receivers on this machine.
func mark() string {
	host, err := os.Hostname()
	if err != nil {
		host = "an unnamed host"
	}
	return "greenroom listen on " + host
}

func (s *registrar) query() string {
	if s.Company == "" {
		return ""
	}
	return "?companyId=" + url.QueryEscape(s.Company)
}

// events returns the profile's names of the types that the wanted names and patterns stand for.
func (s *registrar) events(ctx context.Context) ([]string, error) {
	var list struct {
		Data []struct {
			Type     string                            `json:"type"`
			Profiles map[string]struct{ Label string } `json:"profiles"`
		} `json:"data"`
	}
	if err := s.api.Do(ctx, http.MethodGet, "/event-types"+s.query(), nil, &list); err != nil {
		return nil, fmt.Errorf("list event types: %w", err)
	}
	var events []string
	for _, wanted := range s.Events {
		found, known := false, []string(nil)
		for _, t := range list.Data {
			label, has := t.Profiles[s.Profile]
			if !has {
				continue
			}
			known = append(known, t.Type)
			if !matches(wanted, t.Type) && !matches(wanted, label.Label) {
				continue
			}
			found = true
			if !slices.Contains(events, label.Label) {
				events = append(events, label.Label)
			}
		}
		if len(known) == 0 {
			return nil, fmt.Errorf("the API has no profile %q", s.Profile)
		}
		if !found {
			return nil, fmt.Errorf("no event type that the profile %s sends matches %q; it sends %s",
				s.Profile, wanted, strings.Join(known, ", "))
		}
	}
	return events, nil
}

// matches reports whether a pattern, in which * stands for any text, matches a name.
func matches(pattern, name string) bool {
	matched, err := path.Match(pattern, name)
	return matched && err == nil
}

// left returns the webhooks of receivers on this machine that have ended: whose address is this receiver's now, or is
// not listened on.
func (s *registrar) left(ctx context.Context) (left []row, err error) {
	var list struct {
		Data []row `json:"data"`
	}
	if err := s.api.Do(ctx, http.MethodGet, "/webhooks"+s.query(), nil, &list); err != nil {
		return nil, fmt.Errorf("list webhooks: %w", err)
	}
	for _, hook := range list.Data {
		if hook.Name == mark() && (hook.URL == s.URL || !isListening(ctx, hook.URL)) {
			left = append(left, hook)
		}
	}
	return left, nil
}

// isListening reports whether something listens at the URL's address.
func isListening(ctx context.Context, raw string) bool {
	u, err := url.Parse(raw)
	if err != nil {
		return false
	}
	port := u.Port()
	if port == "" {
		port = u.Scheme
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

type object = map[string]any

func (s *registrar) create(ctx context.Context, events []string, hook *row) error {
	body := object{
		"url": s.URL, "name": mark(), "description": "made by greenroom listen --register, which deletes it when it ends",
		"profile": s.Profile, "events": events,
	}
	if s.Company != "" {
		body["companyId"] = s.Company
	}
	if err := s.api.Do(ctx, http.MethodPost, "/webhooks", body, hook); err != nil {
		return fmt.Errorf("create webhook: %w", err)
	}
	return nil
}

// takeOver makes the webhook of an earlier receiver this one's. The new secret comes first and alone, so that whatever
// is sent to the new address verifies.
func (s *registrar) takeOver(ctx context.Context, old row, events []string) (*row, error) {
	at, hook := "/webhooks/"+old.ID, &row{}
	var rotated struct {
		SigningSecret string `json:"signingSecret"`
	}
	if err := s.api.Do(ctx, http.MethodPost, at+"/rotate-secret", object{"overlapSeconds": 0}, &rotated); err != nil {
		return nil, fmt.Errorf("take over webhook %s: %w", old.ID, err)
	}
	if err := s.api.Do(ctx, http.MethodPatch, at, object{"url": s.URL, "events": events}, hook); err != nil {
		return nil, fmt.Errorf("take over webhook %s: %w", old.ID, err)
	}
	if hook.SigningSecret == "" { // a new address may give it another secret
		hook.SigningSecret = rotated.SigningSecret
	}
	if err := s.api.Do(ctx, http.MethodPost, at+"/reset-circuit", nil, nil); err != nil {
		return nil, fmt.Errorf("take over webhook %s: %w", old.ID, err)
	}
	return hook, nil
}

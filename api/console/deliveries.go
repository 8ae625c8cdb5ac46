package console

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"greenroom/api/surface"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// rowsEach is the number of rows of a page.
const rowsEach = "25"

type deliveriesBody struct {
	Rows     []wireDelivery
	Webhooks []wireWebhook
	Filter   url.Values
	Statuses []string
	Next     string // the address of the next page; ""
	Short    bool   // there is a next page although this one is not full
	First    string // of the first page, on a later one
	// Filtered: a filter is set. Chosen is its webhook.
	Filtered bool
	Chosen   *wireWebhook
	Operator bool
}

// filters are the parameters of the API's list that the page passes on.
var filters = []string{"webhookId", "eventType", "status", "companyId", "since", "until", "cursor"}

// deliveries is the API's list with its filters in the address bar, and a period such as ?period=1h.
func (c *console) deliveries(v *visit) error {
	sent, asked := v.c.Request.URL.Query(), url.Values{"limit": {rowsEach}}
	for _, name := range filters {
		if value := sent.Get(name); value != "" {
			asked.Set(name, value)
		}
	}
	for _, name := range []string{"since", "until"} {
		if value := asked.Get(name); value != "" {
			asked.Set(name, moment(value))
		}
	}
	if from := since(sent.Get("period"), time.Now()); !from.IsZero() && !asked.Has("since") {
		asked.Set("since", from.UTC().Format(time.RFC3339))
	}
	if id := sent.Get("id"); id != "" {
		return v.find(id)
	}
	var found wirePage[wireDelivery]
	if err := v.get("/deliveries?"+asked.Encode(), &found); err != nil {
		return err
	}
	body := deliveriesBody{
		Rows: v.named(found.Data), Filter: sent, Statuses: statuses(), Operator: v.who.Platform(),
	}
	body.Webhooks = v.someWebhooks()
	for i := range body.Webhooks {
		if body.Webhooks[i].ID == sent.Get("webhookId") {
			body.Chosen = &body.Webhooks[i]
		}
	}
	for _, name := range append([]string{"period"}, filters...) {
		body.Filtered = body.Filtered || name != "cursor" && sent.Get(name) != ""
	}
	if found.NextCursor != nil {
		body.Next = v.base + "/deliveries?" + with(sent, "cursor", *found.NextCursor)
		body.Short = strconv.Itoa(len(found.Data)) != rowsEach
	}
	if sent.Get("cursor") != "" {
		body.First = v.base + "/deliveries?" + with(sent, "cursor", "")
	}
	return v.show("deliveries", "Deliveries", sent.Get("cursor") == "", body)
}

func statuses() []string {
	names := make([]string, 0, len(delivery.Statuses()))
	for _, s := range delivery.Statuses() {
		names = append(names, string(s))
	}
	return names
}

// with returns the query with one parameter changed, or without it.
func with(query url.Values, name, value string) string {
	changed := url.Values{}
	for n, values := range query {
		if n != "done" && len(values) > 0 && values[0] != "" {
			changed.Set(n, values[0])
		}
	}
	changed.Del(name)
	if value != "" {
		changed.Set(name, value)
	}
	return changed.Encode()
}

// find leads to what has the id: a delivery or an event.
func (v *visit) find(id string) error {
	if parsed, valid := pg.ParseID(id); valid {
		id = parsed.String()
		if err := v.get("/deliveries/"+id, &wireDelivery{}); err == nil {
			return v.then("/deliveries/"+id, "")
		}
		if err := v.get("/events/"+id, &wireEvent{}); err == nil {
			return v.then("/events/"+id, "")
		}
	}
	return &surface.Error{
		Status: http.StatusNotFound, Code: surface.CodeNotFound,
		Message: "No delivery and no event has the id " + surface.Clip(id),
	}
}

// someWebhooks are those offered as a filter.
func (v *visit) someWebhooks() []wireWebhook {
	var hooks wirePage[wireWebhook]
	if v.get("/webhooks?page=1&limit=100", &hooks) != nil { // without its scope, deliveries are filtered by id
		return nil
	}
	return hooks.Data
}

// named adds the names of the webhooks to deliveries; a deleted webhook has none.
func (v *visit) named(ds []wireDelivery) []wireDelivery {
	known := map[string]wireWebhook{}
	for i := range ds {
		w, seen := known[ds[i].WebhookID]
		if !seen {
			_ = v.get("/webhooks/"+ds[i].WebhookID, &w)
			known[ds[i].WebhookID] = w
		}
		if w.ID != "" {
			ds[i].WebhookName, ds[i].WebhookURL = w.Label(), w.URL
		}
	}
	return ds
}

type deliveryBody struct {
	D        wireDelivery
	Webhook  *wireWebhook
	Request  *wireRequest
	Unknown  string // why there is no Request
	Checked  url.Values
	Attempts []attemptRow
	Marks    []mark
	Siblings []wireDelivery
	Actions  []action
	Workflow string
}

// attemptRow is an attempt with the wait that follows it.
type attemptRow struct {
	wireAttempt
	Workflow string
	Wait     string
}

// mark is an attempt in the drawing of the time line, of 1000 units.
type mark struct {
	X     int
	Tone  string
	Label string
}

func (c *console) delivery(v *visit) error {
	id := v.c.Param("id")
	body := deliveryBody{Checked: v.c.Request.URL.Query()}
	if err := v.get("/deliveries/"+url.PathEscape(id), &body.D); err != nil {
		return err
	}
	d := &body.D
	var w wireWebhook
	switch err := v.get("/webhooks/"+d.WebhookID, &w); {
	case err == nil:
		body.Webhook = &w
		d.WebhookName, d.WebhookURL = w.Label(), w.URL
		var err error
		if body.Request, body.Unknown, err = v.request(d); err != nil {
			return err
		}
	case !is(err, http.StatusNotFound) && !is(err, http.StatusForbidden):
		return err
	}
	d.Explanation.Next = onPage(d)
	body.Attempts, body.Marks = v.timeline(d)
	siblings, err := v.siblings(d)
	if err != nil {
		return err
	}
	body.Siblings = siblings
	body.Workflow = v.workflow(text(d.WorkflowID))
	route := "/deliveries/" + d.ID
	may := v.holds("write:deliveries|write:webhooks")
	switch {
	case body.Webhook == nil:
	case d.Status == "retrying":
		body.Actions = append(body.Actions,
			v.act("Send now", route+"/retry", "POST", route+"/retry", "", "greenroom deliveries retry "+d.ID).unless(may))
	case delivery.Status(d.Status).Ended():
		body.Actions = append(body.Actions,
			v.act("Send again", route+"/retry", "POST", route+"/retry", "", "greenroom deliveries retry "+d.ID).unless(may))
	}
	if !delivery.Status(d.Status).Ended() {
		body.Actions = append(body.Actions,
			v.act("Cancel", route+"/cancel", "POST", route+"/cancel", "", "greenroom deliveries cancel "+d.ID).
				warn("No further attempt is made.").unless(may))
	}
	return v.show("delivery", d.EventType+" to "+cmp.Or(d.WebhookName, short(d.WebhookID)), true, body)
}

// onPage is what happens next, without the calls of the API that the page has buttons for.
func onPage(d *wireDelivery) string {
	return strings.NewReplacer(
		"replay it with POST /deliveries/"+d.ID+"/retry", "it can be sent again",
		": POST /webhooks/"+d.WebhookID+"/reset-circuit", " of its circuit",
		": PATCH /webhooks/"+d.WebhookID+` {"isActive": true}`, "",
	).Replace(d.Explanation.Next)
}

// request reads the request of the last attempt, or of ?timestamp=, and checks ?signature=. It is nil before the first
// attempt and when the webhook was deleted. unknown says why it cannot be derived.
func (v *visit) request(d *wireDelivery) (r *wireRequest, unknown string, err error) {
	asked := url.Values{}
	for _, name := range []string{"timestamp", "signature"} {
		if value := strings.TrimSpace(v.c.Query(name)); value != "" {
			asked.Set(name, value)
		}
	}
	err = v.get("/deliveries/"+d.ID+"/request?"+asked.Encode(), &r)
	var refused *surface.Error
	switch {
	case !errors.As(err, &refused):
		return r, "", err
	case refused.Status == http.StatusConflict:
		return nil, "", nil
	case refused.Status == http.StatusBadRequest:
		return nil, refused.Message, nil
	case refused.Status == http.StatusInternalServerError: // the secrets were sealed with a lost key
		return nil, "The signing secret cannot be opened, so the headers cannot be derived", nil
	}
	return nil, "", err
}

// timeline returns the attempts, and where they stand on a line from the creation to the last attempt.
func (v *visit) timeline(d *wireDelivery) (rows []attemptRow, marks []mark) {
	end := d.CreatedAt
	if n := len(d.Attempts); n > 0 {
		end = d.Attempts[n-1].StartedAt
	}
	if d.NextAttemptAt != nil && d.NextAttemptAt.After(end) {
		end = *d.NextAttemptAt
	}
	whole := max(end.Sub(d.CreatedAt), time.Millisecond)
	place := func(t time.Time) int { return 20 + int(960*int64(max(t.Sub(d.CreatedAt), 0))/int64(whole)) }
	for i, a := range d.Attempts {
		row := attemptRow{wireAttempt: a, Workflow: v.workflow(a.WorkflowID)}
		if i+1 < len(d.Attempts) {
			row.Wait = span(d.Attempts[i+1].StartedAt.Sub(a.StartedAt))
		}
		rows = append(rows, row)
		marks = append(marks, mark{place(a.StartedAt), stateOf(a.Outcome).Tone, "attempt " + strconv.Itoa(a.Attempt)})
	}
	if d.NextAttemptAt != nil && !delivery.Status(d.Status).Ended() {
		marks = append(marks, mark{place(*d.NextAttemptAt), "busy", "next attempt"})
	}
	return rows, marks
}

// siblings are the deliveries of the same event to other webhooks.
func (v *visit) siblings(d *wireDelivery) ([]wireDelivery, error) {
	all, _, err := v.fanOut(d.EventID)
	var refused *surface.Error
	if errors.As(err, &refused) && refused.Status == http.StatusNotFound { // retention may have dropped the event
		return nil, nil
	}
	return slices.DeleteFunc(all, func(s wireDelivery) bool { return s.ID == d.ID }), err
}

func (c *console) retry(v *visit) error {
	id := url.PathEscape(v.c.Param("id"))
	if err := v.post("/deliveries/"+id+"/retry", nil, nil); err != nil {
		return err
	}
	return v.then("/deliveries/"+id, "retry")
}

func (c *console) cancel(v *visit) error {
	id := url.PathEscape(v.c.Param("id"))
	if err := v.post("/deliveries/"+id+"/cancel", nil, nil); err != nil {
		return err
	}
	return v.then("/deliveries/"+id, "cancel")
}

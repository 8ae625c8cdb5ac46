package console

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"greenroom/api/surface"
	"greenroom/db/catalog"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

type webhooksBody struct {
	Rows        []wireWebhook
	Total       int64
	Page, Pages int64
	Before      string
	After       string
	Operator    bool
}

func (c *console) webhooks(v *visit) error {
	number, err := strconv.Atoi(v.c.DefaultQuery("page", "1"))
	if err != nil {
		return surface.Invalid("page", "page must be a whole number")
	}
	asked := url.Values{"page": {strconv.Itoa(number)}, "limit": {rowsEach}}
	if company := v.c.Query("companyId"); company != "" {
		asked.Set("companyId", company)
	}
	var found wirePage[wireWebhook]
	if err := v.get("/webhooks?"+asked.Encode(), &found); err != nil {
		return err
	}
	body := webhooksBody{
		Rows: found.Data, Total: found.Total, Page: found.Page, Pages: found.TotalPages, Operator: v.who.Platform(),
	}
	body.Before, body.After = v.pages(found.Page, found.TotalPages)
	return v.show("webhooks", "Webhooks", true, body)
}

// pages returns the addresses of the pages before and after one; "" where there is none.
func (v *visit) pages(at, all int64) (before, after string) {
	address := func(n int64) string {
		return v.c.Request.URL.Path + "?" + with(v.c.Request.URL.Query(), "page", strconv.FormatInt(n, 10))
	}
	if at > 1 {
		before = address(at - 1)
	}
	if at < all {
		after = address(at + 1)
	}
	return before, after
}

// healthSample is the number of a webhook's newest deliveries that its health is computed from.
const healthSample = 200

type webhookBody struct {
	W       wireWebhook
	Health  figures
	Secrets []wireSecret
	// Sealed: the secrets cannot be opened.
	Sealed bool
	Recent []wireDelivery
	Test   action
	// Types are those that a test can send; Tested is that of the last one.
	Types    []string
	Tested   string
	Rotate   action
	Activate action
	Replays  []wireReplay
	Result   *testResult
	// Secret is that of a rotation, which is shown once.
	Secret *rotated
}

type testResult struct {
	Success    bool
	DeliveryID *string
	HTTPStatus *int
	DurationMs *int
	Message    string
}

type rotated struct{ SigningSecret, SigningSecretWhsec string }

func (c *console) webhook(v *visit) error { return v.showWebhook(nil, nil) }

func (v *visit) showWebhook(result *testResult, secret *rotated) error {
	body := webhookBody{Result: result, Secret: secret}
	route := "/webhooks/" + url.PathEscape(v.c.Param("id"))
	if err := v.get(route, &body.W); err != nil {
		return err
	}
	w := &body.W
	route = "/webhooks/" + w.ID
	// A secret that cannot be opened, after a restore with another keyset, is no reason to hide the rest.
	body.Sealed = is(v.get(route+"/secrets", &body.Secrets), http.StatusInternalServerError)
	id, _ := pg.ParseID(w.ID)
	health, err := v.health(id)
	if err != nil {
		return err
	}
	body.Health = health
	if v.holds("read:deliveries|read:webhooks") {
		var recent wirePage[wireDelivery]
		if err := v.get("/deliveries?limit=10&webhookId="+w.ID, &recent); err != nil {
			return err
		}
		body.Recent = w.nameIn(recent.Data)
		var past wirePage[wireReplay]
		if err := v.get(route+"/replays?page=1&limit=5", &past); err != nil {
			return err
		}
		body.Replays = past.Data
	}
	may := v.holds("write:webhooks")
	body.Types, body.Tested = append(
		[]string{catalog.Ping},
		slices.DeleteFunc(slices.Clone(w.Events), isPing)...), catalog.Ping
	if sent := v.c.PostForm("type"); slices.Contains(body.Types, sent) {
		body.Tested = sent
	}
	body.Test = v.testAction(w.ID, body.Tested).unless(may)
	body.Rotate = v.act("Replace the secret", route+"/rotate-secret", "POST", route+"/rotate-secret", "",
		"greenroom webhooks rotate-secret "+w.ID).unless(may).
		warn("Both secrets sign for 24 hours. The new one is shown once.")
	if w.IsActive {
		body.Activate = v.act("Deactivate", route+"/active", "PATCH", route, `{"isActive": false}`, "").unless(may).
			warn("New events are not delivered to it, and deliveries that wait stay paused.")
		body.Activate.Fields = []field{{"active", "false"}}
	} else {
		body.Activate = v.act("Activate", route+"/active", "PATCH", route, `{"isActive": true}`, "").unless(may)
		body.Activate.Fields = []field{{"active", "true"}}
	}
	return v.show("webhook", w.Label(), result == nil && secret == nil, body)
}

// health are the figures of the newest deliveries of a webhook that the visitor sees. All are of events of its company,
// so the list is not narrowed to that.
func (v *visit) health(webhook uuid.UUID) (figures, error) {
	page, err := delivery.PageDeliveries(v.c.Request.Context(), v.DB, pg.Scope{},
		delivery.Filter{Webhook: &webhook, Limit: healthSample, WithoutTests: true})
	if err != nil {
		return figures{}, err
	}
	return figuresOf(page.Deliveries, time.Now()), nil
}

func isPing(eventType string) bool { return eventType == catalog.Ping }

// testAction sends a ping, or the sample of an event type, to one webhook.
func (v *visit) testAction(webhook, eventType string) action {
	route, body, cli := "/webhooks/"+webhook+"/test", "", "greenroom webhooks test "+webhook
	if !isPing(eventType) {
		body = string(surface.Encoded(testOf{eventType}))
		cli = "greenroom trigger " + eventType + " --webhook " + webhook
	}
	return v.act("Send a test", route, http.MethodPost, route, body, cli)
}

// testOf is the API's body of a test with an event type.
type testOf struct {
	Type string `json:"type"`
}

func (c *console) test(v *visit) error {
	var result testResult
	var body any
	if sent := v.c.PostForm("type"); sent != "" {
		body = testOf{sent}
	}
	if err := v.post("/webhooks/"+url.PathEscape(v.c.Param("id"))+"/test", body, &result); err != nil {
		return err
	}
	return v.showWebhook(&result, nil)
}

func (c *console) rotate(v *visit) error {
	var secret rotated
	if err := v.post("/webhooks/"+url.PathEscape(v.c.Param("id"))+"/rotate-secret", nil, &secret); err != nil {
		return err
	}
	return v.showWebhook(nil, &secret)
}

func (c *console) activate(v *visit) error {
	id, active := url.PathEscape(v.c.Param("id")), v.c.PostForm("active") == "true"
	err := v.call(http.MethodPatch, "/webhooks/"+id, map[string]any{"isActive": active}, nil)
	if err != nil {
		return err
	}
	what := "deactivate"
	if active {
		what = "activate"
	}
	return v.then("/webhooks/"+id, what)
}

type circuitBody struct {
	W        wireWebhook
	Waiting  int
	More     bool // than Waiting
	Attempts []wireDelivery
	Reset    action
	Test     action
	Workflow string
	// Phase is "open", "releasing" or "closed"; Probes: an open circuit closes by itself after a probe.
	Phase  string
	Probes bool
	// Cause is the error of a delivery that failed before the circuit opened. Failed: Attempts are such deliveries.
	Cause  string
	Failed bool
}

// circuit shows why the circuit is open, what waits behind it and, after a reset, how the waiting deliveries follow.
func (c *console) circuit(v *visit) error {
	body := circuitBody{}
	route := "/webhooks/" + url.PathEscape(v.c.Param("id"))
	if err := v.get(route, &body.W); err != nil {
		return err
	}
	if err := v.need("read:deliveries|read:webhooks"); err != nil {
		return err
	}
	w := &body.W
	id, _ := pg.ParseID(w.ID)
	state, err := delivery.LoadCircuit(v.c.Request.Context(), c.DB, id)
	if err != nil {
		return err
	}
	body.Waiting, body.More = min(state.Waiting, delivery.WaitingLimit), state.Waiting > delivery.WaitingLimit
	if err := v.failing(&body); err != nil {
		return err
	}
	switch {
	case w.CircuitOpenedAt != nil:
		body.Phase = "open"
	case w.IsActive && body.Waiting > 0:
		body.Phase = "releasing"
	default:
		body.Phase = "closed"
	}
	body.Probes = c.o.Probes
	if w.CircuitRecovery != nil {
		body.Probes = *w.CircuitRecovery == "probe"
	}
	if body.Phase != "closed" {
		body.Workflow = v.workflow("circuit:" + w.ID)
	}
	may := v.holds("write:webhooks")
	route = "/webhooks/" + w.ID
	body.Reset = v.act("Reset the circuit", route+"/reset-circuit", "POST", route+"/reset-circuit", "",
		"greenroom webhooks reset-circuit "+w.ID).unless(may)
	body.Test = v.testAction(w.ID, catalog.Ping).unless(may)
	return v.show("circuit", "Circuit of "+w.Label(), true, body)
}

// failing reads the deliveries that the circuit page shows: those that failed before the circuit opened, because the
// newest only wait behind it, or else the newest.
func (v *visit) failing(body *circuitBody) error {
	newest := "/deliveries?webhookId=" + body.W.ID
	if at := body.W.CircuitOpenedAt; at != nil {
		var before wirePage[wireDelivery]
		until := at.Add(time.Second).UTC().Format(time.RFC3339)
		if err := v.get(newest+"&limit="+rowsEach+"&until="+until, &before); err != nil {
			return err
		}
		body.Attempts = slices.DeleteFunc(before.Data, func(d wireDelivery) bool { return d.LastError == nil })
		body.Attempts = body.W.nameIn(body.Attempts[:min(len(body.Attempts), 10)])
		body.Failed = true
	}
	if len(body.Attempts) > 0 {
		body.Cause = *body.Attempts[0].LastError
		return nil
	}
	var last wirePage[wireDelivery]
	err := v.get(newest+"&limit=10", &last)
	body.Attempts, body.Failed = body.W.nameIn(last.Data), false
	return err
}

func (c *console) reset(v *visit) error {
	id := url.PathEscape(v.c.Param("id"))
	if err := v.post("/webhooks/"+id+"/reset-circuit", nil, nil); err != nil {
		return err
	}
	return v.then("/webhooks/"+id+"/circuit", "reset")
}

// Caption names the deliveries in the table.
func (b circuitBody) Caption() string {
	if b.Failed {
		return "What failed before it opened"
	}
	return "Newest deliveries"
}

type replaysBody struct {
	W      wireWebhook
	Past   []wireReplay
	Form   replayForm
	Count  *wireCount
	Time   string
	Start  action
	Events []string
	// Invalid says what is wrong with the form.
	Invalid string
	May     bool
}

// replayForm is what to send again, as the form shows it.
type replayForm struct {
	Since, Until string
	Status       []string
	Events       []string
}

// Has reports whether the form has that status or event.
func (f replayForm) Has(name string) bool {
	for _, has := range append(f.Status, f.Events...) {
		if has == name {
			return true
		}
	}
	return false
}

// body is the API's body of a replay.
func (f replayForm) body(dryRun bool) map[string]any {
	b := map[string]any{"since": f.Since, "status": f.Status}
	if f.Until != "" {
		b["until"] = f.Until
	}
	if len(f.Events) > 0 {
		b["events"] = f.Events
	}
	if dryRun {
		b["dryRun"] = true
	}
	return b
}

func formOf(sent url.Values) replayForm {
	f := replayForm{
		Since: moment(sent.Get("since")), Until: moment(sent.Get("until")), Status: sent["status"], Events: sent["event"],
	}
	if len(f.Status) == 0 {
		f.Status = []string{string(delivery.Failed)}
	}
	return f
}

// replays shows the form, and with ?since= what it would send again and how long that takes, before it starts.
func (c *console) replays(v *visit) error {
	body := replaysBody{May: v.holds("write:deliveries|write:webhooks")}
	route := "/webhooks/" + url.PathEscape(v.c.Param("id"))
	if err := v.get(route, &body.W); err != nil {
		return err
	}
	route = "/webhooks/" + body.W.ID
	var past wirePage[wireReplay]
	if err := v.get(route+"/replays?page=1&limit=20", &past); err != nil {
		return err
	}
	body.Past, body.Events = past.Data, body.W.Events
	sent := v.c.Request.URL.Query()
	body.Form = formOf(sent)
	if !sent.Has("since") {
		body.Form.Since = time.Now().UTC().Add(-24 * time.Hour).Format(time.RFC3339)
		return v.show("replays", "Replay "+body.W.Label(), true, body)
	}
	var count wireCount
	err := v.post(route+"/replays", body.Form.body(true), &count)
	if is(err, http.StatusBadRequest) {
		body.Invalid = err.(*surface.Error).Message //nolint:errorlint,forcetypeassert // is has found that type
		return v.show("replays", "Replay "+body.W.Label(), false, body)
	}
	if err != nil {
		return err
	}
	if body.Form.Until == "" { // what was counted is what is sent
		body.Form.Until = time.Now().UTC().Format(time.RFC3339)
	}
	body.Count = &count
	if count.Seconds != nil {
		body.Time = span(time.Duration(*count.Seconds) * time.Second)
	}
	body.Start = v.startAction(route, body.Form, count)
	return v.show("replays", "Replay "+body.W.Label(), false, body)
}

func (v *visit) startAction(route string, f replayForm, count wireCount) action {
	cli := "greenroom deliveries replay --webhook " + v.c.Param("id") + " --since " + f.Since + " --until " + f.Until
	for _, s := range f.Status {
		cli += " --status " + s
	}
	a := v.act(fmt.Sprintf("Send %s again", number(count.Estimated)), route+"/replays", "POST", route+"/replays",
		string(surface.Encoded(f.body(false))), cli)
	a.Fields = []field{{"since", f.Since}, {"until", f.Until}, {"of", strconv.FormatInt(count.Estimated, 10)}}
	for _, s := range f.Status {
		a.Fields = append(a.Fields, field{"status", s})
	}
	for _, e := range f.Events {
		a.Fields = append(a.Fields, field{"event", e})
	}
	return a
}

func (c *console) startReplay(v *visit) error {
	if err := v.c.Request.ParseForm(); err != nil {
		return surface.BadBody("The form cannot be read")
	}
	var started wireReplay
	route := "/webhooks/" + url.PathEscape(v.c.Param("id")) + "/replays"
	if err := v.post(route, formOf(v.c.Request.PostForm).body(false), &started); err != nil {
		return err
	}
	to := route + "/" + started.ID
	if of, err := strconv.Atoi(v.c.PostForm("of")); err == nil && of > 0 {
		to += "?of=" + strconv.Itoa(of)
	}
	return v.then(to, "replay")
}

type replayBody struct {
	W        wireWebhook
	R        wireReplay
	Actions  []action
	Workflow string
	Ended    bool
	// Of is how many were counted before it started; 0: not known.
	Of int64
}

func (c *console) replay(v *visit) error {
	body := replayBody{}
	route := "/webhooks/" + url.PathEscape(v.c.Param("id"))
	if err := v.get(route, &body.W); err != nil {
		return err
	}
	if err := v.get(route+"/replays/"+url.PathEscape(v.c.Param("rid")), &body.R); err != nil {
		return err
	}
	route = "/webhooks/" + body.W.ID + "/replays/" + body.R.ID
	body.Ended = delivery.ReplayState(body.R.State).Ended()
	if of, err := strconv.ParseInt(v.c.Query("of"), 10, 64); err == nil && of > 0 {
		body.Of = max(of, body.R.Replayed)
	}
	body.Workflow = v.workflow("replay:" + body.R.ID)
	may := v.holds("write:deliveries|write:webhooks")
	if body.R.State == string(delivery.ReplayRunning) {
		body.Actions = append(body.Actions, v.act("Pause", route+"/pause", "POST", route+"/pause", "", "").unless(may))
	}
	if body.R.State == string(delivery.ReplayPaused) {
		body.Actions = append(body.Actions, v.act("Resume", route+"/resume", "POST", route+"/resume", "", "").unless(may))
	}
	if !body.Ended {
		body.Actions = append(body.Actions, v.act("Cancel", route+"/cancel", "POST", route+"/cancel", "", "").
			warn("What it has sent again stays sent.").unless(may))
	}
	return v.show("replay", "Replay to "+body.W.Label(), true, body)
}

// findReplay leads to a replay whose webhook the link does not name, as a workflow's does not.
func (c *console) findReplay(v *visit) error {
	id, err := surface.PathID(v.c, "rid", "Replay")
	if err != nil {
		return err
	}
	r, err := delivery.FindReplay(v.c.Request.Context(), c.DB, id)
	if errors.Is(err, pg.ErrNotFound) {
		return surface.NotFound("Replay", id.String())
	}
	if err != nil {
		return err
	}
	route := "/webhooks/" + r.WebhookID.String() + "/replays/" + id.String()
	if err := v.get(route, &wireReplay{}); err != nil { // another company's
		return err
	}
	return v.then(route, "")
}

func (c *console) changeReplay(v *visit) error {
	change, known := map[string]string{"pause": "pause", "resume": "resume", "cancel": "canceled"}[v.c.Param("change")]
	if !known {
		return surface.NotFound("Page", v.c.Request.URL.Path)
	}
	route := "/webhooks/" + url.PathEscape(v.c.Param("id")) + "/replays/" + url.PathEscape(v.c.Param("rid"))
	if err := v.post(route+"/"+v.c.Param("change"), nil, nil); err != nil {
		return err
	}
	return v.then(route, change)
}

package console

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/google/uuid"

	"greenroom/api/surface"
)

// publishBody is the form that publishes an event.
type publishBody struct {
	Types               []string // that can be published
	Type, Data, Company string
	Operator            bool // names the company
	// Action has the same for programs.
	Action action
	// Problem is what is wrong with the field Where: "type", "data", "companyId" or "".
	Problem, Where string
	NoSample       string // why the data is not filled in
	// Form is its id: what was sent twice from one form is published once.
	Form   string
	Status int
}

func (v *visit) mayPublish() bool { return !v.portal && v.holds("write:events") }

// publishForm shows the form for ?type=, with its sample as the data.
func (c *console) publishForm(v *visit) error {
	body := publishBody{Type: v.c.Query("type"), Company: v.c.Query("companyId"), Status: http.StatusOK}
	if body.Type != "" {
		var samples wireSamples
		err := v.get("/event-types/"+url.PathEscape(body.Type)+"/samples"+v.ofCompany(), &samples)
		if err != nil {
			return err
		}
		body.Data, body.NoSample = pretty(samples.Data), text(samples.Reason)
	}
	return v.showPublish(body)
}

// showPublish completes the form.
func (v *visit) showPublish(body publishBody) error {
	if !v.mayPublish() {
		return v.need("write:events")
	}
	var types wirePage[wireEventType]
	if err := v.get("/event-types"+v.companyQuery(body.Company), &types); err != nil && body.Problem == "" {
		return err
	}
	for _, t := range types.Data {
		if t.Publishable {
			body.Types = append(body.Types, t.Type)
		}
	}
	body.Operator = v.who.Platform()
	if body.Form == "" {
		body.Form = uuid.NewString()
	}
	if body.Type != "" {
		cli := "greenroom trigger " + body.Type // with the sample
		if body.Company != "" {
			cli += " --company " + body.Company
		}
		body.Action = v.act("Publish", "/events/new", http.MethodPost, "/events", string(body.request()), cli)
	}
	return v.showStatus(body.Status, "publish", "Publish an event", false, body)
}

func (v *visit) companyQuery(company string) string {
	if company == "" {
		return ""
	}
	return "?companyId=" + url.QueryEscape(company)
}

// request is the body of POST /events. The data is sent as it was written; it must be JSON.
func (b *publishBody) request() []byte {
	out := []byte(`{"type":`)
	out = append(out, surface.Encoded(b.Type)...)
	if b.Company != "" {
		out = append(append(out, `,"companyId":`...), surface.Encoded(b.Company)...)
	}
	out = append(append(out, `,"data":`...), strings.TrimSpace(b.Data)...)
	return append(out, '}')
}

// publish publishes the event of the form and leads to who gets it. A refusal is shown at its field, with all that was
// written.
func (c *console) publish(v *visit) error {
	body := publishBody{
		Type: v.c.PostForm("type"), Data: v.c.PostForm("data"), Company: strings.TrimSpace(v.c.PostForm("companyId")),
		Form: v.c.PostForm("form"), Status: http.StatusBadRequest,
	}
	if err := v.need("write:events"); err != nil {
		return err
	}
	if problem := jsonProblem(body.Data); problem != "" {
		body.Problem, body.Where = problem, "data"
		return v.showPublish(body)
	}
	var made wireEvent
	sent := body.request()
	sum := sha256.Sum256(append([]byte(body.Form), sent...))
	err := v.send(
		http.MethodPost,
		"/events",
		sent,
		&made,
		surface.IdempotencyHeader,
		"console-"+hex.EncodeToString(sum[:16]),
	)
	var refused *surface.Error
	if !errors.As(err, &refused) || refused.Status >= http.StatusInternalServerError {
		if err != nil {
			return err
		}
		if !v.holds("read:events") {
			return v.then("/events/new?type="+url.QueryEscape(body.Type), "publish")
		}
		return v.then("/events/"+made.ID, "publish")
	}
	body.Status, body.Problem = refused.Status, refused.Message
	body.Where = refused.Field()
	if refused.Details["resourceType"] == "Company" {
		body.Where = "companyId"
	}
	if !slices.Contains([]string{"type", "data", "companyId"}, body.Where) {
		body.Where = ""
	}
	return v.showPublish(body)
}

// jsonProblem says why a text is not one JSON value; "" for one that is.
func jsonProblem(data string) string {
	if strings.TrimSpace(data) == "" {
		return "data is required"
	}
	var value any
	if err := json.Unmarshal([]byte(data), &value); err != nil {
		return "data must be JSON: " + err.Error()
	}
	return ""
}

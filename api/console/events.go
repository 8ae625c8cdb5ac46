package console

import (
	"maps"
	"net/url"
	"slices"
)

type eventsBody struct {
	Catalogue, Custom []wireEventType
	Query             string // of the links to types
	May               bool   // publish
}

func (c *console) events(v *visit) error {
	var types wirePage[wireEventType]
	if err := v.get("/event-types"+v.ofCompany(), &types); err != nil {
		return err
	}
	body := eventsBody{Query: v.ofCompany(), May: v.mayPublish()}
	for _, t := range types.Data {
		if t.Custom {
			body.Custom = append(body.Custom, t)
		} else {
			body.Catalogue = append(body.Catalogue, t)
		}
	}
	return v.show("events", "Events", false, body)
}

// ofCompany is the query that names the company whose own types an operator sees; "" for none.
func (v *visit) ofCompany() string {
	if company := v.c.Query("companyId"); company != "" {
		return "?companyId=" + url.QueryEscape(company)
	}
	return ""
}

type eventTypeBody struct {
	T        wireEventType
	Profiles []field // each with its name for the type
	Samples  wireSamples
	// Publish is the address of the form that publishes an event of the type; "": the visitor may not.
	Publish string
}

func (c *console) eventType(v *visit) error {
	body := eventTypeBody{}
	if err := v.get("/event-types/"+url.PathEscape(v.c.Param("name"))+v.ofCompany(), &body.T); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(body.T.Profiles)) {
		body.Profiles = append(body.Profiles, field{name, body.T.Profiles[name].Name})
	}
	if err := v.get("/event-types/"+url.PathEscape(body.T.Type)+"/samples"+v.ofCompany(), &body.Samples); err != nil {
		return err
	}
	if body.T.Publishable && v.mayPublish() {
		body.Publish = v.base + "/events/new?" + with(v.c.Request.URL.Query(), "type", body.T.Type)
	}
	return v.show("eventtype", body.T.Type, false, body)
}

type eventBody struct {
	E          wireEvent
	Deliveries []wireDelivery
	// Left are the webhooks that did not get it, with the reason.
	Left []leftOut
	May  bool
}

type leftOut struct {
	W   wireWebhook
	Why string
}

// event shows who got an event, and of the other webhooks why they did not, by what they are now.
func (c *console) event(v *visit) error {
	body := eventBody{May: v.holds("read:deliveries|read:webhooks")}
	if err := v.get("/events/"+url.PathEscape(v.c.Param("id")), &body.E); err != nil {
		return err
	}
	if !body.May {
		return v.show("event", body.E.Type, false, body)
	}
	var err error
	if body.Deliveries, body.Left, err = v.fanOut(body.E.ID); err != nil {
		return err
	}
	return v.show("event", body.E.Type, true, body)
}

// fanOut is who got an event, and who did not and why.
func (v *visit) fanOut(event string) (got []wireDelivery, left []leftOut, err error) {
	var all wirePage[wireFanOut]
	if err := v.get("/events/"+url.PathEscape(event)+"/fan-out?limit=100", &all); err != nil {
		return nil, nil, err
	}
	for _, f := range all.Data {
		if f.Delivery != nil {
			got = append(got, *f.Delivery)
			continue
		}
		w := wireWebhook{ID: f.WebhookID, Name: f.Name}
		if f.Name == "" { // for the label
			_ = v.get("/webhooks/"+f.WebhookID, &w)
		}
		left = append(left, leftOut{w, text(f.Why)})
	}
	return v.named(got), left, nil
}

package console

import (
	"errors"
	"maps"
	"net/url"
	"slices"

	"greenroom/api/surface"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

type eventsBody struct {
	Catalogue, Custom []wireEventType
	Query             string // of the links to types
}

func (c *console) events(v *visit) error {
	var types wirePage[wireEventType]
	if err := v.get("/event-types"+v.ofCompany(), &types); err != nil {
		return err
	}
	body := eventsBody{Query: v.ofCompany()}
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
}

func (c *console) eventType(v *visit) error {
	body := eventTypeBody{}
	if err := v.get("/event-types/"+url.PathEscape(v.c.Param("name"))+v.ofCompany(), &body.T); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(body.T.Profiles)) {
		body.Profiles = append(body.Profiles, field{name, body.T.Profiles[name].Name})
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
	id, _ := pg.ParseID(body.E.ID)
	e, err := delivery.GetEvent(v.c.Request.Context(), c.DB, v.who.Scope(), id)
	if err != nil && !errors.Is(err, pg.ErrNotFound) {
		return err
	}
	if err == nil {
		if body.Deliveries, err = v.fanOut(e); err != nil {
			return err
		}
	}
	body.Left = v.leftOut(&body)
	return v.show("event", body.E.Type, true, body)
}

// leftOut asks as the event's company, so that an operator gets the webhooks that could have got the event.
func (v *visit) leftOut(body *eventBody) (left []leftOut) {
	company := *v
	if id, valid := pg.ParseID(text(body.E.CompanyID)); valid {
		key := *v.who.Key
		key.CompanyID = &id
		company.who = surface.Principal{Key: &key}
	}
	var hooks wirePage[wireWebhook]
	if company.get("/webhooks?page=1&limit=100", &hooks) != nil {
		return nil
	}
	for _, w := range hooks.Data {
		got := func(d wireDelivery) bool { return d.WebhookID == w.ID }
		if slices.ContainsFunc(body.Deliveries, got) {
			continue
		}
		why := "it is subscribed now, and was not when the event happened, or its job has other webhooks"
		switch {
		case w.CreatedAt.After(body.E.OccurredAt):
			why = "it is newer than the event"
		case !company.subscribes(w, body.E.Type):
			why = "it is not subscribed to this type"
		case !w.IsActive:
			why = "it is not active"
		}
		left = append(left, leftOut{w, why})
	}
	return left
}

// subscribes reports whether the webhook has the type, under its own or its profile's name.
func (v *visit) subscribes(w wireWebhook, eventType string) bool {
	if slices.Contains(w.Events, eventType) {
		return true
	}
	var t wireEventType
	if v.get("/event-types/"+url.PathEscape(eventType), &t) != nil {
		return false
	}
	names, known := t.Profiles[w.Profile]
	return known && (slices.Contains(w.Events, names.Name) || slices.Contains(w.Events, names.Label))
}

package console

import (
	"context"
	"net/url"
	"strconv"
	"time"

	"greenroom/api/surface"
	"greenroom/db/delivery"
	"greenroom/db/leader"
)

type keysBody struct {
	Rows          []wireKey
	Total         int64
	Page, Pages   int64
	Before, After string
	Operator      bool
}

func (c *console) keys(v *visit) error {
	number, err := strconv.Atoi(v.c.DefaultQuery("page", "1"))
	if err != nil {
		return surface.Invalid("page", "page must be a whole number")
	}
	var found wirePage[wireKey]
	if err := v.get("/api-keys?limit="+rowsEach+"&page="+strconv.Itoa(number), &found); err != nil {
		return err
	}
	body := keysBody{
		Rows: found.Data, Total: found.Total, Page: found.Page, Pages: found.TotalPages, Operator: v.who.Platform(),
	}
	body.Before, body.After = v.pages(found.Page, found.TotalPages)
	return v.show("keys", "Keys", false, body)
}

type auditBody struct {
	Rows  []auditRow
	Next  string
	First string
}

type auditRow struct {
	wireAudit
	Link   string // to the target's page
	Change string
}

func (c *console) audit(v *visit) error {
	sent, asked := v.c.Request.URL.Query(), url.Values{"limit": {rowsEach}}
	for _, name := range []string{"cursor", "action", "targetType", "targetId"} {
		if value := sent.Get(name); value != "" {
			asked.Set(name, value)
		}
	}
	var found wirePage[wireAudit]
	if err := v.get("/audit?"+asked.Encode(), &found); err != nil {
		return err
	}
	body := auditBody{}
	for _, e := range found.Data {
		row := auditRow{wireAudit: e}
		switch e.TargetType {
		case "webhook":
			row.Link = v.base + "/webhooks/" + e.TargetID
		case "delivery":
			row.Link = v.base + "/deliveries/" + e.TargetID
		}
		if len(e.After) > 0 {
			row.Change = string(surface.Encoded(e.After))
		}
		body.Rows = append(body.Rows, row)
	}
	if found.NextCursor != nil {
		body.Next = v.base + "/audit?" + with(sent, "cursor", *found.NextCursor)
	}
	if sent.Get("cursor") != "" {
		body.First = v.base + "/audit?" + with(sent, "cursor", "")
	}
	return v.show("audit", "Audit log", false, body)
}

type systemBody struct {
	Version    string
	Started    time.Time
	Workers    []leader.Process
	Queued     int
	Commands   int
	Parked     int
	Open       int
	Days       []delivery.Day
	Settings   []Setting
	TemporalUI string
	Secret     bool // a rotation of the secret is under way
	// Examine examines the installation; without a label the console does not offer it.
	Examine  action
	Findings []Finding
}

// workersMost bounds the workers that the page lists.
const workersMost = 100

// system is for operators: what a company has no part in.
func (c *console) system(v *visit) error { return c.showSystem(v, nil) }

// examineLimit bounds an examination: the API's answer is due.
const examineLimit = 20 * time.Second

// examine examines the installation, as `greenroom doctor` does on the machine of the API.
func (c *console) examine(v *visit) error {
	if !v.who.Platform() || c.o.Examine == nil {
		return surface.NotFound("Page", v.c.Request.URL.Path)
	}
	if !c.examining.TryLock() {
		return surface.InvalidState("An examination is under way: it opens connections to all stores", nil)
	}
	defer c.examining.Unlock()
	ctx, cancel := context.WithTimeout(v.c.Request.Context(), examineLimit)
	defer cancel()
	return c.showSystem(v, c.o.Examine(ctx))
}

func (c *console) showSystem(v *visit, findings []Finding) error {
	if !v.who.Platform() {
		return surface.NotFound("Page", v.c.Request.URL.Path)
	}
	ctx := v.c.Request.Context()
	body := systemBody{
		Version: c.o.Version, Started: c.started, Settings: c.o.Settings, TemporalUI: c.o.TemporalUI,
		Secret: len(c.NextSecret) > 0 || len(c.PreviousSecret) > 0,
	}
	queue, err := delivery.QueueLength(ctx, c.DB, countedMost)
	if err != nil {
		return err
	}
	body.Queued, body.Commands = queue.Deliveries, queue.Commands
	if body.Parked, err = delivery.ParkedCommands(ctx, c.DB, countedMost); err != nil {
		return err
	}
	if body.Open, err = delivery.OpenCircuits(ctx, c.DB, countedMost); err != nil {
		return err
	}
	if body.Workers, err = leader.Live(ctx, c.DB, "worker", workersMost); err != nil {
		return err
	}
	if body.Days, err = delivery.ListDays(ctx, c.DB); err != nil {
		return err
	}
	if c.o.Examine != nil {
		body.Examine = action{Label: "Examine now", URL: v.base + "/system/examination", CLI: "greenroom doctor"}
	}
	body.Findings = findings
	return v.show("system", "System", findings == nil, body)
}

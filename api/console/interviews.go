package console

import (
	"net/url"
	"slices"
	"strconv"
	"time"

	"greenroom/api/surface"
)

type interviewsBody struct {
	Rows          []wireInterview
	Total         int64
	Page, Pages   int64
	Before, After string
	Status        string
	Statuses      []string
}

// deepestPage bounds the pages of interviews: a page costs as much as all pages before it.
const deepestPage = 100

func (c *console) interviews(v *visit) error {
	number, err := strconv.Atoi(v.c.DefaultQuery("page", "1"))
	if err != nil {
		return surface.Invalid("page", "page must be a whole number")
	}
	if number > deepestPage {
		return surface.Invalid("page",
			"page must be at most "+strconv.Itoa(deepestPage)+": select a status, or read older interviews through the API")
	}
	asked := url.Values{"page": {strconv.Itoa(number)}, "limit": {rowsEach}}
	for _, name := range []string{"status", "companyId"} {
		if value := v.c.Query(name); value != "" {
			asked.Set(name, value)
		}
	}
	var found wirePage[wireInterview]
	if err := v.get("/interviews?"+asked.Encode(), &found); err != nil {
		return err
	}
	body := interviewsBody{
		Rows: found.Data, Total: found.Total, Page: found.Page, Pages: found.TotalPages, Status: v.c.Query("status"),
		Statuses: []string{"SCHEDULED", "IN_PROGRESS", "COMPLETED", "FAILED", "CANCELED"},
	}
	body.Before, body.After = v.pages(found.Page, min(found.TotalPages, deepestPage))
	return v.show("interviews", "Interviews", true, body)
}

type interviewBody struct {
	I        wireInterview
	Steps    []step
	Workflow string
	Deliver  string // the address of the deliveries of its time
}

// step is something that happened to an interview, or will.
type step struct {
	At   time.Time
	What string
	Note string
	Tone string
}

func (c *console) interview(v *visit) error {
	body := interviewBody{}
	if err := v.get("/interviews/"+url.PathEscape(v.c.Param("id")), &body.I); err != nil {
		return err
	}
	body.Steps = stepsOf(&body.I)
	body.Workflow = v.workflow("interview:" + body.I.ID)
	body.Deliver = v.base + "/deliveries?since=" + url.QueryEscape(body.I.CreatedAt.UTC().Format(time.RFC3339))
	if body.I.FinishedDate != nil {
		body.Deliver += "&until=" + url.QueryEscape(body.I.FinishedDate.Add(time.Hour).UTC().Format(time.RFC3339))
	}
	return v.show("interview", "Interview "+strconv.FormatInt(body.I.Number, 10), true, body)
}

// stepsOf returns the life of an interview in order.
func stepsOf(i *wireInterview) []step {
	steps := []step{{i.CreatedAt, "created", i.Type, "good"}}
	for _, call := range i.CallAttempts {
		note := call.Status
		if call.ReasonCode != nil {
			note += ", " + *call.ReasonCode
		}
		if call.Duration != nil {
			note += ", " + span(time.Duration(*call.Duration)*time.Second)
		}
		when, what := call.ScheduledAt, "call "+strconv.Itoa(call.RetryNumber+1)+" scheduled"
		if call.CalledAt != nil {
			when, what = *call.CalledAt, "call "+strconv.Itoa(call.RetryNumber+1)+" placed"
		}
		steps = append(steps, step{when, what, note, stateOf(call.Status).Tone})
	}
	if i.StartedAt != nil {
		steps = append(steps, step{*i.StartedAt, "started", "", "good"})
	}
	if i.FinishedDate != nil {
		steps = append(steps, step{*i.FinishedDate, "ended", i.Status, stateOf(i.Status).Tone})
	} else if i.DeadlineAt != nil {
		steps = append(steps, step{*i.DeadlineAt, "deadline", "", "busy"})
	}
	slices.SortStableFunc(steps, func(a, b step) int { return a.At.Compare(b.At) })
	if i.AnalysisStatus != nil {
		steps = append(steps, step{i.UpdatedAt, "analysis", *i.AnalysisStatus, stateOf(*i.AnalysisStatus).Tone})
	}
	return steps
}

package api

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"greenroom/activities/webhook"
	"greenroom/activities/webhook/profiles"
	"greenroom/api/surface"
)

func (s *server) profileRoutes() []surface.Route {
	return []surface.Route{
		surface.List("/profiles", "read:events|read:webhooks", s.listProfiles),
	}
}

// profileOutput is a profile that a client can choose for a webhook; times are in seconds.
type profileOutput struct {
	Name   string         `json:"name"`
	Events []profileEvent `json:"events"`
	// Open: webhooks may also subscribe to types that their company has registered.
	Open     bool   `json:"open"`
	Success  string `json:"success"`
	Attempts int    `json:"attempts"`
	// Schedule has the times of the attempts, relative to ScheduleFrom and without jitter.
	Schedule     []float64 `json:"schedule"`
	ScheduleFrom string    `json:"scheduleFrom"`
	Timeout      float64   `json:"timeout"`
	UserAgent    string    `json:"userAgent"`
	// Signature is the profile's own proof of the sender, beside the Standard Webhooks headers; null: none.
	Signature       *string  `json:"signature"`
	ReservedHeaders []string `json:"reservedHeaders"`
	// SelfService: a key of a company may register webhooks.
	SelfService bool `json:"selfService"`
}

type profileEvent struct {
	ID   *int   `json:"id"`
	Name string `json:"name"`
	// Types are the catalogue's event types that are sent under this name.
	Types []string `json:"types"`
}

func (s *server) listProfiles(c *gin.Context) error {
	all := profiles.All()
	out := make([]profileOutput, len(all))
	for i, p := range all {
		out[i] = showProfile(p)
		out[i].SelfService = s.MayRegister(p)
	}
	return ok(c, http.StatusOK, gin.H{"data": out, "total": len(out)})
}

func showProfile(p *webhook.Profile) profileOutput {
	out := profileOutput{
		Name: p.Name, Events: make([]profileEvent, len(p.Events)), Open: p.Open, Success: p.SuccessRule,
		Attempts: len(p.Schedule) + 1, Schedule: make([]float64, len(p.Schedule)+1), ScheduleFrom: "first attempt",
		Timeout: p.Timeout.Seconds(), UserAgent: p.UserAgent, ReservedHeaders: append([]string{}, p.Reserved...),
	}
	for i, e := range p.Events {
		out.Events[i] = profileEvent{Name: e.Name, Types: e.Types}
		if i < p.Numbered {
			out.Events[i].ID = &i
		}
	}
	for n := range out.Schedule {
		out.Schedule[n] = p.Offset(n).Seconds()
	}
	if p.FromEvent {
		out.ScheduleFrom = "event"
	}
	if p.Signature != "" {
		out.Signature = &p.Signature
	}
	return out
}

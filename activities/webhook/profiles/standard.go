package profiles

import (
	"strconv"
	"time"

	"greenroom/activities/webhook"
)

// standard is the Standard Webhooks contract (https://www.standardwebhooks.com), meant for new receivers:
// {"type","timestamp","data"}, with "subject" and "sequence" for an event that is about something, any 2xx, and no
// headers of its own. It accepts every type of the catalogue, and those that a company registers, under their own
// names.
var standard = webhook.Profile{
	Name: Standard,
	Open: true,
	// The specification's example schedule: 10 attempts over 75 h 35 min.
	Schedule: standardSchedule,
	// The specification recommends 15–30 s; the shortest of it limits what a hanging receiver costs.
	Timeout:     15 * time.Second,
	Success:     webhook.Success2xx,
	SuccessRule: webhook.Success2xxRule,
	UserAgent:   webhook.UserAgent,
	Render:      renderStandard,
}

// standardSchedule is the example schedule of the Standard Webhooks specification. Contracts that do not document a
// schedule use it too.
var standardSchedule = []time.Duration{
	5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour,
	10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
}

func renderStandard(m webhook.Message) ([]byte, error) {
	data, err := dataOf(m)
	if err != nil {
		return nil, err
	}
	b := append(newBody(data), `{"type":`...)
	b = appendString(b, m.EventName)
	b = append(b, `,"timestamp":`...)
	b = appendTime(b, m.OccurredAt)
	if m.Subject != "" {
		b = append(b, `,"subject":`...)
		b = appendString(b, m.Subject)
		b = append(b, `,"sequence":`...)
		b = strconv.AppendInt(b, m.Sequence, 10)
	}
	b = append(b, `,"data":`...)
	b = append(b, data...)
	return append(b, '}'), nil
}

package aiinterviews_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"greenroom/db"
	"greenroom/db/catalog"
)

// seed is the request of reference Part 1, byte for byte what its page shows.
const seed = `{"webhooks": {
   "start":      {"status": true, "url": "https://example.com/webhook/start"},
   "submission": {"status": true, "url": "https://example.com/webhook/submission"},
   "auth": {"type": "basic", "basic": {"username": "user", "password": "pass"}}},
 "updateAll": true}`

const seedAnswer = `{"webhooks": {
   "start":      {"status": true, "url": "https://example.com/webhook/start"},
   "submission": {"status": true, "url": "https://example.com/webhook/submission"},
   "auth": {"type": "basic",
            "basic":  {"username": "user", "password": null, "hasPassword": true},
            "apikey": {"header": null, "apikey": null}}}}`

const nothingStored = `{"webhooks":{"start":{"status":false,"url":null},"submission":{"status":false,"url":null},
	"auth":{"type":null,"basic":{"username":null,"password":null,"hasPassword":false},"apikey":{"header":null,"apikey":null}}}}`

const settings = "/ai-interviews/settings/webhooks"

// The rows of the reference, by their sections. Every answer is also held against the contract.
func TestReference(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]func(b *bundle){
		"1 the exact answer to the seed's request": func(b *bundle) {
			r := b.post(settings, seed)
			require.Equal(b.T, http.StatusOK, r.Status)
			require.JSONEq(b.T, seedAnswer, string(r.Body))
		},
		"1 apiKey header, in any case": func(b *bundle) {
			require.Equal(b.T, http.StatusOK, b.As("", http.MethodGet, settings, nil, "APIKEY", b.Key).Status)
		},
		"1 start alone": func(b *bundle) {
			b.post(settings, `{"webhooks":{"start":{"status":true,"url":"https://a.test"}}}`).Is(http.StatusOK)
		},
		"1 submission alone, the other stays": func(b *bundle) {
			b.post(settings, seed)
			o := b.post(settings, `{"webhooks":{"submission":{"status":false,"url":"https://b.test"}}}`).Is(http.StatusOK)["webhooks"].(object)
			require.Equal(b.T, object{"status": true, "url": "https://example.com/webhook/start"}, o["start"])
			require.Equal(b.T, object{"status": false, "url": "https://b.test"}, o["submission"])
		},
		"1 auth that is absent stays, one that is there replaces": func(b *bundle) {
			b.post(settings, seed)
			o := b.post(settings, `{"webhooks":{"start":{"status":true,"url":"https://a.test"}}}`).Is(http.StatusOK)
			require.Equal(b.T, "basic", o["webhooks"].(object)["auth"].(object)["type"])
			o = b.post(settings, `{"webhooks":{"auth":{"type":"apikey","apikey":{"header":"X-Key","apikey":"k"}}}}`).Is(http.StatusOK)
			auth := o["webhooks"].(object)["auth"].(object)
			require.Equal(b.T, "apikey", auth["type"])
			require.Equal(b.T, object{"header": "X-Key", "apikey": nil}, auth["apikey"])
		},
		"1 updateAll beside webhooks": func(b *bundle) {
			b.post(settings, seed)
			require.JSONEq(b.T, seedAnswer, string(b.get(path("/settings/webhooks/%d", b.job.Number)).Body))
		},
		"1 without updateAll interviews that are there keep what they have": func(b *bundle) {
			b.post(settings, strings.Replace(seed, `"updateAll": true`, `"updateAll": false`, 1))
			require.JSONEq(b.T, nothingStored, string(b.get(path("/settings/webhooks/%d", b.job.Number)).Body))
			later := b.newJob("Later")
			require.JSONEq(b.T, seedAnswer, string(b.get(path("/settings/webhooks/%d", later.Number)).Body))
		},
		"2.1 the base URL with /api/v2": func(b *bundle) {
			require.JSONEq(b.T, seedAnswer, string(b.post("/api/v2"+settings, seed).Body))
			require.JSONEq(b.T, seedAnswer, string(b.get(settings).Body))
		},
		"2.2 PUT for one interview": func(b *bundle) {
			other := b.newJob("Other")
			at := path("/settings/webhooks/%d", b.job.Number)
			r := b.Do(http.MethodPut, at, seed)
			require.JSONEq(b.T, seedAnswer, string(r.Body))
			require.JSONEq(b.T, seedAnswer, string(b.get(at).Body))
			require.JSONEq(b.T, nothingStored, string(b.get(path("/settings/webhooks/%d", other.Number)).Body))
			require.JSONEq(b.T, nothingStored, string(b.get(settings).Body))
		},
		"2.2 the other spelling of apikey, and status": func(b *bundle) {
			o := b.Do(http.MethodPut, path("/settings/webhooks/%d", b.job.Number), `{"webhooks":{"submission":{"status":true,"url":"https://a.test"},
				"auth":{"type":"apikey","status":true,"apikey":{"key":"X-Webhook-Key","value":"v"}}}}`).Is(http.StatusOK)
			require.Equal(b.T, object{"header": "X-Webhook-Key", "apikey": nil}, o["webhooks"].(object)["auth"].(object)["apikey"])
		},
		"2.2 type is required, and its object": func(b *bundle) {
			b.fails(b.post(settings, `{"webhooks":{"auth":{"basic":{}}}}`), 400, "webhooks.auth.type is required")
			b.fails(b.post(settings, `{"webhooks":{"auth":{"type":"basic"}}}`), 400, "webhooks.auth.basic is required")
			b.fails(b.post(settings, `{"webhooks":{"auth":{"type":"apikey"}}}`), 400, "webhooks.auth.apikey is required")
			b.fails(b.post(settings, `{"webhooks":{"auth":{"type":"digest"}}}`), 400, "webhooks.auth.type must be one of: basic, apikey")
		},
		"2.3 general settings: POST answers the voice's id, GET the pair": func(b *bundle) {
			body := `{"general":{"cutoff":6.5,"duration":{"min":10,"max":30},"mobile_friendly":true,"voice":["british","female"],"language":"German"},
				"updateAll":true}`
			stored := b.post(path("/settings/general"), body).Is(http.StatusOK)["general"].(object)
			id, err := uuid.Parse(stored["voice"].(string))
			require.NoError(b.T, err)
			require.EqualValues(b.T, 5, id.Version())
			read := b.get(path("/settings/general")).Is(http.StatusOK)["general"].(object)
			require.Equal(b.T, object{
				"cutoff": 6.5, "duration": object{"min": 10.0, "max": 30.0}, "mobile_friendly": true, "voice": []any{"british", "female"},
				"language": "German",
			}, read)
			delete(read, "voice")
			delete(stored, "voice")
			require.Equal(b.T, read, stored)
			// They are how interviews are held.
			i := b.interview(b.invite(nil)["response_id"])
			agent, err := db.GetAgent(b.Ctx, b.DB, i.AgentID)
			require.NoError(b.T, err)
			require.Equal(b.T, []any{"DE", 30, id.String()}, []any{agent.Language, agent.DurationMinutes, *agent.VoiceID})
		},
		"2.3 every voice and language, and no other": func(b *bundle) {
			for _, pair := range [][]string{
				{"american", "m"},
				{"american", "f"},
				{"british", "m"},
				{"british", "f"},
				{"african_american", "f"},
				{"arabic", "m"},
				{"arabic", "f"},
				{"australian", "f"},
				{"indian", "m"},
				{"indian", "f"},
				{"american", "male"},
				{"indian", "female"},
			} {
				require.Equal(b.T, 200, b.post(path("/settings/general"), object{"general": object{"voice": pair}}).Status, pair)
			}
			for _, pair := range [][]string{{"african_american", "m"}, {"australian", "male"}, {"scottish", "f"}, {"american", "x"}, {"american"}, {}} {
				require.Equal(b.T, 400, b.post(path("/settings/general"), object{"general": object{"voice": pair}}).Status, pair)
			}
			for _, language := range strings.Split("English Spanish French German Italian Portuguese Russian Dutch Polish Turkish Vietnamese "+
				"Indonesian Filipino Malay Arabic Korean Hebrew", " ") {
				require.Equal(b.T, 200, b.post(path("/settings/general"), object{"general": object{"language": language}}).Status, language)
			}
			require.Equal(b.T, 400, b.post(path("/settings/general"), `{"general":{"language":"Latin"}}`).Status)
		},
		"2.3 cutoff and durations": func(b *bundle) {
			for body, want := range map[string]string{
				`{"cutoff":-1}`:                   "general.cutoff must be at least 0",
				`{"cutoff":10.5}`:                 "general.cutoff must be at most 10",
				`{"duration":{"min":30,"max":5}}`: "general.duration.min must not be greater than general.duration.max",
				`{"duration":{"max":61}}`:         "general.duration.max must be at most 60",
				`{"duration":{"min":0}}`:          "general.duration.min must be at least 1",
			} {
				b.fails(b.post(path("/settings/general"), `{"general":`+body+`}`), 400, want)
			}
		},
		"2.4 the start is sent at the start, the submission after the evaluation": func(b *bundle) {
			b.post(settings, seed)
			i := b.interview(b.invite(nil)["response_id"])
			told := func() (types []string) {
				require.NoError(b.T, b.NewRaw("SELECT event_type FROM deliveries ORDER BY id").Scan(b.Ctx, &types))
				return types
			}
			require.Empty(b.T, told())
			b.hold(i, "[]")
			require.Equal(b.T, []string{catalog.InterviewStarted}, told())
			b.analyse(i, `{"overallRating":70}`)
			require.Equal(b.T, []string{catalog.InterviewStarted, catalog.InterviewCompleted}, told())
		},
		"2.5 invite: the answer": func(b *bundle) {
			o := b.invite(object{"custom_field_id": "mine-7"})
			i := b.interview(o["response_id"])
			require.Equal(b.T, object{
				"email": "ada@mail.test", "ai_interview_id": float64(b.job.Number), "ai_interview_name": "Receptionist",
				"response_id": float64(i.Number), "invite_link": o["invite_link"], "name": "Ada King Byron", "status": "Link created",
				"custom_field_id": "mine-7",
			}, o)
			require.Nil(b.T, i.DeadlineAt, "left out: no end")
			require.WithinDuration(b.T, time.Now(), i.ScheduledAt, time.Minute, "left out: open at once")
			link := strings.TrimPrefix(o["invite_link"].(string), "https://greenroom.test")
			require.Equal(b.T, http.StatusOK, b.As("", http.MethodGet, link, nil).Status)
			require.Equal(b.T, http.StatusOK, b.As("", http.MethodPost, link+"/start", nil).Status)
		},
		"2.5 invite: dates in GMT": func(b *bundle) {
			start, end := time.Now().UTC().Add(48*time.Hour).Truncate(time.Minute), time.Now().UTC().Add(96*time.Hour).Truncate(time.Minute)
			i := b.interview(b.invite(object{
				"start_date": start.Format("2006-01-02 15:04"), "expiry_date": end.Format("2006-01-02 15:04"),
			})["response_id"])
			require.True(b.T, start.Equal(i.ScheduledAt))
			require.True(b.T, end.Equal(*i.DeadlineAt))
			b.invite(object{"expiry_date": "2099-12-31 23:59"})
			b.fails(b.post(path("/invite"), b.invitation(object{"expiry_date": "9999-12-31 23:59"})), 400,
				"expiry_date must be at most 100 years ahead; leave it out for no end")
		},
		"2.5 invite: getlink and sendlink, nothing else": func(b *bundle) {
			b.fails(b.post(path("/invite"), b.invitation(object{"invite_format": "fax"})), 400, "invite_format must be one of: getlink, sendlink")
			o := b.invite(object{"invite_format": "sendlink"})
			require.Equal(b.T, "Link created, e-mail is not configured", o["status"], "no mail server, so the link alone")
			require.False(b.T, b.interview(o["response_id"]).InviteMail)
		},
		"2.5 no invites left": func(b *bundle) {
			b.exec("UPDATE companies SET invites_left = 1 WHERE id = ?", b.Company)
			b.invite(nil)
			r := b.post(path("/invite"), b.invitation(nil))
			require.Equal(b.T, http.StatusForbidden, r.Status)
			require.JSONEq(b.T, `{"message": "Invites Exhausted. Please contact support.", "error": "limit_exceed"}`, string(r.Body))
		},
		"2.5 invited": func(b *bundle) {
			first, second := b.invite(nil), b.invite(nil)
			b.hold(b.interview(first["response_id"]), "[]")
			var list []object
			b.get(path("/invited/%d", b.job.Number)).Into(http.StatusOK, &list)
			require.Len(b.T, list, 2)
			require.Equal(b.T, second["response_id"], list[0]["response_id"])
			require.Equal(b.T, []any{"Pending", "Completed"}, []any{list[0]["invite_status"], list[1]["invite_status"]})
			at, err := http.ParseTime(list[0]["last_updated_at"].(string))
			require.NoError(b.T, err)
			require.WithinDuration(b.T, time.Now(), at, time.Minute)
		},
		"2.5 invited: a long list continues at the Link": func(b *bundle) {
			for range 3 {
				b.invite(nil)
			}
			var all, listed []object
			b.get(path("/invited/%d", b.job.Number)).Into(http.StatusOK, &all)
			next, pages := path("/invited/%d?limit=2", b.job.Number), 0
			for ; next != ""; pages++ {
				var some []object
				r := b.get(next)
				r.Into(http.StatusOK, &some)
				listed = append(listed, some...)
				link, _, _ := strings.Cut(r.Header.Get("Link"), ">; rel=\"next\"")
				next = strings.TrimPrefix(link, "<https://greenroom.test")
			}
			require.Equal(b.T, 2, pages)
			require.Equal(b.T, all, listed)
			for _, query := range []string{"limit=0", "limit=10001", "before=x", "before=99999999999999999999"} {
				require.Equal(b.T, http.StatusBadRequest, b.get(path("/invited/%d?%s", b.job.Number, query)).Status, query)
			}
		},
		"2.6 report": func(b *bundle) {
			i := b.interview(b.invite(object{"custom_field_id": 4711})["response_id"])
			b.hold(i, `[{"question":"Why?","answer":"Because."}]`)
			b.analyse(i, `{"summary":"Clear","integrityScore":9.5,"score":8,"recommendation":"Hire",
				"skillWiseScores":{"must_haves":[{"score":7,"skill_name":"English"}],"nice_to_haves":[]}}`)
			o := b.get(path("/report/%d", i.Number)).Is(http.StatusOK)
			finished := b.interview(float64(i.Number)).FinishedAt.UTC().Format("Jan 02, 2006, 3:04:05 PM")
			require.Equal(b.T, object{
				"ai_interview_id": float64(b.job.Number), "ai_interview_name": "Receptionist", "candidate_email": "ada@mail.test",
				"candidate_id": o["candidate_id"], "candidate_name": "Ada King Byron", "candidate_summary": "Clear", "completed_date": finished,
				"integrity_score": 9.5, "invite_status": "Completed", "recommendation": "Hire", "response_id": float64(i.Number),
				"custom_field_id": "4711", "score": 8.0, "interview_recording": object{},
				"skill_wise_scores": object{"must_haves": []any{object{"score": 7.0, "skill_name": "English"}}, "nice_to_haves": []any{}},
				"pdf_link":          "https://greenroom.test" + path("/report/%d/download", i.Number),
				"report_link":       "https://greenroom.test" + path("/report/%d", i.Number),
				"conversation": []any{
					object{"content": "Why?", "mode": "text", "role": "agent", "timestamp": nil},
					object{"content": "Because.", "mode": "text", "role": "candidate", "timestamp": nil},
				},
			}, o)
			require.Equal(b.T, o, b.get(path("/report?custom_field_id=4711")).Is(http.StatusOK))
			for _, flag := range []string{"true", "True", "false", ""} {
				require.Equal(b.T, o, b.get(path("/report/%d?is_downloadable=%s", i.Number, flag)).Is(http.StatusOK))
			}
			b.fails(b.get(path("/report/%d?is_downloadable=yes", i.Number)), 400, "is_downloadable must be true or false")
		},
		"2.6 report before there is anything to say": func(b *bundle) {
			o := b.get(path("/report/%.0f", b.invite(nil)["response_id"])).Is(http.StatusOK)
			require.Equal(b.T, "Pending", o["invite_status"])
			for _, name := range []string{"candidate_summary", "completed_date", "integrity_score", "recommendation", "score", "skill_wise_scores"} {
				require.Nil(b.T, o[name], name)
			}
		},
		"2.6 share": func(b *bundle) {
			i := b.interview(b.invite(nil)["response_id"])
			for body, hours := range map[string]float64{"": 1, "{}": 1, `{"expiration_hours":24}`: 24, `{"expiration_hours":0.5}`: 0.5} {
				var sent any = body
				if body == "" {
					sent = nil
				}
				o := b.post(path("/report/%d/share", i.Number), sent).Is(http.StatusOK)
				require.Equal(b.T, []any{hours, float64(i.Number), float64(b.job.Number)},
					[]any{o["expiration_hours"], o["response_id"], o["ai_interview_id"]})
				end, err := time.Parse(time.RFC3339, o["expires_at"].(string))
				require.NoError(b.T, err)
				require.WithinDuration(b.T, time.Now().Add(time.Duration(hours*float64(time.Hour))), end, 5*time.Second)
				link := strings.TrimPrefix(o["signed_url"].(string), "https://greenroom.test")
				require.EqualValues(b.T, i.Number, b.As("", http.MethodGet, link, nil).Is(http.StatusOK)["response_id"])
			}
			for _, hours := range []string{"0.016", "24.01", "0", "-1"} {
				b.fails(b.post(path("/report/%d/share", i.Number), `{"expiration_hours":`+hours+`}`), 400,
					"expiration_hours must be between 1 minute and 24 hours")
			}
		},
		"2.6 download": func(b *bundle) {
			r := b.post(path("/report/%.0f/download", b.invite(nil)["response_id"]), nil)
			require.Equal(b.T, http.StatusOK, r.Status)
			require.Equal(b.T, "application/pdf", r.Header.Get("Content-Type"))
			require.True(b.T, strings.HasPrefix(string(r.Body), "%PDF-"))
		},
		"2.7 generate": func(b *bundle) {
			r := b.post(path("/generate-interview"), `{"job_role":"Receptionist","job_description":"Greets","notification_url":"https://a.test/news"}`)
			o := r.Is(http.StatusAccepted)
			require.Equal(b.T, object{"job_id": o["job_id"], "status": "pending", "message": "The AI interview is being created"}, o)
			read := b.get(path("/generate-interview/%s", o["job_id"])).Is(http.StatusOK)
			require.Equal(b.T, object{"job_id": o["job_id"], "status": "pending", "message": o["message"], "ai_interview_id": nil, "error": nil}, read)
			for _, body := range []string{`{}`, `{"job_role":"a"}`, `{"job_description":"a"}`, `{"job_role":" ","job_description":"a"}`} {
				b.fails(b.post(path("/generate-interview"), body), 400, "Job role and job description are required")
			}
			b.fails(b.post(path("/generate-interview"), `{"job_role":"a","job_description":"b","notification_url":"http://a.test"}`), 400,
				"notification_url must use https")
		},
		"2.7 Invalid API key": func(b *bundle) {
			for _, key := range []string{"", "sk_unknown"} {
				b.fails(b.As(key, http.MethodGet, settings, nil), 401, "Invalid API key")
			}
		},
		"2.9 errors are plain": func(b *bundle) {
			for _, r := range []struct{ method, path string }{
				{"GET", "/ai-interviews/nothing"}, {"DELETE", settings}, {"GET", "/api/v2/nothing"},
			} {
				answer := b.Do(r.method, r.path, nil)
				require.GreaterOrEqual(b.T, answer.Status, 400)
				var o map[string]string
				require.NoError(b.T, json.Unmarshal(answer.Body, &o))
				require.NotEmpty(b.T, o["error"])
			}
		},
		"3.1 two values in the two spellings are refused": func(b *bundle) {
			b.fails(b.post(settings, `{"webhooks":{"auth":{"type":"apikey","apikey":{"header":"A","key":"B","value":"v"}}}}`), 400,
				"webhooks.auth.apikey has two different values, in header and in key")
		},
		"3.4 one credential for both": func(b *bundle) {
			b.post(settings, seed)
			var with int
			require.NoError(b.T, b.NewRaw("SELECT count(*) FROM webhooks WHERE headers->0->>'name' = 'Authorization'").Scan(b.Ctx, &with))
			require.Equal(b.T, 2, with)
		},
		"4 nothing stored": func(b *bundle) {
			require.JSONEq(b.T, nothingStored, string(b.get(settings).Body))
			o := b.get(path("/settings/general")).Is(http.StatusOK)["general"].(object)
			require.Equal(b.T, object{"cutoff": nil, "duration": object{"min": nil, "max": nil}, "mobile_friendly": nil, "voice": nil, "language": nil}, o)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			row(setup(t))
		})
	}
}

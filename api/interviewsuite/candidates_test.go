package interviewsuite_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/api"
	"greenroom/api/apitest"
	"greenroom/db"
)

// TestReferenceCandidates covers reference 2.5.
func TestReferenceCandidates(t *testing.T) {
	t.Parallel()
	fields := strings.Fields(
		`resource_uri first_name last_name username status confirmationdate photo cv evaluation_status my_evaluation_status
		email project phone gender created_by address deadline invitationdate interviewdate partner_data shares interview_suite_url company
		interview_key`,
	)
	const stampForm = `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$`
	holds(t, []row{
		{"fields_of_an_invited_candidate", func(t *testing.T, b *bundle) {
			p := b.project()
			c := b.candidate(p)
			require.ElementsMatch(t, fields, keys(c))
			require.True(t, strings.HasPrefix(c["resource_uri"].(string), p["resource_uri"].(string)+"candidates/"))
			for field, want := range (object{
				"company": apitest.PublicURL + b.at, "project": p["resource_uri"], "status": "invited", "confirmationdate": nil, "interviewdate": nil,
				"evaluation_status": "pending", "my_evaluation_status": nil, "photo": "", "cv": nil, "shares": []any{}, "partner_data": object{},
			}) {
				require.Equal(t, want, c[field], field)
			}
			require.Regexp(t, stampForm, c["invitationdate"])
			require.Regexp(t, stampForm, c["deadline"])
			require.True(t, strings.HasPrefix(c["interview_suite_url"].(string), apitest.PublicURL+"/i/"))
			require.Equal(t, []object{c}, objects(t, b.Do("GET", b.path(p)+"candidates/", nil)))
			require.Equal(t, c, b.Do("GET", b.path(c), nil).Is(http.StatusOK))
		}},
		{"required_fields", func(_ *testing.T, b *bundle) {
			list := b.path(b.project()) + "candidates/"
			for _, field := range []string{"first_name", "last_name", "email"} {
				body := ada()
				delete(body, field)
				refusedField(b.Do("POST", list, body), field, "This field is required.")
			}
			all := b.Do("POST", list, object{"last_name": ""}).Is(http.StatusBadRequest)
			require.Len(b.T, all, 3, "every field has its sentence: %v", all)
			refusedField(b.Do("POST", list, ada(object{"email": "no address"})), "email")
			refusedField(b.Do("POST", list, ada(object{"gender": "x"})), "gender")
			require.Empty(b.T, objects(b.T, b.Do("GET", list, nil)), "nothing half-made")
		}},
		{"all_that_can_be_written", func(t *testing.T, b *bundle) {
			sent := object{
				"username":     "ada",
				"phone":        "+421 (900) 123-456",
				"gender":       "mrs",
				"address":      "Straße 1",
				"deadline":     "2027-01-02T03:04:05Z",
				"partner_data": object{"ref": "R-1"},
			}
			c := b.candidate(b.project(), sent)
			for field, want := range sent {
				require.Equal(t, want, c[field], field)
			}
			i := b.interview(c)
			require.Equal(t, "2027-01-02T03:04:05Z", i.DeadlineAt.UTC().Format(time.RFC3339))
			candidate, err := db.GetCandidate(b.Ctx, b, i.CandidateID)
			require.NoError(t, err)
			require.Equal(t, "+421900123456", *candidate.PhoneNumber, "in E.164 form")
			got := b.Do("PATCH", b.path(c), object{"phone": "030 12345", "address": nil, "partner_data": nil}).
				Is(http.StatusAccepted)
			require.Equal(
				t,
				[]any{"030 12345", "", object{}, "mrs"},
				[]any{got["phone"], got["address"], got["partner_data"], got["gender"]},
			)
			candidate, err = db.GetCandidate(b.Ctx, b, i.CandidateID)
			require.NoError(t, err)
			require.Nil(t, candidate.PhoneNumber, "a number without a country cannot be called")
		}},
		{"status_and_dates_follow_the_interview", func(t *testing.T, b *bundle) {
			c := b.candidate(b.project())
			i := b.interview(c)
			get := func() object { return b.Do("GET", b.path(c), nil).Is(http.StatusOK) }
			b.start(i)
			got := get()
			require.Equal(t, "confirmed", got["status"])
			require.Regexp(t, stampForm, got["confirmationdate"])
			require.Nil(t, got["interviewdate"])
			b.finish(i)
			got = get()
			require.Equal(t, "interviewed", got["status"])
			require.Regexp(t, stampForm, got["interviewdate"])
		}},
		{"other_statuses", func(t *testing.T, b *bundle) {
			p := b.project()
			for status, change := range map[string]string{
				"expired": "deadline_at = now() - interval '1 s'", "failed": "status = 'FAILED', status_reason = 'TECHNICAL_ERROR'",
				"canceled": "status = 'CANCELED'",
			} {
				c := b.candidate(p, object{"email": status + "@example.test"})
				_, err := b.ExecContext(b.Ctx, "UPDATE interviews SET "+change+" WHERE id = ?", b.interview(c).ID)
				require.NoError(t, err)
				require.Equal(t, status, b.Do("GET", b.path(c), nil).Is(http.StatusOK)["status"])
			}
			silent := b.project(object{"invite_candidates": false})
			c := b.candidate(silent, object{"deadline": "2027-01-02T03:04:05Z"})
			require.Equal(t, []any{"created", nil, nil, nil, "2027-01-02T03:04:05Z"},
				[]any{c["status"], c["invitationdate"], c["interview_key"], c["interview_suite_url"], c["deadline"]})
		}},
		{"evaluation_status_and_my_evaluation_status", func(t *testing.T, b *bundle) {
			b.user("eva", "recruiter")
			b.user("max", "recruiter")
			eva, max := b.logIn("eva"), b.logIn("max")
			c := b.candidate(
				b.project(
					object{
						"evaluators": []any{
							b.user("evaluator", "recruiter")["user"],
							last(b.path(b.Do("GET", b.at+"customers/?username=eva", nil).Is(http.StatusOK)["objects"].([]any)[0].(object))),
						},
					},
				),
			)
			states := func(token string) [2]any {
				got := b.As(token, "GET", b.path(c), nil).Is(http.StatusOK)
				return [2]any{got["evaluation_status"], got["my_evaluation_status"]}
			}
			require.Equal(t, [2]any{"pending", "pending"}, states(eva))
			require.Equal(t, [2]any{"pending", nil}, states(max))
			b.As(eva, "POST", b.path(c)+"ratings/", object{"value": 3}).Is(http.StatusCreated)
			require.Equal(t, [2]any{"partial", "completed"}, states(eva))
			require.Equal(t, [2]any{"partial", nil}, states(max))
			b.As(b.logIn("evaluator"), "POST", b.path(c)+"ratings/", object{"value": 3}).Is(http.StatusCreated)
			require.Equal(t, [2]any{"completed", nil}, states(b.Key))
		}},
		{"a_candidate_is_one_of_its_project", func(_ *testing.T, b *bundle) {
			c, other := b.candidate(b.project()), b.project()
			refused(
				b.Do(
					"GET",
					b.path(
						other,
					)+"candidates/"+strings.TrimPrefix(
						b.path(c),
						b.path(c)[:lastSlash(strings.TrimSuffix(b.path(c), "/"))+1],
					),
					nil,
				),
				http.StatusNotFound,
				notFound,
			)
		}},
	})
}

func TestInvitingFollowsTheProject(t *testing.T) {
	b := setup(t, func(o *api.Options) { o.Mails = true })
	p := b.project(object{"default_interview_period": 3, "max_interview_time": 45, "support_lang": "de"})
	i := b.interview(b.candidate(p))
	require.WithinDuration(t, time.Now().AddDate(0, 0, 3), *i.DeadlineAt, time.Minute)
	require.Equal(t, 45, i.MaxMinutes)
	require.True(t, i.InviteMail)
	agent, err := db.GetAgent(b.Ctx, b, i.AgentID)
	require.NoError(t, err)
	require.Equal(t, []any{"Receptionist", "DE", db.Online}, []any{agent.Name, agent.Language, agent.Type})
	second := b.interview(b.candidate(p, object{"email": "b@example.test"}))
	require.Equal(t, i.AgentID, second.AgentID)
}

func TestInvitingNeedsItsScope(t *testing.T) {
	b := setup(t)
	key, _ := b.NewKey(&b.Company, "write:candidates", "read:candidates")
	p, silent := b.project(), b.project(object{"invite_candidates": false})
	refused(b.As(key, "POST", b.path(p)+"candidates/", ada()), http.StatusForbidden, forbidden)
	b.As(key, "POST", b.path(silent)+"candidates/", ada()).Is(http.StatusCreated)
}

func TestTheSameAddressIsInvitedOnce(t *testing.T) {
	b := setup(t)
	p := b.project()
	var wg sync.WaitGroup
	statuses := make(chan int, 6)
	for range 6 {
		wg.Go(func() { statuses <- b.Do("POST", b.path(p)+"candidates/", ada()).Status })
	}
	wg.Wait()
	close(statuses)
	made := 0
	for s := range statuses {
		if s == http.StatusCreated {
			made++
			continue
		}
		require.Equal(t, http.StatusBadRequest, s)
	}
	require.Equal(t, 1, made)
	refusedField(b.Do("POST", b.path(p)+"candidates/", ada(object{"email": "ADA@example.test"})), "email",
		"A candidate with that e-mail address already exists in this project.")
	b.candidate(b.project())
}

// TestOnePersonOnThreeSurfacesAtOnce: the same address, invited at the same time through three APIs, is one candidate.
func TestOnePersonOnThreeSurfacesAtOnce(t *testing.T) {
	b := setup(t)
	const rounds = 4
	statuses := make(chan int, 3*rounds)
	post := func(path string, body object) {
		go func() { statuses <- b.Do("POST", path, body).Status }()
	}
	for range rounds {
		position := b.Do("POST", "/api/app/positions", object{"title": "Cook"}).Is(http.StatusCreated)["id"].(string)
		job := b.Do("GET", "/jobs/"+position, nil).Is(http.StatusOK)["data"].(object)
		project := b.path(b.project())
		post("/api/app/positions/"+position+"/candidates", object{"name": "Ada King", "email": "ada@example.test"})
		post(project+"candidates/", object{"first_name": "Ada", "last_name": "Byron", "email": "ADA@example.test"})
		post("/ai-interviews/invite", object{
			"candidate_name": "Ada Byron", "candidate_email": "Ada@example.test", "ai_interview_id": job["number"],
			"invite_format": "getlink",
		})
	}
	for range cap(statuses) {
		require.Contains(t, []int{http.StatusOK, http.StatusCreated}, <-statuses)
	}
	n, err := b.NewSelect().Table("candidates").Count(b.Ctx)
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
}

func TestDeadlineOfAnInvitationMoves(t *testing.T) {
	b := setup(t)
	c := b.candidate(b.project())
	i := b.interview(c)
	at := time.Now().UTC().Add(48 * time.Hour).Truncate(time.Second)
	got := b.Do("PATCH", b.path(c), object{"deadline": at}).Is(http.StatusAccepted)
	require.Equal(t, at.Format(time.RFC3339), got["deadline"])
	var signaled bool
	require.NoError(t, b.NewRaw("SELECT count(*) = 2 FROM commands WHERE subject_id = ?", i.ID).Scan(b.Ctx, &signaled))
	require.True(t, signaled, "its workflow is signaled")
	for _, bad := range []any{"2020-01-01T00:00:00Z", "2999-01-01T00:00:00Z", "soon", 5} {
		refusedField(b.Do("PATCH", b.path(c), object{"deadline": bad}), "deadline")
	}
	b.start(i)
	refusedField(b.Do("PATCH", b.path(c), object{"deadline": at.Add(time.Hour)}), "deadline",
		"The interview has begun or ended: its deadline cannot be moved.")
	b.Do("PATCH", b.path(c), object{"deadline": at, "last_name": "Lovelace"}).Is(http.StatusAccepted)
}

func TestDeleteRemovesTheCandidateFromThisProjectOnly(t *testing.T) {
	b := setup(t)
	p := b.project()
	c := b.candidate(p)
	i := b.interview(c)
	elsewhere := &db.Job{CompanyID: b.Company, Title: "Elsewhere"}
	b.Tx(func(tx bun.Tx) error {
		if err := db.CreateJob(b.Ctx, tx, elsewhere); err != nil {
			return err
		}
		return db.AddCandidateJobs(b.Ctx, tx, i.CandidateID, elsewhere.ID)
	})
	require.Equal(t, http.StatusNoContent, b.Do("DELETE", b.path(c), nil).Status)
	refused(b.Do("GET", b.path(c), nil), http.StatusNotFound, notFound)
	left, err := db.GetCandidate(b.Ctx, b, i.CandidateID)
	require.NoError(t, err)
	require.Equal(t, []uuid.UUID{elsewhere.ID}, left.JobIDs)
	require.Equal(t, db.InterviewCanceled, b.interview(c).Status)
}

func TestPatchWithoutChangeRecordsNoEvent(t *testing.T) {
	b := setup(t)
	p := b.project(object{"labels": []string{"x"}, "closedate": "2030-01-02"})
	silent := b.project(object{"invite_candidates": false})
	rows := []object{
		p, b.candidate(p, object{"phone": "+421 900 123 456", "partner_data": object{"b": 1, "a": []int{1}}}),
		b.candidate(silent, object{"deadline": "2027-01-02T03:04:05Z"}),
	}
	before := b.events()
	for _, row := range rows {
		require.Equal(t, row, b.Do("PATCH", b.path(row), row).Is(http.StatusAccepted))
		require.Equal(t, row, b.Do("PATCH", b.path(row), object{}).Is(http.StatusAccepted))
	}
	b.Do("POST", pathOf(t, p["status_update_uri"]), object{"status": "active"}).Is(http.StatusAccepted)
	require.Equal(t, before, b.events())
	got := b.Do("PATCH", b.path(rows[2]), object{"deadline": nil}).Is(http.StatusAccepted)
	require.Nil(t, got["deadline"])
	require.Len(t, b.events(), len(before)+1)
}

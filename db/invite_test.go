package db_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/db"
	"greenroom/db/catalog"
	"greenroom/db/pg"
)

// inviting is a job, and the invitations to it.
type inviting struct {
	*bundle
	job *db.Job
}

func setupInviting(t *testing.T) *inviting {
	b := setup(t)
	return &inviting{b, b.position("Engineer", db.JobOpen)}
}

func person(company uuid.UUID, name, email string) *db.Candidate {
	return &db.Candidate{CompanyID: company, FirstName: name, LastName: "Byron", Email: &email}
}

func newInterview() *db.Interview {
	deadline := time.Now().UTC().Add(time.Hour).Truncate(time.Microsecond)
	return &db.Interview{
		ID: pg.NewID(), ScheduledAt: time.Now().UTC(), DeadlineAt: &deadline, MaxMinutes: 30, InviteMail: true,
		Metadata: json.RawMessage("{}"),
	}
}

// params invite an address to the job.
func (b *inviting) params(email string, change ...func(*db.InviteParams)) db.InviteParams {
	p := db.InviteParams{Job: b.job, Candidate: person(b.company, "Ada", email), Interview: newInterview()}
	for _, c := range change {
		c(&p)
	}
	return p
}

func (b *inviting) try(p db.InviteParams) (out *db.Invitation, err error) {
	err = pg.InTx(b.ctx, b, func(ctx context.Context, tx bun.Tx) (err error) {
		if p.Job != nil {
			if p.Job, err = db.LockJob(ctx, tx, p.Job.ID); err != nil {
				return err
			}
		}
		out, err = db.Invite(ctx, tx, p)
		return err
	})
	return out, err
}

func (b *inviting) invite(email string, change ...func(*db.InviteParams)) *db.Invitation {
	b.t.Helper()
	out, err := b.try(b.params(email, change...))
	require.NoError(b.t, err)
	return out
}

func (b *inviting) count(table string) (n int) {
	b.t.Helper()
	require.NoError(b.t, b.NewRaw("SELECT count(*) FROM ?", bun.Ident(table)).Scan(b.ctx, &n))
	return n
}

// What a caller changes of the ordinary invitation.
func onlyAdd(p *db.InviteParams)     { p.Interview = nil }
func keepOpen(p *db.InviteParams)    { p.KeepOpen = true }
func inProject(p *db.InviteParams)   { p.Match = db.MatchEmailInProject }
func alwaysNew(p *db.InviteParams)   { p.Match = db.MatchNone }
func suiteFields(p *db.InviteParams) { p.Candidate.Suite = json.RawMessage(`{"gender":"mrs"}`) }
func forJob(job *db.Job) func(*db.InviteParams) {
	return func(p *db.InviteParams) { p.Job = job }
}

func by(agent *db.Agent) func(*db.InviteParams) {
	return func(p *db.InviteParams) { p.Agent = agent }
}

// TestInvite holds what the four surfaces ask of one operation.
func TestInvite(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name  string
		check func(t *testing.T, b *inviting)
	}{
		{"creates_candidate_agent_and_interview", func(t *testing.T, b *inviting) {
			got := b.invite("ada@mail.test")
			require.Equal(t, []bool{false, true, true}, []bool{got.Existing, got.Joined, got.Invited})
			i, err := db.GetInterview(b.ctx, b, pg.Scope{}, got.Interview.ID)
			require.NoError(t, err)
			job, err := db.GetJob(b.ctx, b, b.job.ID)
			require.NoError(t, err)
			require.Equal(t, got.Candidate.ID, i.CandidateID)
			require.Equal(t, b.job.ID, *i.JobID)
			require.Equal(t, *job.AgentID, i.AgentID)
			require.Equal(t, db.Online, i.Type)
			require.True(t, i.InviteMail)
			require.NotNil(t, i.DeadlineAt)
			require.Equal(t, []string{catalog.JobCreated, catalog.InterviewScheduled, catalog.CandidateInvited}, b.events())
		}},
		{"only_adds", func(t *testing.T, b *inviting) {
			got := b.invite("ada@mail.test", onlyAdd)
			require.Nil(t, got.Interview)
			require.Equal(t, []bool{false, true, false}, []bool{got.Existing, got.Joined, got.Invited})
			require.Equal(t, []string{catalog.JobCreated, catalog.CandidateCreated}, b.events())
			require.Zero(t, b.count("agents"))
		}},
		{"matches_the_address_in_any_case_and_keeps_the_name", func(t *testing.T, b *inviting) {
			first := b.invite("ada@mail.test")
			got := b.invite("ADA@Mail.Test", func(p *db.InviteParams) { p.Candidate.FirstName = "Augusta" })
			require.Equal(t, first.Candidate.ID, got.Candidate.ID)
			require.Equal(t, "Ada", got.Candidate.FirstName)
			require.Equal(t, []bool{true, false, true}, []bool{got.Existing, got.Joined, got.Invited})
			require.NotEqual(t, first.Interview.ID, got.Interview.ID, "one more invitation each time")
			require.Equal(t, 1, b.count("agents"))
		}},
		{"joins_another_job", func(t *testing.T, b *inviting) {
			first := b.invite("ada@mail.test")
			before, cook := b.events(), b.position("Cook", db.JobOpen)
			got := b.invite("ada@mail.test", forJob(cook), onlyAdd)
			require.Equal(t, first.Candidate.ID, got.Candidate.ID)
			require.Equal(t, []bool{true, true, false}, []bool{got.Existing, got.Joined, got.Invited})
			require.Nil(t, got.Interview, "the interview for the other job does not count")
			require.Equal(t, append(before, catalog.JobCreated, catalog.CandidateUpdated), b.events())
			b.invite("ada@mail.test", forJob(cook), onlyAdd)
			require.Len(t, b.events(), len(before)+2, "the candidate has the job")
		}},
		{"keeps_an_open_invitation", func(t *testing.T, b *inviting) {
			first := b.invite("ada@mail.test", keepOpen)
			got := b.invite("ada@mail.test", keepOpen)
			require.Equal(t, first.Interview.ID, got.Interview.ID)
			require.False(t, got.Invited)
			b.exec("UPDATE interviews SET deadline_at = now() - interval '1 s'")
			got = b.invite("ada@mail.test", keepOpen)
			require.True(t, got.Invited)
			require.NotEqual(t, first.Interview.ID, got.Interview.ID)
		}},
		{"another_company_has_its_own", func(t *testing.T, b *inviting) {
			first := b.invite("ada@mail.test")
			other := &db.Company{Name: "Other"}
			require.NoError(t, db.CreateCompany(b.ctx, b, other))
			theirs := &db.Job{CompanyID: other.ID, Title: "Cook"}
			b.tx(func(tx bun.Tx) error { return db.CreateJob(b.ctx, tx, theirs) })
			got := b.invite("ada@mail.test", forJob(theirs), func(p *db.InviteParams) { p.Candidate.CompanyID = other.ID })
			require.NotEqual(t, first.Candidate.ID, got.Candidate.ID)
		}},
		{"a_project_has_an_address_once", func(t *testing.T, b *inviting) {
			b.invite("ada@mail.test", inProject)
			_, err := b.try(b.params("ADA@mail.test", inProject))
			require.ErrorIs(t, err, db.ErrInJob)
		}},
		{"a_project_adds_its_fields_to_a_candidate_without", func(t *testing.T, b *inviting) {
			first := b.invite("ada@mail.test")
			cook, phone := b.position("Cook", db.JobOpen), "+421900123456"
			withPhone := func(p *db.InviteParams) { p.Candidate.PhoneNumber = &phone }
			got := b.invite("ada@mail.test", forJob(cook), inProject, suiteFields, withPhone)
			require.Equal(t, first.Candidate.ID, got.Candidate.ID)
			row, err := db.GetCandidate(b.ctx, b, first.Candidate.ID)
			require.NoError(t, err)
			require.JSONEq(t, `{"gender":"mrs"}`, string(row.Suite))
			require.Equal(t, phone, *row.PhoneNumber)
		}},
		{"a_project_announces_a_candidate_that_joins_without_an_invitation", func(t *testing.T, b *inviting) {
			b.invite("ada@mail.test")
			b.invite("ada@mail.test", forJob(b.position("Cook", db.JobOpen)), inProject, onlyAdd)
			events := b.events()
			require.Equal(t, catalog.CandidateUpdated, events[len(events)-1])
		}},
		{"projects_do_not_share_their_fields", func(t *testing.T, b *inviting) {
			first := b.invite("ada@mail.test", inProject, suiteFields)
			got := b.invite("ada@mail.test", forJob(b.position("Cook", db.JobOpen)), inProject, suiteFields)
			require.NotEqual(t, first.Candidate.ID, got.Candidate.ID)
			again := b.invite("ada@mail.test", forJob(b.position("Waiter", db.JobOpen)))
			require.Equal(t, first.Candidate.ID, again.Candidate.ID, "the address still stands for the first")
		}},
		{"an_inline_candidate_is_always_new", func(t *testing.T, b *inviting) {
			first := b.invite("ada@mail.test")
			got := b.invite("ada@mail.test", alwaysNew, by(b.agent(db.Online)))
			require.NotEqual(t, first.Candidate.ID, got.Candidate.ID)
			again := b.invite("ada@mail.test")
			require.Equal(t, first.Candidate.ID, again.Candidate.ID, "the address still stands for the first")
		}},
		{"a_candidate_named_by_id_joins", func(t *testing.T, b *inviting) {
			c := b.candidate("Ada", "Byron", "ada@mail.test")
			got := b.invite("", by(b.agent(db.Online)), func(p *db.InviteParams) { p.Candidate = c })
			require.Equal(t, c.ID, got.Interview.CandidateID)
			row, err := db.GetCandidate(b.ctx, b, c.ID)
			require.NoError(t, err)
			require.Equal(t, []uuid.UUID{b.job.ID}, row.JobIDs)
		}},
		{"a_call_to_a_known_candidate_changes_it", func(t *testing.T, b *inviting) {
			c := b.candidate("Ada", "Byron", "ada@mail.test")
			before := b.events()
			b.invite("", by(b.agent(db.Phone)), func(p *db.InviteParams) { p.Candidate = c })
			require.Equal(t, append(before, catalog.InterviewScheduled, catalog.CandidateUpdated), b.events())
		}},
		{"without_a_job", func(t *testing.T, b *inviting) {
			got := b.invite("ada@mail.test", forJob(nil), alwaysNew, by(b.agent(db.Online)))
			require.Nil(t, got.Interview.JobID)
			require.False(t, got.Joined)
		}},
		{"by_telephone_has_neither_deadline_nor_mail", func(t *testing.T, b *inviting) {
			got := b.invite("ada@mail.test", alwaysNew, by(b.agent(db.Phone)))
			require.Equal(t, db.Phone, got.Interview.Type)
			require.Nil(t, got.Interview.DeadlineAt)
			require.False(t, got.Interview.InviteMail)
			require.Contains(t, b.events(), catalog.CandidateCreated)
			require.NotContains(t, b.events(), catalog.CandidateInvited)
		}},
		{"without_an_address_has_no_mail", func(t *testing.T, b *inviting) {
			got := b.invite("", alwaysNew, by(b.agent(db.Online)), func(p *db.InviteParams) { p.Candidate.Email = nil })
			require.False(t, got.Interview.InviteMail)
		}},
		{"sets_up_the_job's_agent", func(t *testing.T, b *inviting) {
			got := b.invite("ada@mail.test", func(p *db.InviteParams) {
				p.SetUpAgent = func(ctx context.Context, tx bun.Tx, a *db.Agent) error {
					a.Language = "DE"
					return db.UpdateAgent(ctx, tx, a, "language")
				}
			})
			agent, err := db.GetAgent(b.ctx, b, got.Interview.AgentID)
			require.NoError(t, err)
			require.Equal(t, "DE", agent.Language)
		}},
		{"a_deleted_job_takes_no_candidate", func(t *testing.T, b *inviting) {
			require.NoError(t, db.DeleteJob(b.ctx, b, b.job.ID))
			_, err := b.try(b.params("ada@mail.test"))
			require.ErrorIs(t, err, pg.ErrNotFound)
			require.Zero(t, b.count("candidates"))
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			row.check(t, setupInviting(t))
		})
	}
}

// TestEmailIdentity: which candidate an address stands for.
func TestEmailIdentity(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name  string
		check func(t *testing.T, b *inviting)
	}{
		{"of_duplicates_that_exist_the_newest_is_chosen_and_kept", func(t *testing.T, b *inviting) {
			b.candidate("Old", "One", "ada@mail.test")
			newest := b.candidate("New", "One", "Ada@Mail.test")
			require.Equal(t, newest.ID, b.invite("ada@mail.test").Candidate.ID)
			b.candidate("Newer", "One", "ada@mail.test")
			require.Equal(t, newest.ID, b.invite("ada@mail.test").Candidate.ID)
		}},
		{"a_deleted_candidate_gives_it_up", func(t *testing.T, b *inviting) {
			first := b.invite("ada@mail.test")
			b.tx(func(tx bun.Tx) error { return db.DeleteCandidate(b.ctx, tx, first.Candidate.ID) })
			require.False(t, b.invite("ada@mail.test").Existing)
		}},
		{"a_changed_address_gives_it_up", func(t *testing.T, b *inviting) {
			first := b.invite("ada@mail.test")
			moved := "byron@mail.test"
			first.Candidate.Email = &moved
			b.tx(func(tx bun.Tx) error { return db.UpdateCandidate(b.ctx, tx, first.Candidate, "email") })
			second := b.invite("ada@mail.test")
			require.False(t, second.Existing)
			require.Equal(t, first.Candidate.ID, b.invite("byron@mail.test").Candidate.ID)
			require.Equal(t, second.Candidate.ID, b.invite("ada@mail.test").Candidate.ID)
		}},
		{"two_candidates_may_swap_addresses", func(t *testing.T, b *inviting) {
			ada, eve := b.invite("ada@mail.test").Candidate, b.invite("eve@mail.test").Candidate
			ada.Email, eve.Email = eve.Email, ada.Email
			b.tx(func(tx bun.Tx) error { return db.UpdateCandidate(b.ctx, tx, ada, "email") })
			b.tx(func(tx bun.Tx) error { return db.UpdateCandidate(b.ctx, tx, eve, "email") })
			require.Equal(t, ada.ID, b.invite("eve@mail.test").Candidate.ID)
			require.Equal(t, eve.ID, b.invite("ada@mail.test").Candidate.ID)
		}},
		{"PostgreSQL_refuses_a_second_holder", func(t *testing.T, b *inviting) {
			b.invite("ada@mail.test")
			second := b.candidate("Ada", "Byron", "ada@mail.test")
			_, err := b.ExecContext(b.ctx, "UPDATE candidates SET email_identity = 'ada@mail.test' WHERE id = ?", second.ID)
			require.ErrorIs(t, pg.Translate(err), pg.ErrDuplicate)
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			row.check(t, setupInviting(t))
		})
	}
}

// TestInviteAtOnce: concurrent invitations of the same address, by all rules and to several jobs, are of one candidate.
func TestInviteAtOnce(t *testing.T) {
	t.Parallel()
	b := setupInviting(t)
	rules := []func(*db.InviteParams){keepOpen, inProject, func(*db.InviteParams) {}}
	const callers = 12
	errs := make(chan error, callers)
	for i := range callers {
		p := b.params("ada@mail.test", rules[i%len(rules)], forJob(b.position(fmt.Sprint(i), db.JobOpen)))
		*p.Candidate.Email = strings.Replace(*p.Candidate.Email, "a", []string{"a", "A"}[i%2], 1)
		go func() { _, err := b.try(p); errs <- err }()
	}
	for range callers {
		require.NoError(t, <-errs)
	}
	require.Equal(t, 1, b.count("candidates"))
	require.Equal(t, callers, b.count("interviews"))
}

func TestTakeInvite(t *testing.T) {
	t.Parallel()
	b := setup(t)
	take := func() error {
		return pg.InTx(b.ctx, b, func(ctx context.Context, tx bun.Tx) error { return db.TakeInvite(ctx, tx, b.company) })
	}
	left := func() *int {
		c, err := db.GetCompany(b.ctx, b, b.company)
		require.NoError(t, err)
		return c.InvitesLeft
	}
	require.NoError(t, take())
	require.Nil(t, left(), "no limit stays no limit")

	_, err := b.ExecContext(b.ctx, "UPDATE companies SET invites_left = 3")
	require.NoError(t, err)
	const callers = 8
	errs := make(chan error)
	for range callers {
		go func() { errs <- take() }()
	}
	refused := 0
	for range callers {
		if err := <-errs; err != nil {
			require.ErrorIs(t, err, db.ErrExhausted)
			refused++
		}
	}
	require.Equal(t, callers-3, refused)
	require.Equal(t, 0, *left(), "a refused one takes none")
}

func TestCandidateByEmail(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.candidate("Old", "One", "ada@mail.test")
	newest := b.candidate("New", "One", "Ada@Mail.test")
	found, err := db.CandidateByEmail(b.ctx, b, b.company, "ADA@mail.TEST")
	require.NoError(t, err)
	require.Equal(t, newest.ID, found.ID)
	_, err = db.CandidateByEmail(b.ctx, b, pg.NewID(), "ada@mail.test")
	require.ErrorIs(t, err, pg.ErrNotFound, "another company's")
}

package db

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/catalog"
	"greenroom/db/pg"
)

var (
	// ErrExhausted means that the company has no invitations left.
	ErrExhausted = errors.New("invites exhausted")
	// ErrInJob means that the job already has a candidate with that e-mail address.
	ErrInJob = errors.New("candidate is in the job already")
)

// CandidateMatch decides which candidate a person without an id is. E-mail addresses are compared in lower case, as
// the database folds them.
type CandidateMatch int

const (
	// MatchEmail uses the company's candidate with that address, unchanged, and creates one when there is none.
	MatchEmail CandidateMatch = iota
	// MatchEmailInProject is for contracts that keep fields of their own with each candidate of a project
	// (Candidate.Suite). ErrInJob refuses an address that the job has. A candidate without such fields is matched as
	// with MatchEmail and gets them; one that has them from another project is not shared, so that no project
	// overwrites another's fields: a second row is created.
	MatchEmailInProject
	// MatchNone always creates a candidate.
	MatchNone
)

// InviteParams describe one invitation.
type InviteParams struct {
	// Job is the job that the candidate joins. Nil: none, which needs an Agent, and a Candidate with an ID or MatchNone.
	// With a nil Agent the caller must have locked it by LockJob.
	Job *Job
	// Candidate is the person: with an ID that candidate, otherwise what Match finds or creates.
	Candidate *Candidate
	Match     CandidateMatch
	// Agent holds the interview. Nil: the job's own agent, which EnsureJobAgent returns and SetUpAgent, unless nil, may
	// change.
	Agent      *Agent
	SetUpAgent func(context.Context, bun.Tx, *Agent) error
	// Interview holds the new interview's id, times, limits and client fields; Invite sets the rest. DeadlineAt and
	// InviteMail only apply to an ONLINE interview, and InviteMail to a candidate with an e-mail address. Nil: the
	// candidate joins the job without an interview.
	Interview *Interview
	// KeepOpen returns the candidate's newest interview for the job, when its invitation is open, instead of a second
	// one.
	KeepOpen bool
}

// Invitation is the outcome of Invite.
type Invitation struct {
	Candidate *Candidate
	// Interview is the one that was created. When none was, it is the matched candidate's newest for the job, or nil.
	Interview *Interview
	// Existing: the candidate existed before.
	Existing bool
	// Joined: the candidate is new to the job.
	Joined bool
	// Invited: Interview was created by this call.
	Invited bool
}

// Invite finds or creates the candidate, adds it to the job, ensures the job's agent and creates the interview, with
// the events of each. It does not check the job's status, scopes or quotas.
//
// Invitations of the same address in the same company run one after the other, until tx ends. Locks are taken in the
// order company (TakeInvite), job (LockJob), address, candidate. A candidate that is deleted while it is invited is
// ErrConflict when it was matched by address, and ErrNotFound when it was named by id.
func Invite(ctx context.Context, tx bun.Tx, p InviteParams) (*Invitation, error) {
	out, err := p.candidate(ctx, tx)
	if err != nil {
		return nil, err
	}
	if p.Interview == nil || p.KeepOpen && out.Interview != nil && out.Interview.InvitationOpen(time.Now()) {
		return out, nil
	}
	agent, err := p.agent(ctx, tx)
	if err != nil {
		return nil, err
	}
	i := p.Interview
	i.CompanyID, i.CandidateID, i.AgentID, i.Type = out.Candidate.CompanyID, out.Candidate.ID, agent.ID, agent.Type
	if p.Job != nil {
		i.JobID = &p.Job.ID
	}
	if i.Type != Online {
		i.DeadlineAt = nil
	}
	i.InviteMail = i.InviteMail && i.Type == Online && out.Candidate.Email != nil
	out.Interview, out.Invited = i, true
	if err := CreateInterview(ctx, tx, i); err != nil || i.Type == Online || !out.Existing {
		return out, err
	}
	return out, recordInterviewOf(ctx, tx, i) // of a call there is no candidate.invited
}

func (p *InviteParams) agent(ctx context.Context, tx bun.Tx) (*Agent, error) {
	if p.Agent != nil {
		return p.Agent, nil
	}
	agent, err := EnsureJobAgent(ctx, tx, p.Job)
	if err != nil || p.SetUpAgent == nil {
		return agent, err
	}
	return agent, p.SetUpAgent(ctx, tx, agent)
}

// candidate finds or creates the candidate and adds it to the job.
func (p *InviteParams) candidate(ctx context.Context, tx bun.Tx) (*Invitation, error) {
	switch {
	case p.Candidate.ID != uuid.Nil:
		out := &Invitation{Candidate: p.Candidate, Existing: true}
		if p.Job == nil {
			return out, nil
		}
		return out, AddCandidateJobs(ctx, tx, p.Candidate.ID, p.Job.ID)
	case p.Match == MatchNone || p.Candidate.Email == nil:
		return p.create(ctx, tx)
	}
	if err := lockEmail(ctx, tx, p.Candidate.CompanyID, *p.Candidate.Email); err != nil {
		return nil, err
	}
	known, err := p.match(ctx, tx)
	if err != nil {
		return nil, err
	}
	if known == nil {
		out, err := p.create(ctx, tx)
		if err != nil {
			return nil, err
		}
		return out, claimEmail(ctx, tx, out.Candidate)
	}
	return p.join(ctx, tx, known)
}

// match returns the known candidate to use; nil: there is none.
func (p *InviteParams) match(ctx context.Context, tx bun.Tx) (*Candidate, error) {
	email := *p.Candidate.Email
	if p.Match == MatchEmailInProject {
		there, err := hasCandidate(ctx, tx, p.Job.ID, email)
		if err != nil {
			return nil, err
		}
		if there {
			return nil, ErrInJob
		}
	}
	known, err := CandidateByEmail(ctx, tx, p.Candidate.CompanyID, email)
	if errors.Is(err, pg.ErrNotFound) || err == nil && p.Match == MatchEmailInProject && known.hasSuiteFields() {
		return nil, nil //nolint:nilnil // no match is an ordinary answer
	}
	return known, err
}

func (p *InviteParams) create(ctx context.Context, tx bun.Tx) (*Invitation, error) {
	out := &Invitation{Candidate: p.Candidate, Joined: p.Job != nil}
	if p.Job != nil {
		p.Candidate.JobIDs = []uuid.UUID{p.Job.ID}
	}
	invited := p.Interview != nil && (p.Agent == nil || p.Agent.Type == Online)
	return out, CreateCandidate(ctx, tx, p.Candidate, invited)
}

func (p *InviteParams) join(ctx context.Context, tx bun.Tx, known *Candidate) (*Invitation, error) {
	out := &Invitation{Candidate: known, Existing: true}
	var err error
	if out.Joined, err = JoinJob(ctx, tx, p.Job.ID, known.ID); err != nil {
		return nil, err
	}
	if !known.HoldsEmail {
		if err := claimEmail(ctx, tx, known); err != nil {
			return nil, err
		}
	}
	if p.Match == MatchEmailInProject {
		return out, p.addSuiteFields(ctx, tx, known)
	}
	if out.Joined && p.Interview == nil {
		if err := p.recordJoined(ctx, tx, known); err != nil {
			return nil, err
		}
	}
	newest, err := NewestInterviews(ctx, tx, p.Job.ID, []Candidate{*known})
	out.Interview = newest[known.ID]
	return out, err
}

// recordJoined records that a known candidate is in another job, when no invitation reports it.
func (p *InviteParams) recordJoined(ctx context.Context, tx bun.Tx, known *Candidate) error {
	c, err := GetCandidate(ctx, tx, known.ID)
	if err != nil {
		return err
	}
	c.Through = &p.Job.ID
	return recordCandidate(ctx, tx, c, catalog.CandidateUpdated, nil)
}

// addSuiteFields stores the suite's fields with a candidate that another contract created, and the telephone number
// when it has none. Without an invitation its event candidate.updated is the only one about joining the project.
func (p *InviteParams) addSuiteFields(ctx context.Context, tx bun.Tx, known *Candidate) error {
	if p.Interview != nil && !p.Candidate.hasSuiteFields() {
		return nil
	}
	c, err := GetCandidate(ctx, tx, known.ID)
	if err != nil {
		return err
	}
	*known = *c
	known.Suite, known.Through = p.Candidate.Suite, &p.Job.ID
	columns := []string{"suite"}
	if known.PhoneNumber == nil && p.Candidate.PhoneNumber != nil {
		known.PhoneNumber, columns = p.Candidate.PhoneNumber, append(columns, "phone_number")
	}
	return UpdateCandidate(ctx, tx, known, columns...)
}

func (c *Candidate) hasSuiteFields() bool { return string(emptyObject(c.Suite)) != "{}" }

// InvitationOpen reports whether the candidate can still start the ONLINE interview, or is in it.
func (i *Interview) InvitationOpen(at time.Time) bool {
	if i.Type != Online {
		return false
	}
	return i.Status == InterviewInProgress ||
		i.Status == InterviewScheduled && (i.DeadlineAt == nil || at.Before(*i.DeadlineAt))
}

// TakeInvite takes one of a company's invitations when their number is limited; ErrExhausted when none is left. It
// locks the company's row until tx ends, so that concurrent callers cannot take the last invitation twice.
func TakeInvite(ctx context.Context, tx bun.Tx, company uuid.UUID) error {
	if err := LockCompany(ctx, tx, company); err != nil {
		return err
	}
	var left *int
	if err := tx.NewRaw("SELECT invites_left FROM companies WHERE id = ?", company).Scan(ctx, &left); err != nil {
		return fmt.Errorf("take invite: %w", pg.Translate(err))
	}
	switch {
	case left == nil:
		return nil
	case *left <= 0:
		return ErrExhausted
	}
	_, err := tx.ExecContext(ctx, "UPDATE companies SET invites_left = invites_left - 1 WHERE id = ?", company)
	if err != nil {
		return fmt.Errorf("take invite: %w", err)
	}
	return nil
}

// MoveDeadline changes the deadline of an interview that has not started; otherwise it is a StateError. It records no
// event.
func MoveDeadline(ctx context.Context, tx bun.Tx, interview uuid.UUID, at time.Time) error {
	_, err := transition(ctx, tx, interview, []InterviewStatus{InterviewScheduled}, "deadline_at = ?", at)
	if err != nil {
		return fmt.Errorf("move deadline: %w", err)
	}
	return nil
}

// hasCandidate reports whether a job has a candidate with that e-mail address, in any case.
func hasCandidate(ctx context.Context, db bun.IDB, job uuid.UUID, email string) (bool, error) {
	var there bool
	err := db.NewRaw(`SELECT EXISTS (SELECT 1 FROM candidate_jobs cj JOIN candidates c ON c.id = cj.candidate_id
		WHERE cj.job_id = ? AND lower(c.email) = lower(?) AND c.deleted_at IS NULL)`, job, email).Scan(ctx, &there)
	if err != nil {
		return false, fmt.Errorf("look for candidate: %w", err)
	}
	return there, nil
}

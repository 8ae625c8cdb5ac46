package db_test

import (
	"encoding/json"
	"fmt"
	"slices"
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

// sourcing creates a request for up to limit candidates.
func (b *bundle) sourcing(limit int) *db.ServiceRun {
	b.t.Helper()
	r := &db.ServiceRun{
		CompanyID: b.company, Kind: db.RunSourcing,
		Request: db.RunRequest{Title: "Engineer", JobDescription: "Builds", Limit: limit},
	}
	b.tx(func(tx bun.Tx) error { return db.CreateRun(b.ctx, tx, r, time.Minute) })
	return r
}

// sourced stores a completed sourcing of one person.
func (b *bundle) sourced(profileID, name, email string) *db.ServiceRun {
	b.t.Helper()
	r := b.sourcing(1)
	b.found(r, 1, &db.SourcedCandidate{ProfileID: profileID, Name: name, Skills: []string{}, Emails: []string{email}})
	return r
}

func (b *bundle) found(r *db.ServiceRun, pass int, cs ...*db.SourcedCandidate) {
	b.t.Helper()
	found := &db.Sourced{FoundCount: 42, ScoredCount: len(cs), Candidates: cs}
	b.tx(func(tx bun.Tx) error { return db.CompleteSourcing(b.ctx, tx, r.ID, pass, found) })
}

func (b *bundle) run(r *db.ServiceRun) *db.ServiceRun {
	b.t.Helper()
	got, err := db.GetRun(b.ctx, b, r.ID)
	require.NoError(b.t, err)
	return got
}

// lastEvent returns the data of the newest event of a type.
func (b *bundle) eventOf(eventType string) (data map[string]any) {
	b.t.Helper()
	var raw string
	require.NoError(b.t, b.NewRaw("SELECT data FROM events WHERE type = ? ORDER BY id DESC LIMIT 1", eventType).
		Scan(b.ctx, &raw))
	require.NoError(b.t, json.Unmarshal([]byte(raw), &data))
	return data
}

func candidate(id string, score int) *db.SourcedCandidate {
	return &db.SourcedCandidate{ProfileID: id, Name: "N " + id, MatchScore: &score, Skills: []string{}}
}

func TestSourcingRun(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := b.sourcing(2)
	require.Equal(t, 1, b.count("SELECT count(*) FROM commands WHERE kind = ? AND subject_id = ?", db.RunChanged, r.ID))
	b.found(r, 1, candidate("a", 50), candidate("b", 90), candidate("c", 10))
	got := b.run(r)
	require.Equal(t, db.RunCompleted, got.Status)
	require.NotNil(t, got.CompletedAt)
	profiles, err := db.ProfilesOf(b.ctx, b, r.ID)
	require.NoError(t, err)
	require.Len(t, profiles, 2, "never more than asked for")
	require.Equal(t, "b", profiles[0].ProfileID, "the best match comes first")
	event := b.eventOf(catalog.SourcingCompleted)
	require.Equal(t, "req_"+r.ID.String(), event["requestId"])
	require.EqualValues(t, 2, event["candidatesCount"])
	require.EqualValues(t, 42, event["foundCount"])

	var state *pg.StateError
	err = b.try(func(tx bun.Tx) error { return db.EndRun(b.ctx, tx, r.ID, 1, db.RunTimedOut, "late") })
	require.ErrorAs(t, err, &state, "an ended run does not change")
	b.tx(func(tx bun.Tx) error {
		_, err := db.RefineSourcing(b.ctx, tx, r.ID, "with Go", 5, time.Minute)
		return err
	})
	err = b.try(func(tx bun.Tx) error {
		_, err := db.RefineSourcing(b.ctx, tx, r.ID, "again", 5, time.Minute)
		return err
	})
	require.ErrorAs(t, err, &state, "one pass at a time")
	err = b.try(func(tx bun.Tx) error { return db.CompleteSourcing(b.ctx, tx, r.ID, 1, &db.Sourced{}) })
	require.ErrorAs(t, err, &state, "a late result of the first pass")
	b.found(r, 2, candidate("b", 95), candidate("d", 70))
	got = b.run(r)
	require.Equal(t, "with Go", got.Request.Query)
	require.Equal(t, 5, got.Result.Scored, "of both passes")
	require.EqualValues(t, 3, b.eventOf(catalog.SourcingCompleted)["candidatesCount"], "b was known")
	require.Equal(t, int64(3), usageOf(t, b)[db.UsageSourcing].Events)
}

// TestRunEndsWithItsEvent: neither is there without the other.
func TestRunEndsWithItsEvent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := b.sourcing(1)
	failed := b.sourcing(1)
	b.tx(func(tx bun.Tx) error { return db.EndRun(b.ctx, tx, failed.ID, 1, db.RunRefused, "no such place") })
	event := b.eventOf(catalog.SourcingFailed)
	require.Equal(t, db.RunRefused, event["errorCode"])
	require.Equal(t, "no such place", event["errorMessage"])
	require.NotContains(t, event, "candidatesCount")
	b.refuseEvents()
	require.Error(t, b.try(func(tx bun.Tx) error {
		return db.CompleteSourcing(b.ctx, tx, r.ID, 1, &db.Sourced{Candidates: []*db.SourcedCandidate{candidate("a", 1)}})
	}))
	require.Equal(t, db.RunProcessing, b.run(r).Status)
	require.Zero(t, b.count("SELECT count(*) FROM sourced_profiles"))
	require.Empty(t, usageOf(t, b))
}

func TestEnrichmentRun(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := &db.ServiceRun{
		CompanyID: b.company, Kind: db.RunEnrichment, Request: db.RunRequest{ProfileIDs: []string{"a", "b", "c"}},
	}
	b.tx(func(tx bun.Tx) error { return db.CreateRun(b.ctx, tx, r, time.Minute) })
	results := []db.Enriched{
		{ProfileID: "a", Candidate: candidate("a", 1)},
		{ProfileID: "b", ErrorCode: "TIMEOUT", ErrorMessage: "slow"},
		{ProfileID: "stranger", Candidate: candidate("stranger", 1)},
	}
	b.tx(func(tx bun.Tx) error { return db.CompleteEnrichment(b.ctx, tx, r.ID, 1, results) })
	profiles, err := db.ProfilesOf(b.ctx, b, r.ID)
	require.NoError(t, err)
	require.Len(t, profiles, 3, "those that were asked for, and no others")
	codes := map[string]string{}
	for _, p := range profiles {
		if p.ErrorCode != nil {
			codes[p.ProfileID] = *p.ErrorCode
		}
	}
	require.Equal(t, map[string]string{"b": "TIMEOUT", "c": db.EnrichmentFailed}, codes)
	event := b.eventOf(catalog.EnrichCompleted)
	require.Equal(t, "enr_"+r.ID.String(), event["requestId"])
	require.EqualValues(t, 1, event["enrichedCount"])
	require.EqualValues(t, 2, event["failureCount"])
	require.Equal(t, int64(1), usageOf(t, b)[db.UsageEnrichment].Events)
}

func TestMostSourced(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := b.sourcing(100)
	for pass := 1; ; pass++ {
		var cs []*db.SourcedCandidate
		for n := range 100 {
			cs = append(cs, candidate(fmt.Sprintf("%d-%d", pass, n), 1))
		}
		b.found(r, pass, cs...)
		if pass == 5 {
			break
		}
		b.tx(func(tx bun.Tx) error {
			_, err := db.RefineSourcing(b.ctx, tx, r.ID, "", 100, time.Minute)
			return err
		})
	}
	var state *pg.StateError
	require.ErrorAs(t, b.try(func(tx bun.Tx) error {
		_, err := db.RefineSourcing(b.ctx, tx, r.ID, "", 1, time.Minute)
		return err
	}), &state)
	n, err := db.CountProfiles(b.ctx, b, r.ID)
	require.NoError(t, err)
	require.Equal(t, db.MostSourced, n)
}

func TestDropRunsAndProfiles(t *testing.T) {
	t.Parallel()
	b := setup(t)
	old, recent := b.sourced("old", "O", "o@x.example"), b.sourced("new", "N", "n@x.example")
	b.exec("UPDATE service_runs SET updated_at = now() - interval '31 days' WHERE id = ?", old.ID)
	n, err := db.DropRuns(b.ctx, b, time.Now().AddDate(0, 0, -30), 100)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.NotContains(t, b.dump(), "o@x.example")
	require.Equal(t, db.RunCompleted, b.run(recent).Status)
	require.Equal(t, int64(2), usageOf(t, b)[db.UsageSourcing].Events, "usage is kept")
	deleted, err := db.DeleteProfile(b.ctx, b, b.company, "new")
	require.NoError(t, err)
	require.Equal(t, 1, deleted)
	require.NotContains(t, b.dump(), "n@x.example")
}

func TestFindProfiles(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.sourced("p", "First", "1@x.example")
	b.sourced("p", "Second", "2@x.example")
	other := pg.NewID()
	b.exec("INSERT INTO companies (id, name) VALUES (?, 'Other')", other)
	found, err := db.FindProfiles(b.ctx, b.DB, b.company, []string{"p", "unknown"})
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.Equal(t, "Second", found["p"].Name)
	found, err = db.FindProfiles(b.ctx, b.DB, other, []string{"p"})
	require.NoError(t, err)
	require.Empty(t, found, "another company has sourced nobody")
}

func usageOf(t *testing.T, b *bundle) map[string]db.Usage {
	t.Helper()
	rows, err := db.ListUsage(b.ctx, b, pg.Scope{Company: &b.company}, time.Now(), time.Now())
	require.NoError(t, err)
	out := map[string]db.Usage{}
	for _, u := range rows {
		out[u.CostKey] = u
	}
	return out
}

// TestUsageCountsInterviews: each once, when it ends, if it began.
func TestUsageCountsInterviews(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c, a := b.candidate("Ann", "Lee", "ann@x.example"), b.agent(db.Online)
	finished, failed, never := b.interviewOf(c, a, nil), b.interviewOf(c, a, nil), b.interviewOf(c, a, nil)
	for _, id := range []uuid.UUID{finished.ID, failed.ID} {
		b.tx(func(tx bun.Tx) error { _, err := db.StartInterview(b.ctx, tx, id); return err })
	}
	b.exec("UPDATE interviews SET started_at = now() - interval '90 seconds' WHERE id = ?", finished.ID)
	b.tx(func(tx bun.Tx) error { _, err := db.FinishInterview(b.ctx, tx, finished.ID, db.Finish{}); return err })
	b.tx(func(tx bun.Tx) error { _, err := db.FailInterview(b.ctx, tx, failed.ID, "X", "x"); return err })
	b.tx(func(tx bun.Tx) error { _, err := db.CancelInterview(b.ctx, tx, never.ID, "X"); return err })
	b.exec("UPDATE interviews SET finished_at = finished_at + interval '1 hour'")
	got := usageOf(t, b)[db.UsageInterviews]
	require.Equal(t, int64(2), got.Events)
	require.InDelta(t, 1.5, got.Minutes, 0.5)
	none, err := db.ListUsage(b.ctx, b, pg.Scope{}, time.Now().AddDate(0, 0, -9), time.Now().AddDate(0, 0, -2))
	require.NoError(t, err)
	require.Empty(t, none)
}

func TestParseSourced(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é", 2001)
	for raw, fault := range map[string]string{
		`not JSON`:                      `has no list "candidates"`,
		`{"candidates":null}`:           `has no list "candidates"`,
		`{"candidates":{}}`:             `has no list "candidates"`,
		`{"candidates":[null]}`:         "has a candidate [0] that is null",
		`{"candidates":[{"name":"A"}]}`: "has a candidate [0] without a profileId of 1 to 128 characters",
		`{"candidates":[{"profileId":"` + strings.Repeat("x", 129) + `","name":"A"}]}`: "has a candidate [0] without a " +
			"profileId of 1 to 128 characters",
		`{"candidates":[{"profileId":"1","name":" "}]}`:                  "has a candidate [0] without a name",
		`{"candidates":[{"profileId":"1","name":"A","matchScore":101}]}`: "has a candidate [0] with a matchScore that is not between 0 and 100",
		`{"candidates":[{"profileId":"1","name":"A","matchScore":"x"}]}`: `has no list "candidates"`,
		`{"candidates":[{"profileId":"1","name":"` + long + `"}]}`:       "has a candidate [0] with a text of more than 2000 characters",
		`{"candidates":[{"profileId":"1","name":"A\u0000"}]}`:            `must not contain NUL characters (\u0000)`,
		`{"candidates":[],"foundCount":-1}`:                              "has a count out of range",
		`{"candidates":[` + strings.Repeat(`{"profileId":"1","name":"A"},`, 100) + `{"profileId":"1","name":"A"}]}`: "has more " +
			"than 100 candidates",
		`{"candidates":[{"profileId":"1","name":"A","skills":["` + strings.Repeat(`x","`, 50) + `"]}]}`: "has a candidate [0] " +
			"with a list of more than 50 entries",
	} {
		_, got := db.ParseSourced([]byte(raw))
		require.Equal(t, fault, got, raw)
	}
	got, fault := db.ParseSourced([]byte(`{"foundCount":9,"more":1,"candidates":[
		{"profileId":"a","name":"A","matchScore":5,"linkedinUrl":"javascript:alert(1)"},
		{"profileId":"b","name":"B","matchScore":7,"linkedinUrl":"https://www.linkedin.com/in/b"},
		{"profileId":"a","name":"A again","matchScore":9}]}`))
	require.Empty(t, fault)
	require.Equal(t, []string{"B", "A"}, names(got.Candidates), "each profile once, the best match first")
	require.Empty(t, got.Candidates[1].LinkedinURL, "it would become a link")
	require.Equal(t, []string{}, got.Candidates[0].Skills)
}

func TestParseEnriched(t *testing.T) {
	t.Parallel()
	for raw, fault := range map[string]string{
		`{}`: `has no list "profiles"`,
		`{"profiles":[{"profileId":"a","candidate":{"profileId":"b","name":"B"}}]}`: "has a profile [0] with the candidate " +
			"of another one",
		`{"profiles":[{"profileId":"a","candidate":{"name":""}}]}`: "has a candidate [0] without a name",
	} {
		_, got := db.ParseEnriched([]byte(raw))
		require.Equal(t, fault, got, raw)
	}
	got, fault := db.ParseEnriched([]byte(`{"profiles":[{"profileId":"a","candidate":{"name":"A"}},{"profileId":"b"}]}`))
	require.Empty(t, fault)
	require.Equal(t, "a", got[0].Candidate.ProfileID)
	require.Equal(t, db.EnrichmentFailed, got[1].ErrorCode)
}

func names(cs []*db.SourcedCandidate) []string {
	return slices.Collect(func(yield func(string) bool) {
		for _, c := range cs {
			if !yield(c.Name) {
				return
			}
		}
	})
}

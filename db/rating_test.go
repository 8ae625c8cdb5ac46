package db_test

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/db"
	"greenroom/db/catalog"
	"greenroom/db/pg"
)

func (s *suite) staff(name string) *uuid.UUID {
	s.t.Helper()
	id := pg.NewID()
	_, err := s.ExecContext(s.ctx, "INSERT INTO staff (id, company_id, username) VALUES (?, ?, ?)", id, s.company, name)
	require.NoError(s.t, err)
	return &id
}

func (s *suite) rate(value float64, change ...func(*db.Rating)) *db.Rating {
	s.t.Helper()
	r := &db.Rating{CompanyID: s.company, JobID: s.job.ID, CandidateID: s.candidate.ID, Value: value}
	for _, c := range change {
		c(r)
	}
	s.tx(func(tx bun.Tx) error { return db.CreateRating(s.ctx, tx, r) })
	return r
}

func (s *suite) note(author *uuid.UUID, text string, shared bool) *db.Note {
	s.t.Helper()
	n := &db.Note{
		CompanyID:   s.company,
		JobID:       s.job.ID,
		CandidateID: s.candidate.ID,
		StaffID:     author,
		Text:        text,
		Shared:      shared,
	}
	s.tx(func(tx bun.Tx) error { return db.CreateNote(s.ctx, tx, n) })
	return n
}

func (s *suite) finish() {
	s.t.Helper()
	s.tx(func(tx bun.Tx) error {
		_, err := db.FinishInterview(s.ctx, tx, s.interview.ID, db.Finish{})
		return err
	})
}

func TestRatings(t *testing.T) {
	t.Parallel()
	s := setupSuite(t)
	ada := s.staff("ada")
	r := s.rate(4, func(r *db.Rating) { r.StaffID, r.QuestionID = ada, &s.why.ID })
	about := contexts(t, s.bundle)[catalog.RatingCreated]
	assert.Equal(t, r.Number, about.Rating.Number)
	assert.Equal(t, *ada, about.Staff.ID)
	assert.Equal(t, s.job.Number, about.Job.Number)
	assert.Equal(t, s.candidate.Number, about.Candidate.Number)

	r.Value, r.Ignored = 2.5, true
	s.tx(func(tx bun.Tx) error { return db.UpdateRating(s.ctx, tx, r, "value", "ignored") })
	got, err := db.RatingByNumber(s.ctx, s, s.job.ID, s.candidate.ID, r.Number)
	require.NoError(t, err)
	assert.InDelta(t, 2.5, got.Value, 0)
	assert.True(t, got.Ignored)
	assert.Equal(t, s.why.Number, *got.QuestionNumber)
	assert.NotNil(t, got.StaffNumber)
	assert.Equal(t, []string{"value", "ignored"}, contexts(t, s.bundle)[catalog.RatingUpdated].Changed)

	err = s.try(func(tx bun.Tx) error { return db.DeleteQuestion(s.ctx, tx, s.job, s.why.ID) })
	require.ErrorIs(t, err, pg.ErrConflict, "it is rated")
	require.NoError(t, db.DeleteRating(s.ctx, s, r.ID))
	_, total, err := db.ListRatings(s.ctx, s, s.job.ID, s.candidate.ID, page)
	require.NoError(t, err)
	assert.Zero(t, total)

	foreign := uuid.New()
	for name, change := range map[string]func(*db.Rating){
		"question":  func(r *db.Rating) { r.QuestionID = &foreign },
		"answer":    func(r *db.Rating) { r.AnswerVideoID = &foreign },
		"candidate": func(r *db.Rating) { r.CandidateID = foreign },
	} {
		r := &db.Rating{CompanyID: s.company, JobID: s.job.ID, CandidateID: s.candidate.ID, Value: 1}
		change(r)
		require.ErrorIs(t, s.try(func(tx bun.Tx) error { return db.CreateRating(s.ctx, tx, r) }), pg.ErrNotFound, name)
	}
}

func TestNotes_that_are_not_shared_are_their_authors_alone(t *testing.T) {
	t.Parallel()
	s := setupSuite(t)
	ada, bob := s.staff("ada"), s.staff("bob")
	private, shared, ofKey := s.note(
		ada,
		"Ada's own",
		false,
	), s.note(
		ada,
		"For all",
		true,
	), s.note(
		nil,
		"A client's own",
		false,
	)
	for name, c := range map[string]struct {
		reader db.Reader
		sees   []int64
	}{
		"author":     {db.Reader{Staff: ada}, []int64{private.Number, shared.Number}},
		"colleague":  {db.Reader{Staff: bob}, []int64{shared.Number}},
		"with_a_key": {db.Reader{}, []int64{shared.Number, ofKey.Number}},
	} {
		list, total, err := db.ListNotes(s.ctx, s, s.job.ID, s.candidate.ID, c.reader, page)
		require.NoError(t, err)
		require.EqualValues(t, len(c.sees), total, name)
		for i, n := range list {
			assert.Equal(t, c.sees[i], n.Number, name)
		}
	}
	_, err := db.NoteByNumber(s.ctx, s, s.job.ID, s.candidate.ID, db.Reader{Staff: bob}, private.Number)
	require.ErrorIs(t, err, pg.ErrNotFound)
	var data []string
	require.NoError(t, s.NewRaw("SELECT data || context FROM events WHERE type LIKE 'note.%'").Scan(s.ctx, &data))
	require.Len(t, data, 3)
	for _, d := range data {
		assert.NotContains(t, d, "own", "an event tells ids alone")
	}

	private.Shared = true
	s.tx(func(tx bun.Tx) error { return db.UpdateNote(s.ctx, tx, private, "shared") })
	_, err = db.NoteByNumber(s.ctx, s, s.job.ID, s.candidate.ID, db.Reader{Staff: bob}, private.Number)
	require.NoError(t, err)
	assert.Equal(t, private.Number, contexts(t, s.bundle)[catalog.NoteUpdated].Note.Number)
	require.NoError(t, db.DeleteNote(s.ctx, s, private.ID))
	_, err = db.NoteByNumber(s.ctx, s, s.job.ID, s.candidate.ID, db.Reader{Staff: ada}, private.Number)
	require.ErrorIs(t, err, pg.ErrNotFound)
}

func TestResults(t *testing.T) {
	t.Parallel()
	s := setupSuite(t)
	list := func(reader db.Reader) []db.Result {
		rs, total, err := db.ListResults(s.ctx, s, s.job.ID, reader, page)
		require.NoError(t, err)
		require.EqualValues(t, len(rs), total)
		return rs
	}
	skill, style := "skill", "style"
	s.rate(5, func(r *db.Rating) { r.QuestionID, r.Criterion = &s.how.ID, &skill })
	assert.Empty(t, list(db.Reader{}), "the candidate has not finished")
	s.finish()
	s.rate(2, func(r *db.Rating) { r.QuestionID, r.Criterion = &s.how.ID, &style })
	s.rate(4, func(r *db.Rating) { r.QuestionID = &s.why.ID })
	s.rate(1)
	s.rate(100, func(r *db.Rating) { r.QuestionID, r.Criterion, r.Ignored = &s.why.ID, &skill, true })
	gone := s.rate(100)
	require.NoError(t, db.DeleteRating(s.ctx, s, gone.ID))
	ada := s.staff("ada")
	s.note(ada, "own", false)
	s.note(ada, "shared", true)

	rs := list(db.Reader{})
	require.Len(t, rs, 1)
	r := rs[0]
	assert.Equal(t, s.candidate.Number, r.CandidateNumber)
	assert.InDelta(t, 3, *r.Overall, 1e-9, "(5 + 2 + 4 + 1) / 4")
	require.Len(t, r.Questions, 2)
	assert.Equal(t, s.why.Number, r.Questions[0].QuestionNumber, "in the order of the questions")
	assert.InDelta(t, 4, r.Questions[0].Average, 1e-9)
	assert.InDelta(t, 3.5, r.Questions[1].Average, 1e-9)
	require.Len(t, r.Criteria, 2)
	assert.Equal(t, "skill", r.Criteria[0].Criterion)
	assert.InDelta(t, 5, r.Criteria[0].Average, 1e-9)
	assert.InDelta(t, 2, r.Criteria[1].Average, 1e-9)
	assert.Len(t, r.Ratings, 5, "ignored ones are shown")
	require.Len(t, r.Notes, 1)
	assert.Equal(t, "shared", r.Notes[0].Text)
	assert.Len(t, list(db.Reader{Staff: ada})[0].Notes, 2)

	one, err := db.ResultByNumber(s.ctx, s, s.job.ID, db.Reader{}, s.candidate.Number)
	require.NoError(t, err)
	assert.Equal(t, r, *one)
	_, err = db.ResultByNumber(s.ctx, s, uuid.New(), db.Reader{}, s.candidate.Number)
	require.ErrorIs(t, err, pg.ErrNotFound, "another job's")

	s.tx(func(tx bun.Tx) error { return db.DeleteCandidate(s.ctx, tx, s.candidate.ID) })
	assert.Empty(t, list(db.Reader{}))
}

// An evaluation that has begun with a note alone has no mean yet.
func TestResults_without_ratings(t *testing.T) {
	t.Parallel()
	s := setupSuite(t)
	s.finish()
	s.note(s.staff("ada"), "own", false)
	rs, _, err := db.ListResults(s.ctx, s, s.job.ID, db.Reader{}, page)
	require.NoError(t, err)
	assert.Empty(t, rs, "nothing has begun that this reader may see")
	s.note(nil, "shared", true)
	rs, _, err = db.ListResults(s.ctx, s, s.job.ID, db.Reader{}, page)
	require.NoError(t, err)
	require.Len(t, rs, 1)
	assert.Nil(t, rs[0].Overall)
}

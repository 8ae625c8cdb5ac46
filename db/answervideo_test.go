package db_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/db"
	"greenroom/db/catalog"
	"greenroom/db/pg"
)

// suite is a job with two questions and a candidate whose interview is in progress.
type suite struct {
	*bundle
	job       *db.Job
	why, how  *db.Question
	candidate *db.Candidate
	interview *db.Interview
}

func setupSuite(t *testing.T) *suite {
	t.Helper()
	s := &suite{bundle: setup(t)}
	s.job = s.position("Engineer", "")
	s.why, s.how = s.question("Why?"), s.question("How?")
	s.candidate = s.bundle.candidate("Ada", "Byron", "ada@example.com", s.job.ID)
	s.interview = s.interviewOf(s.candidate, s.agent(db.Online), &s.job.ID)
	s.tx(func(tx bun.Tx) error { _, err := db.StartInterview(s.ctx, tx, s.interview.ID); return err })
	return s
}

func (s *suite) question(text string) *db.Question {
	s.t.Helper()
	q := &db.Question{Text: text}
	s.tx(func(tx bun.Tx) error { return db.CreateQuestion(s.ctx, tx, s.job, q) })
	return q
}

// reserved is a new file, as an upload begins.
func (s *suite) reserved() string {
	s.t.Helper()
	file := pg.NewID().String()
	require.NoError(s.t, db.ReserveFile(s.ctx, s, file, time.Now().Add(time.Hour)))
	return file
}

func (s *suite) answer(q *db.Question) *db.AnswerVideo {
	s.t.Helper()
	return &db.AnswerVideo{
		CompanyID: s.company, JobID: s.job.ID, CandidateID: s.candidate.ID, QuestionID: q.ID, File: s.reserved(),
		ContentType: "video/webm", Size: 7,
	}
}

func (s *suite) put(v *db.AnswerVideo) (created bool) {
	s.t.Helper()
	s.tx(func(tx bun.Tx) (err error) { created, err = db.PutAnswerVideo(s.ctx, tx, v); return err })
	return created
}

func (s *suite) strays() []string {
	s.t.Helper()
	files, err := db.OrphanedFiles(s.ctx, s, 100)
	require.NoError(s.t, err)
	return files
}

func TestAnswerVideos(t *testing.T) {
	t.Parallel()
	s := setupSuite(t)
	how, why := s.answer(s.how), s.answer(s.why)
	require.True(t, s.put(how))
	require.True(t, s.put(why))
	require.Empty(t, s.strays(), "rows count on both files")
	assert.Equal(t, s.interview.ID, *why.InterviewID, "found by candidate and job")
	assert.Equal(t, s.why.Number, why.QuestionNumber)

	list, total, err := db.ListAnswerVideos(s.ctx, s, s.job.ID, s.candidate.ID, page)
	require.NoError(t, err)
	require.EqualValues(t, 2, total)
	assert.Equal(
		t,
		[]int64{why.Number, how.Number},
		[]int64{list[0].Number, list[1].Number},
		"in the order of the questions",
	)

	about := contexts(t, s.bundle)
	created := about[catalog.AnswerVideoCreated]
	assert.Equal(t, why.Number, created.AnswerVideo.Number)
	assert.Equal(t, s.why.Number, created.Question.Number)
	assert.Equal(t, s.job.Number, created.Job.Number)
	assert.Equal(t, s.candidate.Number, created.Candidate.Number)
	recordings := about[catalog.RecordingCompleted].Recordings
	require.Len(t, recordings, 2)
	assert.Equal(t, why.ID, recordings[1].Video.ID)

	second := s.answer(s.why)
	require.False(t, s.put(second), "a second upload takes the first one's place")
	assert.Equal(t, why.Number, second.Number)
	assert.Equal(t, []string{why.File}, s.strays())
	assert.Equal(t, why.Number, contexts(t, s.bundle)[catalog.AnswerVideoUpdated].AnswerVideo.Number)

	seconds := 61
	second.DurationSeconds = &seconds
	s.tx(func(tx bun.Tx) error { return db.UpdateAnswerVideo(s.ctx, tx, second, "duration_seconds") })
	got, err := db.AnswerVideoByNumber(s.ctx, s, s.job.ID, s.candidate.ID, why.Number)
	require.NoError(t, err)
	assert.Equal(t, second.File, got.File)
	assert.Equal(t, &seconds, got.DurationSeconds)
	assert.Equal(t, []string{"duration_seconds"}, contexts(t, s.bundle)[catalog.AnswerVideoUpdated].Changed)

	other := s.bundle.candidate("Eve", "Else", "eve@example.com", s.job.ID)
	_, err = db.AnswerVideoByNumber(s.ctx, s, s.job.ID, other.ID, why.Number)
	require.ErrorIs(t, err, pg.ErrNotFound, "another candidate's")
}

func TestAnswerVideo_deleted(t *testing.T) {
	t.Parallel()
	s := setupSuite(t)
	v := s.answer(s.why)
	s.put(v)
	rating := &db.Rating{
		CompanyID:     s.company,
		JobID:         s.job.ID,
		CandidateID:   s.candidate.ID,
		QuestionID:    &s.why.ID,
		AnswerVideoID: &v.ID,
		Value:         3,
	}
	note := &db.Note{CompanyID: s.company, JobID: s.job.ID, CandidateID: s.candidate.ID, AnswerVideoID: &v.ID, Text: "x"}
	s.tx(func(tx bun.Tx) error {
		return errors.Join(db.CreateRating(s.ctx, tx, rating), db.CreateNote(s.ctx, tx, note))
	})
	s.tx(func(tx bun.Tx) error { return db.DeleteAnswerVideo(s.ctx, tx, v) })

	assert.Equal(t, []string{v.File}, s.strays())
	_, err := db.AnswerVideoByNumber(s.ctx, s, s.job.ID, s.candidate.ID, v.Number)
	require.ErrorIs(t, err, pg.ErrNotFound)
	r, err := db.RatingByNumber(s.ctx, s, s.job.ID, s.candidate.ID, rating.Number)
	require.NoError(t, err)
	assert.Nil(t, r.AnswerVideoNumber, "nothing refers to what is gone")
	assert.Equal(t, s.why.Number, *r.QuestionNumber)
	n, err := db.NoteByNumber(s.ctx, s, s.job.ID, s.candidate.ID, db.Reader{}, note.Number)
	require.NoError(t, err)
	assert.Nil(t, n.AnswerVideoNumber)

	require.NoError(t, db.ForgetFile(s.ctx, s, v.File))
	assert.Empty(t, s.strays())
	require.ErrorIs(t, s.try(func(tx bun.Tx) error { return db.DeleteAnswerVideo(s.ctx, tx, v) }), pg.ErrNotFound, "twice")
	require.True(t, s.put(s.answer(s.why)), "the question may be answered anew")
}

// What the law asks for must not depend on who deletes the candidate, and how.
func TestAnswerVideo_goes_with_its_candidate(t *testing.T) {
	t.Parallel()
	s := setupSuite(t)
	v := s.answer(s.why)
	s.put(v)
	s.tx(func(tx bun.Tx) error { return db.DeleteCandidate(s.ctx, tx, s.candidate.ID) })
	assert.Equal(t, []string{v.File}, s.strays())
	_, err := db.AnswerVideoByNumber(s.ctx, s, s.job.ID, s.candidate.ID, v.Number)
	require.ErrorIs(t, err, pg.ErrNotFound)

	late := s.answer(s.how)
	err = s.try(func(tx bun.Tx) error { _, err := db.PutAnswerVideo(s.ctx, tx, late); return err })
	require.ErrorIs(t, err, pg.ErrNotFound, "an upload that ends after the deletion")
}

func TestAnswerVideos_of_one_job_alone(t *testing.T) {
	t.Parallel()
	s := setupSuite(t)
	here := s.answer(s.why)
	s.put(here)
	other := s.position("Other", "")
	question := &db.Question{Text: "Why here?"}
	s.tx(func(tx bun.Tx) error {
		return errors.Join(
			db.CreateQuestion(s.ctx, tx, other, question),
			db.AddCandidateJobs(s.ctx, tx, s.candidate.ID, other.ID),
		)
	})
	there := s.answer(question)
	there.JobID = other.ID
	s.put(there)
	rating := &db.Rating{
		CompanyID:     s.company,
		JobID:         s.job.ID,
		CandidateID:   s.candidate.ID,
		AnswerVideoID: &here.ID,
		Value:         1,
	}
	s.tx(func(tx bun.Tx) error { return db.CreateRating(s.ctx, tx, rating) })
	s.tx(func(tx bun.Tx) error { return db.DeleteAnswerVideosOf(s.ctx, tx, s.job.ID, s.candidate.ID) })
	assert.Equal(t, []string{here.File}, s.strays())
	left, err := db.RatingByNumber(s.ctx, s, s.job.ID, s.candidate.ID, rating.Number)
	require.NoError(t, err)
	assert.Nil(t, left.AnswerVideoID, "a rating can be changed when its answer is gone")
	_, total, err := db.ListAnswerVideos(s.ctx, s, other.ID, s.candidate.ID, page)
	require.NoError(t, err)
	assert.EqualValues(t, 1, total)

	s.tx(func(tx bun.Tx) error { return db.ReplaceCandidateJobs(s.ctx, tx, s.candidate.ID, other.ID) })
	late := s.answer(s.why)
	err = s.try(func(tx bun.Tx) error { _, err := db.PutAnswerVideo(s.ctx, tx, late); return err })
	require.ErrorIs(t, err, pg.ErrNotFound, "no longer a candidate for this job")
}

func TestAnswerVideo_refuses(t *testing.T) {
	t.Parallel()
	s := setupSuite(t)
	foreign := &db.Question{Text: "Of another job"}
	s.tx(func(tx bun.Tx) error { return db.CreateQuestion(s.ctx, tx, s.position("Other", ""), foreign) })
	gone := s.question("Deleted")
	s.tx(func(tx bun.Tx) error { return db.DeleteQuestion(s.ctx, tx, s.job, gone.ID) })
	unreserved, expired := s.answer(s.why), s.answer(s.why)
	unreserved.File = "never-reserved"
	_, err := s.ExecContext(
		s.ctx,
		"UPDATE stray_files SET due_at = now() + interval '30 seconds' WHERE file = ?",
		expired.File,
	)
	require.NoError(t, err)
	for name, c := range map[string]struct {
		v    *db.AnswerVideo
		want error
	}{
		"question_of_another_job":          {s.answer(foreign), pg.ErrNotFound},
		"deleted_question":                 {s.answer(gone), pg.ErrNotFound},
		"file_that_nobody_reserved":        {unreserved, pg.ErrConflict},
		"file_that_is_about_to_be_deleted": {expired, pg.ErrConflict},
	} {
		err := s.try(func(tx bun.Tx) error { _, err := db.PutAnswerVideo(s.ctx, tx, c.v); return err })
		require.ErrorIs(t, err, c.want, name)
	}
	_, total, err := db.ListAnswerVideos(s.ctx, s, s.job.ID, s.candidate.ID, page)
	require.NoError(t, err)
	assert.Zero(t, total)
}

// Of two uploads for one question at once one is the answer, and the other's file is not kept.
func TestAnswerVideo_two_uploads_at_once(t *testing.T) {
	t.Parallel()
	s := setupSuite(t)
	const n = 8
	created := make(chan bool, n)
	var wg sync.WaitGroup
	for range n {
		v := s.answer(s.why)
		wg.Go(func() {
			err := s.try(func(tx bun.Tx) error {
				is, err := db.PutAnswerVideo(s.ctx, tx, v)
				created <- is
				return err
			})
			assert.NoError(t, err)
		})
	}
	wg.Wait()
	close(created)
	firsts := 0
	for is := range created {
		if is {
			firsts++
		}
	}
	assert.Equal(t, 1, firsts)
	assert.Len(t, s.strays(), n-1)
	list, _, err := db.ListAnswerVideos(s.ctx, s, s.job.ID, s.candidate.ID, page)
	require.NoError(t, err)
	require.Len(t, list, 1)
	assert.NotContains(t, s.strays(), list[0].File)
}

func TestOrphanedFiles(t *testing.T) {
	t.Parallel()
	s := setupSuite(t)
	under, dropped := s.reserved(), s.reserved()
	assert.Empty(t, s.strays(), "uploads under way are not orphaned")
	require.NoError(t, db.ReleaseFile(s.ctx, s, dropped))
	assert.Equal(t, []string{dropped}, s.strays())
	require.NoError(t, db.ForgetFile(s.ctx, s, under))
	v := s.answer(s.why)
	v.File = under
	require.True(t, s.put(v), "a file under way is not forgotten")
}

func TestQuestions(t *testing.T) {
	t.Parallel()
	s := setupSuite(t)
	s.tx(func(tx bun.Tx) error { _, err := db.EnsureJobAgent(s.ctx, tx, s.job); return err })
	asks := func() (texts []string) {
		a, err := db.GetAgent(s.ctx, s, *s.job.AgentID)
		require.NoError(t, err)
		return a.Questions
	}
	assert.Equal(t, 1, s.why.Position)
	assert.Equal(t, 2, s.how.Position)
	assert.Equal(t, []string{"Why?", "How?"}, asks())

	first := &db.Question{Text: "Who?", Position: 1}
	s.tx(func(tx bun.Tx) error { return db.CreateQuestion(s.ctx, tx, s.job, first) })
	first.Position, first.Text = 9, "Who are you?"
	s.tx(func(tx bun.Tx) error { return db.UpdateQuestion(s.ctx, tx, s.job, first, "position", "text") })
	assert.Equal(t, []string{"Why?", "How?", "Who are you?"}, asks(), "the job's agent asks the job's questions")

	s.tx(func(tx bun.Tx) error { return db.DeleteQuestion(s.ctx, tx, s.job, s.how.ID) })
	assert.Equal(t, []string{"Why?", "Who are you?"}, asks())
	list, total, err := db.ListQuestions(s.ctx, s, s.job.ID, page)
	require.NoError(t, err)
	require.EqualValues(t, 2, total)
	assert.Equal(t, s.why.Number, list[0].Number)
	_, err = db.QuestionByNumber(s.ctx, s, s.job.ID, s.how.Number)
	require.ErrorIs(t, err, pg.ErrNotFound)

	s.put(s.answer(s.why))
	err = s.try(func(tx bun.Tx) error { return db.DeleteQuestion(s.ctx, tx, s.job, s.why.ID) })
	var state *pg.StateError
	require.ErrorAs(t, err, &state, "it has an answer")
	assert.Equal(t, []string{"Why?", "Who are you?"}, asks())
}

func TestWelcomeVideos(t *testing.T) {
	t.Parallel()
	s := setupSuite(t)
	w := &db.WelcomeVideo{CompanyID: s.company, File: s.reserved(), ContentType: "video/mp4", Size: 9}
	s.tx(func(tx bun.Tx) error { return db.CreateWelcomeVideo(s.ctx, tx, w) })
	got, err := db.WelcomeVideoByNumber(s.ctx, s, s.company, w.Number)
	require.NoError(t, err)
	assert.Equal(t, w.File, got.File)
	_, err = db.WelcomeVideoByNumber(s.ctx, s, uuid.New(), w.Number)
	require.ErrorIs(t, err, pg.ErrNotFound, "another company's")
	require.NoError(t, db.DeleteWelcomeVideo(s.ctx, s, w.ID))
	assert.Equal(t, []string{w.File}, s.strays())
	_, total, err := db.ListWelcomeVideos(s.ctx, s, s.company, page)
	require.NoError(t, err)
	assert.Zero(t, total)
}

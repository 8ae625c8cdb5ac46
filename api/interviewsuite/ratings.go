package interviewsuite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"strconv"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/api/surface"
	"greenroom/db"
	"greenroom/db/pg"
)

func (s *server) ratingRoutes() []surface.Route {
	const list = "/api/v3/companies/:company/projects/:project/candidates/:candidate/ratings/"
	return []surface.Route{
		surface.List(list, "read:candidates", s.listRatings, "page", "page_size"),
		surface.Post(list, "write:candidates", s.createRating),
		surface.Get(list+":rating/", "read:candidates", s.getRating),
		surface.Patch(list+":rating/", "write:candidates", s.updateRating),
		surface.Delete(list+":rating/", "write:candidates|delete:candidates", s.deleteRating),
	}
}

// resultRating is a rating inside a result (reference 2.7).
type resultRating struct {
	ResourceURI      string  `json:"resource_uri"`
	Question         *string `json:"question"`
	Criterion        *string `json:"criterion"`
	Answer           *string `json:"answer"`
	EvaluatorProfile *string `json:"evaluator_profile"`
	Value            float64 `json:"value"`
	Ignore           bool    `json:"ignore"`
}

// rating is a rating as its own resource. It adds the candidate and the date.
type rating struct {
	resultRating
	Candidate    string `json:"candidate"`
	CreationDate string `json:"creationdate"`
}

func (s *server) showResultRating(company, project, candidate int64, r *db.Rating) resultRating {
	return resultRating{
		ResourceURI: s.ratingURI(company, project, candidate, r.Number),
		Question:    optionalURI(r.QuestionNumber, func(n int64) string { return s.questionURI(company, project, n) }),
		Criterion:   r.Criterion,
		Answer: optionalURI(r.AnswerVideoNumber, func(n int64) string {
			return s.answerVideoURI(company, project, candidate, n)
		}),
		EvaluatorProfile: optionalURI(r.StaffNumber, func(n int64) string { return s.customerURI(company, n) }),
		Value:            r.Value,
		Ignore:           r.Ignored,
	}
}

func (s *server) showRating(at candidatePath, r *db.Rating) rating {
	company, project, candidate := at.company.Number, at.project.Number, at.candidate.Number
	return rating{
		s.showResultRating(company, project, candidate, r),
		s.candidateURI(company, project, candidate),
		stamp(r.CreatedAt),
	}
}

func (s *server) listRatings(c *gin.Context) error {
	return listBelow(s, c, s.showRating, func(at candidatePath, w pg.Page) ([]db.Rating, int64, error) {
		return db.ListRatings(c.Request.Context(), s.DB, at.project.ID, at.candidate.ID, w)
	})
}

// ratingFields are the fields of a new rating and of a change. evaluator_profile is read only: it is the caller.
type ratingFields struct {
	Question  surface.Opt[json.RawMessage] `json:"question" null:"ok"`
	Criterion surface.Opt[string]          `json:"criterion" validate:"min=1,max=255" null:"ok"`
	Answer    surface.Opt[json.RawMessage] `json:"answer" null:"ok"`
	Value     surface.Opt[float64]         `json:"value"`
	Ignore    surface.Opt[bool]            `json:"ignore"`
}

// applyRating sets the sent fields and returns the columns to update.
func (s *server) applyRating(
	ctx context.Context,
	at candidatePath,
	r *db.Rating,
	in ratingFields,
) (u surface.Update, err error) {
	if err := checkScore(at.project, in.Value); err != nil {
		return u, err
	}
	surface.SetNull(&u, "criterion", &r.Criterion, in.Criterion)
	surface.Set(&u, "value", &r.Value, in.Value)
	surface.Set(&u, "ignored", &r.Ignored, in.Ignore)
	if in.Question.Set {
		u.Add("question_id")
		if r.QuestionID, err = s.ratedQuestion(ctx, at, in.Question); err != nil {
			return u, err
		}
	}
	if in.Answer.Set {
		u.Add("answer_video_id")
		r.AnswerVideoID = nil
	}
	v, err := s.ratedAnswer(ctx, at, r, in)
	if err != nil || v == nil {
		return u, err
	}
	// A rating of an answer also rates its question, even when the client does not name the question.
	if in.Question.Set && !in.Question.Null && *r.QuestionID != v.QuestionID {
		return u, surface.Invalid("answer", "This is not an answer to the question")
	}
	r.AnswerVideoID, r.QuestionID = &v.ID, &v.QuestionID
	u.Add("question_id")
	return u, nil
}

// ratedAnswer returns the answer that decides the rating's question: the one that was sent or, for another question,
// the one that the rating has. It returns nil if there is none.
func (s *server) ratedAnswer(
	ctx context.Context,
	at candidatePath,
	r *db.Rating,
	in ratingFields,
) (*db.AnswerVideo, error) {
	if in.Answer.Set {
		return s.answerOf(ctx, at, in.Answer)
	}
	if !in.Question.Set || r.AnswerVideoNumber == nil {
		return nil, nil //nolint:nilnil // the question does not depend on an answer
	}
	v, err := db.AnswerVideoByNumber(ctx, s.DB, at.project.ID, at.candidate.ID, *r.AnswerVideoNumber)
	if errors.Is(err, pg.ErrNotFound) { // deleted
		return nil, nil //nolint:nilnil // the question does not depend on an answer
	}
	return v, err
}

// checkScore bounds a rating by the project's maximum_score.
func checkScore(project *db.Job, value surface.Opt[float64]) error {
	about, err := projectSuiteOf(project)
	if err == nil && value.Set && (value.Value < 0 || value.Value > float64(about.MaximumScore)) {
		return surface.Invalid(
			"value",
			fmt.Sprintf("value must be from 0 to %d, the project's maximum_score", about.MaximumScore),
		)
	}
	return err
}

func (s *server) ratedQuestion(
	ctx context.Context,
	at candidatePath,
	ref surface.Opt[json.RawMessage],
) (*uuid.UUID, error) {
	if ref.Null {
		return nil, nil //nolint:nilnil // null removes the question
	}
	number, valid := reference(ref.Value, at.company.Number, "questions")
	q, err := s.questionByReference(ctx, at, number, valid)
	if err != nil {
		return nil, err
	}
	return &q.ID, nil
}

var answerForm = regexp.MustCompile(
	`^/api/v3/companies/([0-9]+)/projects/[0-9]+/candidates/[0-9]+/answervideos/([0-9]+)/?$`,
)

// answerOf returns the answer video that a body names by address or id, or nil for null. It must be the candidate's in
// this project.
func (s *server) answerOf(
	ctx context.Context,
	at candidatePath,
	ref surface.Opt[json.RawMessage],
) (*db.AnswerVideo, error) {
	if ref.Null {
		return nil, nil //nolint:nilnil // null removes the answer
	}
	number, valid := reference(ref.Value, at.company.Number, "answervideos")
	var text string
	if !valid && json.Unmarshal(ref.Value, &text) == nil {
		number, valid = answerNumber(text, at.company.Number)
	}
	if !valid {
		return nil, badReference("answer")
	}
	v, err := db.AnswerVideoByNumber(ctx, s.DB, at.project.ID, at.candidate.ID, number)
	if errors.Is(err, pg.ErrNotFound) {
		return nil, badReference("answer")
	}
	return v, err
}

func answerNumber(address string, company int64) (int64, bool) {
	u, err := url.Parse(address)
	if err != nil {
		return 0, false
	}
	m := answerForm.FindStringSubmatch(u.Path)
	if m == nil || m[1] != strconv.FormatInt(company, 10) {
		return 0, false
	}
	number, err := strconv.ParseInt(m[2], 10, 64)
	return number, err == nil
}

func (s *server) createRating(c *gin.Context) error {
	at, err := s.candidatePath(c)
	if err != nil {
		return err
	}
	in, err := surface.BindKnown[ratingFields](c)
	if err != nil {
		return err
	}
	if !in.Value.Set {
		return surface.Missing("value")
	}
	r := &db.Rating{
		CompanyID: at.company.ID, JobID: at.project.ID, CandidateID: at.candidate.ID, StaffID: surface.Caller(c).Key.StaffID,
	}
	if _, err := s.applyRating(c.Request.Context(), at, r, in); err != nil {
		return err
	}
	err = pg.InTx(c.Request.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
		return db.CreateRating(ctx, tx, r)
	})
	if err != nil {
		return err
	}
	return s.okRating(c, http.StatusCreated, at, r.Number)
}

// okRating answers with the rating's current state.
func (s *server) okRating(c *gin.Context, status int, at candidatePath, number int64) error {
	r, err := db.RatingByNumber(c.Request.Context(), s.DB, at.project.ID, at.candidate.ID, number)
	if err != nil {
		return err
	}
	return ok(c, status, s.showRating(at, r))
}

// rating returns the rating that the path's :rating names, which must be of the candidate in this project.
func (s *server) rating(c *gin.Context) (candidatePath, *db.Rating, error) {
	return findBelow(s, c, "rating", "Rating", func(at candidatePath, number int64) (*db.Rating, error) {
		return db.RatingByNumber(c.Request.Context(), s.DB, at.project.ID, at.candidate.ID, number)
	})
}

func (s *server) getRating(c *gin.Context) error {
	at, r, err := s.rating(c)
	if err != nil {
		return err
	}
	return ok(c, http.StatusOK, s.showRating(at, r))
}

func (s *server) updateRating(c *gin.Context) error {
	at, r, err := s.rating(c)
	if err != nil {
		return err
	}
	if err := s.authorizeChange(c, r.StaffID, "rating"); err != nil {
		return err
	}
	in, err := surface.BindKnown[ratingFields](c)
	if err != nil {
		return err
	}
	before := *r
	u, err := s.applyRating(c.Request.Context(), at, r, in)
	if err != nil {
		return err
	}
	if !reflect.DeepEqual(before, *r) {
		err = pg.InTx(c.Request.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
			return db.UpdateRating(ctx, tx, r, u.Columns...)
		})
		if err != nil {
			return err
		}
	}
	return s.okRating(c, http.StatusAccepted, at, r.Number)
}

// authorizeChange refuses to change another user's note or rating. Administrators, owners and keys of the company may
// change all that they can read.
func (s *server) authorizeChange(c *gin.Context, author *uuid.UUID, what string) error {
	user, err := s.staff(c)
	if err != nil {
		return err
	}
	if user == nil || !db.Admin.Above(user.AccountType) || author != nil && *author == user.ID {
		return nil
	}
	return surface.Denied(what)
}

func (s *server) deleteRating(c *gin.Context) error {
	_, r, err := s.rating(c)
	if err != nil {
		return err
	}
	if err := s.authorizeChange(c, r.StaffID, "rating"); err != nil {
		return err
	}
	if err := db.DeleteRating(c.Request.Context(), s.DB, r.ID); err != nil {
		return err
	}
	return noContent(c)
}

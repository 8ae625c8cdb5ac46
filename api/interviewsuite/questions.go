package interviewsuite

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"

	"github.com/gin-gonic/gin"
	"github.com/uptrace/bun"

	"greenroom/api/surface"
	"greenroom/db"
	"greenroom/db/pg"
)

func (s *server) questionRoutes() []surface.Route {
	const list = "/api/v3/companies/:company/projects/:project/questions/"
	return []surface.Route{
		surface.List(list, "read:jobs", s.listQuestions, "page", "page_size"),
		surface.Post(list, "write:jobs", s.createQuestion),
		surface.Get(list+":question/", "read:jobs", s.getQuestion),
		surface.Patch(list+":question/", "write:jobs", s.updateQuestion),
		surface.Delete(list+":question/", "delete:jobs", s.deleteQuestion),
	}
}

// question is a question on the wire. The reference does not describe the resource; the fields are those that a
// recorded answer needs, in the reference's style.
type question struct {
	ResourceURI     string `json:"resource_uri"`
	Project         string `json:"project"`
	Text            string `json:"text"`
	Position        int    `json:"position"`
	MaxAnswerTime   *int   `json:"max_answer_time"`
	PreparationTime *int   `json:"preparation_time"`
	CreationDate    string `json:"creationdate"`
}

func (s *server) showQuestion(company *db.Company, project *db.Job, q *db.Question) question {
	return question{
		ResourceURI:     s.questionURI(company.Number, project.Number, q.Number),
		Project:         s.projectURI(company.Number, project.Number),
		Text:            q.Text,
		Position:        q.Position,
		MaxAnswerTime:   q.Suite.MaxAnswerTime,
		PreparationTime: q.Suite.PreparationTime,
		CreationDate:    stamp(q.CreatedAt),
	}
}

func (s *server) listQuestions(c *gin.Context) error {
	company, project, err := s.project(c)
	if err != nil {
		return err
	}
	p, err := pageOf(c)
	if err != nil {
		return err
	}
	rows, total, err := db.ListQuestions(c.Request.Context(), s.DB, project.ID, p.Window())
	if err != nil {
		return err
	}
	out := surface.Mapped(rows, func(q *db.Question) question { return s.showQuestion(company, project, q) })
	return okPage(s, c, p, out, total)
}

// newQuestion bounds the text as an agent's questions are bounded, because the job's agent asks it.
type newQuestion struct {
	Text            string `json:"text" validate:"required,max=1000"`
	Position        int    `json:"position" validate:"min=1,max=10000"`
	MaxAnswerTime   *int   `json:"max_answer_time" validate:"omitempty,min=1,max=86400"`
	PreparationTime *int   `json:"preparation_time" validate:"omitempty,min=0,max=86400"`
}

func (s *server) createQuestion(c *gin.Context) error {
	company, project, err := s.project(c)
	if err != nil {
		return err
	}
	in, err := surface.BindKnown[newQuestion](c)
	if err != nil {
		return err
	}
	q := &db.Question{
		Text: in.Text, Position: in.Position,
		Suite: db.QuestionSuite{MaxAnswerTime: in.MaxAnswerTime, PreparationTime: in.PreparationTime},
	}
	err = pg.InTx(c.Request.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
		return db.CreateQuestion(ctx, tx, project, q)
	})
	if errors.Is(err, db.ErrQuestions) {
		return surface.Invalid("non_field_errors", fmt.Sprintf("A project has at most %d questions", db.MaxQuestions))
	}
	if err != nil {
		return err
	}
	return ok(c, http.StatusCreated, s.showQuestion(company, project, q))
}

// question returns the question that the path's :question names, which must belong to the project.
func (s *server) question(c *gin.Context) (*db.Company, *db.Job, *db.Question, error) {
	company, project, err := s.project(c)
	if err != nil {
		return nil, nil, nil, err
	}
	number, err := surface.PathNumber(c, "question", "Question")
	if err != nil {
		return nil, nil, nil, err
	}
	q, err := db.QuestionByNumber(c.Request.Context(), s.DB, project.ID, number)
	return company, project, q, err
}

func (s *server) getQuestion(c *gin.Context) error {
	company, project, q, err := s.question(c)
	if err != nil {
		return err
	}
	return ok(c, http.StatusOK, s.showQuestion(company, project, q))
}

type changedQuestion struct {
	Text            surface.Opt[string] `json:"text" validate:"min=1,max=1000"`
	Position        surface.Opt[int]    `json:"position" validate:"min=1,max=10000"`
	MaxAnswerTime   surface.Opt[int]    `json:"max_answer_time" validate:"min=1,max=86400" null:"ok"`
	PreparationTime surface.Opt[int]    `json:"preparation_time" validate:"min=0,max=86400" null:"ok"`
}

// apply sets the sent fields and returns the columns to update.
func (in *changedQuestion) apply(q *db.Question) (u surface.Update) {
	surface.Set(&u, "text", &q.Text, in.Text)
	surface.Set(&u, "position", &q.Position, in.Position)
	surface.SetNull(&u, "suite", &q.Suite.MaxAnswerTime, in.MaxAnswerTime)
	surface.SetNull(&u, "suite", &q.Suite.PreparationTime, in.PreparationTime)
	return u
}

func (s *server) updateQuestion(c *gin.Context) error {
	company, project, q, err := s.question(c)
	if err != nil {
		return err
	}
	in, err := surface.BindKnown[changedQuestion](c)
	if err != nil {
		return err
	}
	err = pg.InTx(c.Request.Context(), s.DB, func(ctx context.Context, tx bun.Tx) (err error) {
		if err := db.Lock(ctx, tx, "jobs", project.ID); err != nil { // as every change of the job's questions
			return err
		}
		if q, err = db.QuestionByNumber(ctx, tx, project.ID, q.Number); err != nil {
			return err
		}
		before := *q
		u := in.apply(q)
		if reflect.DeepEqual(before, *q) { // without a change the agent stays as it is
			return nil
		}
		return db.UpdateQuestion(ctx, tx, project, q, u.Columns...)
	})
	if err != nil {
		return err
	}
	return ok(c, http.StatusAccepted, s.showQuestion(company, project, q))
}

func (s *server) deleteQuestion(c *gin.Context) error {
	_, project, q, err := s.question(c)
	if err != nil {
		return err
	}
	err = pg.InTx(c.Request.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
		return db.DeleteQuestion(ctx, tx, project, q.ID)
	})
	if err != nil {
		return err
	}
	return noContent(c)
}

package interviewsuite

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"

	"github.com/gin-gonic/gin"
	"github.com/uptrace/bun"

	"greenroom/api/surface"
	"greenroom/db"
	"greenroom/db/pg"
)

func (s *server) noteRoutes() []surface.Route {
	const list = "/api/v3/companies/:company/projects/:project/candidates/:candidate/notes/"
	return []surface.Route{
		surface.List(list, "read:candidates", s.listNotes, "page", "page_size"),
		surface.Post(list, "write:candidates", s.createNote),
		surface.Get(list+":note/", "read:candidates", s.getNote),
		surface.Patch(list+":note/", "write:candidates", s.updateNote),
		surface.Delete(list+":note/", "write:candidates|delete:candidates", s.deleteNote),
	}
}

// resultNote is a note inside a result (reference 2.7).
type resultNote struct {
	ResourceURI      string  `json:"resource_uri"`
	Text             string  `json:"text"`
	Shared           bool    `json:"shared"`
	Answer           *string `json:"answer"`
	EvaluatorProfile *string `json:"evaluator_profile"`
}

// note is a note as its own resource. It adds the candidate, and the author under the webhook's name for it (reference
// 1.4).
type note struct {
	resultNote
	Candidate    string  `json:"candidate"`
	Customer     *string `json:"customer"`
	CreationDate string  `json:"creationdate"`
}

func (s *server) showResultNote(company, project, candidate int64, n *db.Note) resultNote {
	return resultNote{
		ResourceURI: s.noteURI(company, project, candidate, n.Number),
		Text:        n.Text,
		Shared:      n.Shared,
		Answer: optionalURI(n.AnswerVideoNumber, func(v int64) string {
			return s.answerVideoURI(company, project, candidate, v)
		}),
		EvaluatorProfile: optionalURI(n.StaffNumber, func(m int64) string { return s.customerURI(company, m) }),
	}
}

func (s *server) showNote(at candidatePath, n *db.Note) note {
	company, project, candidate := at.company.Number, at.project.Number, at.candidate.Number
	shown := s.showResultNote(company, project, candidate, n)
	return note{shown, s.candidateURI(company, project, candidate), shown.EvaluatorProfile, stamp(n.CreatedAt)}
}

// readerOf returns the reader of notes: the calling staff user; an API key has none.
func readerOf(c *gin.Context) db.Reader { return db.Reader{Staff: surface.Caller(c).Key.StaffID} }

func (s *server) listNotes(c *gin.Context) error {
	return listBelow(s, c, s.showNote, func(at candidatePath, w pg.Page) ([]db.Note, int64, error) {
		return db.ListNotes(c.Request.Context(), s.DB, at.project.ID, at.candidate.ID, readerOf(c), w)
	})
}

// noteFields are the fields of a new note and of a change. The caller is the author.
type noteFields struct {
	Text   surface.Opt[string]          `json:"text" validate:"min=1,max=10000"`
	Shared surface.Opt[bool]            `json:"shared"`
	Answer surface.Opt[json.RawMessage] `json:"answer" null:"ok"`
}

func (s *server) applyNote(
	ctx context.Context,
	at candidatePath,
	n *db.Note,
	in noteFields,
) (u surface.Update, err error) {
	surface.Set(&u, "text", &n.Text, in.Text)
	surface.Set(&u, "shared", &n.Shared, in.Shared)
	if !in.Answer.Set {
		return u, nil
	}
	u.Add("answer_video_id")
	n.AnswerVideoID, n.AnswerVideoNumber = nil, nil
	v, err := s.answerOf(ctx, at, in.Answer)
	if v != nil {
		n.AnswerVideoID, n.AnswerVideoNumber = &v.ID, &v.Number
	}
	return u, err
}

func (s *server) createNote(c *gin.Context) error {
	at, err := s.candidatePath(c)
	if err != nil {
		return err
	}
	in, err := surface.BindKnown[noteFields](c)
	if err != nil {
		return err
	}
	if !in.Text.Set {
		return surface.Missing("text")
	}
	n := &db.Note{
		CompanyID: at.company.ID, JobID: at.project.ID, CandidateID: at.candidate.ID, StaffID: surface.Caller(c).Key.StaffID,
	}
	if _, err := s.applyNote(c.Request.Context(), at, n, in); err != nil {
		return err
	}
	err = pg.InTx(c.Request.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
		return db.CreateNote(ctx, tx, n)
	})
	if err != nil {
		return err
	}
	return s.okNote(c, http.StatusCreated, at, n.Number)
}

// okNote answers with the note's current state.
func (s *server) okNote(c *gin.Context, status int, at candidatePath, number int64) error {
	n, err := db.NoteByNumber(c.Request.Context(), s.DB, at.project.ID, at.candidate.ID, readerOf(c), number)
	if err != nil {
		return err
	}
	return ok(c, status, s.showNote(at, n))
}

// note returns the note that the path's :note names: about the candidate in this project, and readable by the caller.
func (s *server) note(c *gin.Context) (candidatePath, *db.Note, error) {
	return findBelow(s, c, "note", "Note", func(at candidatePath, number int64) (*db.Note, error) {
		return db.NoteByNumber(c.Request.Context(), s.DB, at.project.ID, at.candidate.ID, readerOf(c), number)
	})
}

func (s *server) getNote(c *gin.Context) error {
	at, n, err := s.note(c)
	if err != nil {
		return err
	}
	return ok(c, http.StatusOK, s.showNote(at, n))
}

func (s *server) updateNote(c *gin.Context) error {
	at, n, err := s.note(c)
	if err != nil {
		return err
	}
	if err := s.authorizeChange(c, n.StaffID, "note"); err != nil {
		return err
	}
	in, err := surface.BindKnown[noteFields](c)
	if err != nil {
		return err
	}
	before := *n
	u, err := s.applyNote(c.Request.Context(), at, n, in)
	if err != nil {
		return err
	}
	if !reflect.DeepEqual(before, *n) {
		err = pg.InTx(c.Request.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
			return db.UpdateNote(ctx, tx, n, u.Columns...)
		})
		if err != nil {
			return err
		}
	}
	return ok(c, http.StatusAccepted, s.showNote(at, n))
}

func (s *server) deleteNote(c *gin.Context) error {
	_, n, err := s.note(c)
	if err != nil {
		return err
	}
	if err := s.authorizeChange(c, n.StaffID, "note"); err != nil {
		return err
	}
	if err := db.DeleteNote(c.Request.Context(), s.DB, n.ID); err != nil {
		return err
	}
	return noContent(c)
}

package interviewsuite

import (
	"context"
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/uptrace/bun"

	"greenroom/api/surface"
	"greenroom/db"
	"greenroom/db/pg"
)

// vetoRoutes: the reference shows vetos inside results alone (2.7). They are resources like ratings and notes.
func (s *server) vetoRoutes() []surface.Route {
	const list = "/api/v3/companies/:company/projects/:project/candidates/:candidate/vetos/"
	return []surface.Route{
		surface.List(list, "read:candidates", s.listVetos, "page", "page_size"),
		surface.Post(list, "write:candidates", s.createVeto),
		surface.Get(list+":veto/", "read:candidates", s.getVeto),
		surface.Patch(list+":veto/", "write:candidates", s.updateVeto),
		surface.Delete(list+":veto/", "write:candidates|delete:candidates", s.deleteVeto),
	}
}

// resultVeto is a veto inside a result (reference 2.7).
type resultVeto struct {
	ResourceURI string  `json:"resource_uri"`
	Comment     string  `json:"comment"`
	Candidate   string  `json:"candidate"`
	Evaluator   *string `json:"evaluator"`
}

// veto is a veto as its own resource. It adds the date.
type veto struct {
	resultVeto
	CreationDate string `json:"creationdate"`
}

func (s *server) showResultVeto(company, project, candidate int64, v *db.Veto) resultVeto {
	return resultVeto{
		ResourceURI: s.vetoURI(company, project, candidate, v.Number),
		Comment:     v.Comment,
		Candidate:   s.candidateURI(company, project, candidate),
		Evaluator:   optionalURI(v.StaffNumber, func(n int64) string { return s.customerURI(company, n) }),
	}
}

func (s *server) showVeto(at candidatePath, v *db.Veto) veto {
	shown := s.showResultVeto(at.company.Number, at.project.Number, at.candidate.Number, v)
	return veto{shown, stamp(v.CreatedAt)}
}

func (s *server) listVetos(c *gin.Context) error {
	return listBelow(s, c, s.showVeto, func(at candidatePath, w pg.Page) ([]db.Veto, int64, error) {
		return db.ListVetos(c.Request.Context(), s.DB, at.project.ID, at.candidate.ID, w)
	})
}

// vetoFields are the fields of a new veto and of a change. evaluator is read only: it is the caller.
type vetoFields struct {
	Comment surface.Opt[string] `json:"comment" validate:"max=10000" null:"ok"`
}

// Refusals of a veto. They are about no field.
var (
	errVetosOff = &surface.Error{
		Status: http.StatusBadRequest, Code: surface.CodeValidation, Message: "Vetos are not enabled in this project",
	}
	errVetoed = &surface.Error{
		Status: http.StatusBadRequest, Code: surface.CodeValidation,
		Message: "There is a veto of this user against this candidate already",
	}
)

// createVeto stores the caller's veto in a project with veto_enabled (reference 2.4).
func (s *server) createVeto(c *gin.Context) error {
	at, err := s.candidatePath(c)
	if err != nil {
		return err
	}
	in, err := surface.BindKnown[vetoFields](c)
	if err != nil {
		return err
	}
	own, err := projectSuiteOf(at.project)
	if err != nil {
		return err
	}
	if !own.VetoEnabled {
		return errVetosOff
	}
	v := &db.Veto{
		CompanyID: at.company.ID, JobID: at.project.ID, CandidateID: at.candidate.ID,
		StaffID: surface.Caller(c).Key.StaffID, Comment: in.Comment.Value,
	}
	err = pg.InTx(c.Request.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
		return db.CreateVeto(ctx, tx, v)
	})
	if errors.Is(err, pg.ErrDuplicate) {
		return errVetoed
	}
	if err != nil {
		return err
	}
	return s.okVeto(c, http.StatusCreated, at, v.Number)
}

// okVeto answers with the veto's current state.
func (s *server) okVeto(c *gin.Context, status int, at candidatePath, number int64) error {
	v, err := db.VetoByNumber(c.Request.Context(), s.DB, at.project.ID, at.candidate.ID, number)
	if err != nil {
		return err
	}
	return ok(c, status, s.showVeto(at, v))
}

// veto returns the veto that the path's :veto names, which must be against the candidate in this project.
func (s *server) veto(c *gin.Context) (candidatePath, *db.Veto, error) {
	return findBelow(s, c, "veto", "Veto", func(at candidatePath, number int64) (*db.Veto, error) {
		return db.VetoByNumber(c.Request.Context(), s.DB, at.project.ID, at.candidate.ID, number)
	})
}

func (s *server) getVeto(c *gin.Context) error {
	at, v, err := s.veto(c)
	if err != nil {
		return err
	}
	return ok(c, http.StatusOK, s.showVeto(at, v))
}

func (s *server) updateVeto(c *gin.Context) error {
	at, v, err := s.veto(c)
	if err != nil {
		return err
	}
	if err := s.authorizeChange(c, v.StaffID, "veto"); err != nil {
		return err
	}
	in, err := surface.BindKnown[vetoFields](c)
	if err != nil {
		return err
	}
	if in.Comment.Set {
		if err := db.CommentVeto(c.Request.Context(), s.DB, v.ID, in.Comment.Value); err != nil {
			return err
		}
	}
	return s.okVeto(c, http.StatusAccepted, at, v.Number)
}

func (s *server) deleteVeto(c *gin.Context) error {
	_, v, err := s.veto(c)
	if err != nil {
		return err
	}
	if err := s.authorizeChange(c, v.StaffID, "veto"); err != nil {
		return err
	}
	if err := db.DeleteVeto(c.Request.Context(), s.DB, v.ID); err != nil {
		return err
	}
	return noContent(c)
}

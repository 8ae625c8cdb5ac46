package interviewsuite

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/uptrace/bun"

	"greenroom/api/surface"
	"greenroom/db"
	"greenroom/db/pg"
)

func (s *server) projectRoutes() []surface.Route {
	const list, one = "/api/v3/companies/:company/projects/", "/api/v3/companies/:company/projects/:project/"
	return []surface.Route{
		surface.List(list, "read:jobs", s.listProjects, "page", "page_size"),
		surface.Post(list, "write:jobs", s.createProject),
		surface.Get(one, "read:jobs", s.getProject),
		surface.Patch(one, "write:jobs", s.updateProject),
		surface.Delete(one, "delete:jobs", s.deleteProject),
		surface.Post(one+"status/", "write:jobs", s.updateStatus).MaxBody(surface.SmallBody),
		surface.List(one+"roles/", "read:jobs", s.listRoles, "page", "page_size"),
		surface.List(one+"criteria/", "read:jobs", s.listCriteria, "page", "page_size"),
	}
}

// statuses maps this product's words to a job's status. The reference does not list them. A status that only another
// surface uses is shown in lower case.
var statuses = map[string]string{
	"draft":    "DRAFT",
	"active":   db.JobOpen,
	"closed":   "CLOSED",
	"archived": "ARCHIVED",
}

func projectStatus(job string) string {
	for word, status := range statuses {
		if status == job {
			return word
		}
	}
	return strings.ToLower(job)
}

func (s *server) listProjects(c *gin.Context) error {
	company, err := s.company(c)
	if err != nil {
		return err
	}
	p, err := pageOf(c)
	if err != nil {
		return err
	}
	ctx := c.Request.Context()
	rows, total, err := db.ListJobs(ctx, s.DB, pg.Scope{Company: &company.ID}, db.JobFilter{}, p.Window())
	if err != nil {
		return err
	}
	out, err := s.showProjects(ctx, company, rows)
	if err != nil {
		return err
	}
	return okPage(s, c, p, out, total)
}

func (s *server) answerProject(c *gin.Context, status int, company *db.Company, p *db.Job) error {
	out, err := s.showProjects(c.Request.Context(), company, []db.Job{*p})
	if err != nil {
		return err
	}
	return ok(c, status, out[0])
}

func (s *server) getProject(c *gin.Context) error {
	company, project, err := s.project(c)
	if err != nil {
		return err
	}
	return s.answerProject(c, http.StatusOK, company, project)
}

// createProject creates an active project, whose candidates can be invited at once.
func (s *server) createProject(c *gin.Context) error {
	company, err := s.company(c)
	if err != nil {
		return err
	}
	in, err := surface.BindKnown[projectInput](c)
	if err != nil {
		return err
	}
	if !in.Name.Set {
		return surface.Missing("name")
	}
	p := &db.Job{CompanyID: company.ID, Status: db.JobOpen}
	err = pg.InTx(c.Request.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
		if err := in.apply(ctx, tx, company, p); err != nil {
			return err
		}
		if err := stampStatus(p, time.Now()); err != nil {
			return err
		}
		return db.CreateJob(ctx, tx, p)
	})
	if err != nil {
		return err
	}
	c.Header("Location", s.projectURI(company.Number, p.Number))
	return s.answerProject(c, http.StatusCreated, company, p)
}

func (s *server) updateProject(c *gin.Context) error {
	company, project, err := s.project(c)
	if err != nil {
		return err
	}
	in, err := surface.BindKnown[projectInput](c)
	if err != nil {
		return err
	}
	columns := []string{"title", "job_url", "suite"}
	project, err = s.changeProject(c, project, columns, func(ctx context.Context, tx bun.Tx, p *db.Job) error {
		return in.apply(ctx, tx, company, p)
	})
	if err != nil {
		return err
	}
	return s.answerProject(c, http.StatusAccepted, company, project)
}

type statusInput struct {
	Status string `json:"status" validate:"required,oneof=draft active closed archived"`
}

// updateStatus serves status_update_uri (reference 2.4). The answer shows the new status.
func (s *server) updateStatus(c *gin.Context) error {
	company, project, err := s.project(c)
	if err != nil {
		return err
	}
	in, err := surface.BindKnown[statusInput](c)
	if err != nil {
		return err
	}
	columns := []string{"status", "suite"}
	project, err = s.changeProject(c, project, columns, func(_ context.Context, _ bun.Tx, p *db.Job) error {
		p.Status = statuses[in.Status]
		return stampStatus(p, time.Now())
	})
	if err != nil {
		return err
	}
	return s.answerProject(c, http.StatusAccepted, company, project)
}

// stampStatus records the day on which a project first became active or closed, unless the client has set that date.
func stampStatus(p *db.Job, now time.Time) error {
	own, err := decoded[projectSuite](p.Suite)
	if err != nil {
		return err
	}
	day := now.UTC().Format(time.DateOnly)
	switch {
	case p.Status == db.JobOpen && own.ActivationDate == nil:
		own.ActivationDate = &day
	case p.Status == statuses["closed"] && own.CloseDate == nil:
		own.CloseDate = &day
	}
	p.Suite = surface.Encoded(own)
	return nil
}

// changeProject changes a project under a row lock, so that concurrent changes are not lost. Without a difference it
// writes nothing and records no event.
func (s *server) changeProject(
	c *gin.Context, p *db.Job, columns []string, change func(context.Context, bun.Tx, *db.Job) error,
) (changed *db.Job, err error) {
	err = pg.InTx(c.Request.Context(), s.DB, func(ctx context.Context, tx bun.Tx) (err error) {
		if err := db.Lock(ctx, tx, "jobs", p.ID); err != nil {
			return err
		}
		if changed, err = db.GetJob(ctx, tx, p.ID); err != nil {
			return err
		}
		before := *changed
		if err := change(ctx, tx, changed); err != nil {
			return err
		}
		if same, err := sameProject(&before, changed); err != nil || same {
			return err
		}
		return db.UpdateJob(ctx, tx, changed, columns...)
	})
	return changed, err
}

// sameProject compares with defaults filled in, so echoing a default is not a change.
func sameProject(a, b *db.Job) (bool, error) {
	before, err := projectSuiteOf(a)
	if err != nil {
		return false, err
	}
	after, err := projectSuiteOf(b)
	return bytes.Equal(surface.Encoded(before), surface.Encoded(after)) && a.Title == b.Title && a.Status == b.Status &&
		orEmpty(a.JobURL) == orEmpty(b.JobURL), err
}

func (s *server) deleteProject(c *gin.Context) error {
	_, project, err := s.project(c)
	if err != nil {
		return err
	}
	if err := db.DeleteJob(c.Request.Context(), s.DB, project.ID); err != nil {
		return err
	}
	return noContent(c)
}

type roleOutput struct {
	Role     string `json:"role"`
	Customer string `json:"customer"`
}

// listRoles lists the users of a project with their roles. The reference names the address but not its content.
func (s *server) listRoles(c *gin.Context) error {
	company, project, err := s.project(c)
	if err != nil {
		return err
	}
	p, err := pageOf(c)
	if err != nil {
		return err
	}
	shown, err := s.showProjects(c.Request.Context(), company, []db.Job{*project})
	if err != nil {
		return err
	}
	var roles []roleOutput
	for _, list := range []struct {
		role  string
		users []string
	}{
		{"evaluator", shown[0].Evaluators},
		{"interview_manager", shown[0].InterviewManagers},
		{"reviewer", shown[0].Reviewers},
	} {
		for _, uri := range list.users {
			roles = append(roles, roleOutput{list.role, uri})
		}
	}
	return okPage(s, c, p, surface.Cut(p, roles), int64(len(roles)))
}

type criterionOutput struct {
	Name string `json:"name"`
}

// listCriteria lists the criteria that ratings have used. The reference names the address but not its content.
func (s *server) listCriteria(c *gin.Context) error {
	_, project, err := s.project(c)
	if err != nil {
		return err
	}
	p, err := pageOf(c)
	if err != nil {
		return err
	}
	names, err := db.Criteria(c.Request.Context(), s.DB, project.ID)
	if err != nil {
		return err
	}
	criteria := surface.Mapped(names, func(name *string) criterionOutput { return criterionOutput{*name} })
	return okPage(s, c, p, surface.Cut(p, criteria), int64(len(criteria)))
}

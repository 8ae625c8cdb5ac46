// Package aiinterviews is the API of AI interviews, for clients that were written for Xobin: settings, invitations
// and reports under /ai-interviews, and the same under /api/v2, which the original's base URL adds.
//
// An AI interview is a job with an agent, a response is an interview. Ids are integers, answers have no envelope, and
// an error is {"error": "<sentence>"} (reference 2.7). Fields that the contract does not name are ignored: clients
// write back what they have read, and more. The contract is api/openapi/ai-interviews.yaml; where the reference is
// silent, it says what was chosen.
package aiinterviews

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/api/media"
	"greenroom/api/surface"
	"greenroom/db"
	"greenroom/db/pg"
)

// Options are the options of this surface.
type Options struct {
	// Media stores the uploaded recordings; nil: there are none.
	Media media.Store
}

type server struct {
	*surface.Core
	Options
	pdfs *pdfs
}

// New returns the surface; the core mounts it.
func New(core *surface.Core, o Options) surface.Surface {
	s := &server{core, o, newPDFs()}
	return surface.Surface{
		Name: "ai-interviews", Prefixes: []string{"/ai-interviews", "/api/v2"}, Routes: s.routes(),
		Aliases: []surface.Alias{{Of: "", Also: "/api/v2"}},
		Style:   surface.Style{Fail: fail, KeyIn: "apiKey: sk_…"},
	}
}

func (s *server) routes() []surface.Route {
	return slices.Concat(s.settingRoutes(), s.inviteRoutes(), s.reportRoutes(), s.generateRoutes())
}

func (s *server) settingRoutes() []surface.Route {
	return []surface.Route{
		surface.Get("/ai-interviews/settings/webhooks", "read:webhooks", s.getWebhooks),
		surface.Post("/ai-interviews/settings/webhooks", "write:webhooks", s.setWebhooks).
			MaxBody(surface.SmallBody),
		surface.Get("/ai-interviews/settings/webhooks/:id", "read:webhooks", s.getJobWebhooks),
		surface.Put("/ai-interviews/settings/webhooks/:id", "write:webhooks", s.setJobWebhooks).
			MaxBody(surface.SmallBody),
		surface.Get("/ai-interviews/settings/general", "read:jobs", s.getGeneral),
		surface.Post("/ai-interviews/settings/general", "write:jobs", s.setGeneral),
	}
}

// refusal is the body of every error. Message has details, if any.
type refusal struct {
	Error   string `json:"error"`
	Message string `json:"message,omitempty"`
}

// codeExhausted is the error code of the reference (2.5).
const codeExhausted = "limit_exceed"

var errExhausted = &surface.Error{
	Status: http.StatusForbidden, Code: codeExhausted, Message: "Invites Exhausted. Please contact support.",
}

func fail(c *gin.Context, e *surface.Error) {
	switch e.Code {
	case surface.CodeInvalidKey: // the original's own words (reference 2.7)
		c.JSON(e.Status, refusal{Error: "Invalid API key", Message: e.Message})
	case codeExhausted:
		c.JSON(e.Status, refusal{Error: e.Code, Message: e.Message})
	case surface.CodeQuota: // as for invitations
		c.JSON(http.StatusForbidden, refusal{Error: codeExhausted, Message: e.Message})
	default: // one sentence names all faults, as the original's does (reference 2.9)
		faults := surface.Mapped(e.Faults(), func(f *surface.Fault) string { return f.Message })
		c.JSON(e.Status, refusal{Error: cmp.Or(strings.Join(faults, "; "), e.Message)})
	}
}

const jobName = "AI interview"

// job returns the AI interview of the path, within the caller's company.
func (s *server) job(c *gin.Context) (*db.Job, error) {
	company, err := s.CallerCompany(c)
	if err != nil {
		return nil, err
	}
	number, err := surface.PathNumber(c, "id", jobName)
	if err != nil {
		return nil, err
	}
	return jobOf(c.Request.Context(), s.DB, company, number)
}

func jobOf(ctx context.Context, d bun.IDB, company uuid.UUID, number int64) (*db.Job, error) {
	job, err := db.JobByNumber(ctx, d, company, number)
	if errors.Is(err, pg.ErrNotFound) {
		return nil, notFound(jobName, number)
	}
	return job, err
}

// notFound names the kind and the number, as they are in the path or body.
func notFound(kind string, number int64) error {
	return surface.NotFound(kind, strconv.FormatInt(number, 10))
}

// bindRaw is surface.BindKnown that also returns the raw body, for an Idempotency-Key.
func bindRaw[T any](c *gin.Context) (raw []byte, in T, err error) {
	if raw, err = surface.ReadBody(c); err != nil {
		return nil, in, err
	}
	c.Request.Body = io.NopCloser(bytes.NewReader(raw))
	in, err = surface.BindKnown[T](c)
	return raw, in, err
}

func (s *server) inTx(c *gin.Context, fn func(ctx context.Context, tx bun.Tx) error) error {
	return pg.InTx(c.Request.Context(), s.DB, fn)
}

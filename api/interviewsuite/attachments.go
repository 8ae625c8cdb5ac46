package interviewsuite

import (
	"context"
	"net/http"
	"slices"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/api/surface"
	"greenroom/db"
	"greenroom/db/pg"
)

// attachmentRoutes serve the photo and the CV of a candidate and the photo of a staff user. The reference shows their
// addresses (2.5, 2.6) but not how they are uploaded. Here each address serves the file and accepts a form with a new
// one, as for videos.
func (s *server) attachmentRoutes() []surface.Route {
	const candidate = "/api/v3/companies/:company/projects/:project/candidates/:candidate/"
	const customer = "/api/v3/companies/:company/customers/:customer/"
	return slices.Concat(
		attachment{s, db.Photo, s.photoPolicy(), s.attachedCandidate}.routes(candidate+"photo/", "candidates"),
		attachment{s, db.CV, s.documentPolicy(), s.attachedCandidate}.routes(candidate+"cv/", "candidates"),
		attachment{s, db.Photo, s.photoPolicy(), s.attachedCustomer}.routes(customer+"photo/", "companies"),
	)
}

// attachment is one kind of file of one kind of person.
type attachment struct {
	*server
	kind   db.AttachmentKind
	policy uploadPolicy
	of     func(*gin.Context) (attached, error)
}

// attached is the person that a file belongs to.
type attached struct {
	db.Person
	company uuid.UUID
	// recordChange records the event of the change in the same transaction.
	recordChange func(context.Context, bun.Tx) error
	// answer writes the person's current state.
	answer func() error
	// denied is the refusal of a change; nil when the caller may change the file.
	denied error
}

func (a attachment) routes(path, scope string) []surface.Route {
	return append(fileRoutes(path, "read:"+scope, a.stream),
		surface.Post(path, "write:"+scope, a.put).Streams(),
		surface.Put(path, "write:"+scope, a.put).Streams(),
		surface.Delete(path, "write:"+scope+"|delete:"+scope, a.delete))
}

// attachedCandidate returns the path's candidate. A new file is a change of the candidate, as in every product.
func (s *server) attachedCandidate(c *gin.Context) (attached, error) {
	company, project, candidate, err := s.candidate(c)
	if err != nil {
		return attached{}, err
	}
	return attached{
		Person:  db.CandidatePerson(candidate.ID),
		company: company.ID,
		recordChange: func(ctx context.Context, tx bun.Tx) (err error) {
			if candidate, err = db.GetCandidate(ctx, tx, candidate.ID); err != nil {
				return err
			}
			candidate.Through = &project.ID
			return db.UpdateCandidate(ctx, tx, candidate)
		},
		answer: func() error { return s.answerCandidate(c, http.StatusAccepted, company, project, candidate) },
	}, nil
}

func (s *server) attachedCustomer(c *gin.Context) (attached, error) {
	company, user, err := s.customer(c)
	if err != nil {
		return attached{}, err
	}
	return attached{
		Person:  db.StaffPerson(user.ID),
		company: company.ID,
		// The catalogue has no event for a changed user.
		recordChange: func(context.Context, bun.Tx) error { return nil },
		answer:       func() error { return s.answerCustomer(c, http.StatusAccepted, company, user) },
		denied:       s.authorizeManage(c, user),
	}, nil
}

func (a attachment) stream(c *gin.Context) error {
	whose, err := a.of(c)
	if err != nil {
		return err
	}
	f, err := db.GetAttachment(c.Request.Context(), a.DB, whose.Person, a.kind)
	if err != nil {
		return err
	}
	return a.server.stream(c, f.File, f.ContentType)
}

func (a attachment) put(c *gin.Context) error {
	whose, err := a.of(c)
	if err != nil {
		return err
	}
	if whose.denied != nil {
		return whose.denied
	}
	return a.receiveUpload(c, whose.company, a.policy, func(u upload) error {
		err := pg.InTx(c.Request.Context(), a.DB, func(ctx context.Context, tx bun.Tx) error {
			f := &db.Attachment{Kind: a.kind, File: u.file, ContentType: u.contentType, Size: u.size}
			if err := db.PutAttachment(ctx, tx, whose.Person, f); err != nil {
				return err
			}
			return whose.recordChange(ctx, tx)
		})
		if err != nil {
			return err
		}
		return whose.answer()
	})
}

func (a attachment) delete(c *gin.Context) error {
	whose, err := a.of(c)
	if err != nil {
		return err
	}
	if whose.denied != nil {
		return whose.denied
	}
	err = pg.InTx(c.Request.Context(), a.DB, func(ctx context.Context, tx bun.Tx) error {
		if err := db.DeleteAttachment(ctx, tx, whose.Person, a.kind); err != nil {
			return err
		}
		return whose.recordChange(ctx, tx)
	})
	if err != nil {
		return err
	}
	return noContent(c)
}

// attachmentURI returns the address of a person's file, or "" when it does not exist.
func attachmentURI(person string, existing []db.AttachmentKind, kind db.AttachmentKind) string {
	if !slices.Contains(existing, kind) {
		return ""
	}
	return person + string(kind) + "/"
}

package interviewsuite

import (
	"context"
	"net/http"
	"slices"

	"github.com/gin-gonic/gin"
	"github.com/uptrace/bun"

	"greenroom/api/surface"
	"greenroom/db"
	"greenroom/db/pg"
)

// attachmentRoutes are the photo and the CV of a candidate and the photo of a staff user. The reference shows them as
// references (2.5, 2.6) and not how they come there: the reference itself is the file, as a form it is sent to it, as
// with videos.
func (s *server) attachmentRoutes() []surface.Route {
	const candidate = "/api/v3/companies/:company/projects/:project/candidates/:candidate/"
	const customer = "/api/v3/companies/:company/customers/:customer/"
	return slices.Concat(
		attachment{s, db.Photo, s.photo(), s.attachedCandidate}.routes(candidate+"photo/", "candidates"),
		attachment{s, db.CV, s.document(), s.attachedCandidate}.routes(candidate+"cv/", "candidates"),
		attachment{s, db.Photo, s.photo(), s.attachedCustomer}.routes(customer+"photo/", "companies"),
	)
}

// attachment is one kind of file of one kind of person.
type attachment struct {
	*server
	kind   db.AttachmentKind
	intake intake
	of     func(*gin.Context) (attached, error)
}

// attached is whose file it is.
type attached struct {
	db.Person
	// changed tells of the change in its transaction.
	changed func(context.Context, bun.Tx) error
	// answer shows the person as it is now.
	answer func() error
	// may refuses a change.
	may error
}

func (a attachment) routes(path, scope string) []surface.Route {
	return append(file(path, "read:"+scope, a.stream),
		surface.Post(path, "write:"+scope, a.put),
		surface.Put(path, "write:"+scope, a.put),
		surface.Delete(path, "write:"+scope+"|delete:"+scope, a.delete))
}

// attachedCandidate is the candidate of the path; a new file is a change of the candidate, as in every product.
func (s *server) attachedCandidate(c *gin.Context) (attached, error) {
	company, project, candidate, err := s.candidate(c)
	if err != nil {
		return attached{}, err
	}
	return attached{
		Person: db.CandidatePerson(candidate.ID),
		changed: func(ctx context.Context, tx bun.Tx) (err error) {
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
		changed: func(context.Context, bun.Tx) error { return nil }, // the catalogue has no event for it
		answer:  func() error { return s.answerCustomer(c, http.StatusAccepted, company, user) },
		may:     s.mayManage(c, user),
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
	if whose.may != nil {
		return whose.may
	}
	return a.receive(c, a.intake, func(u upload) error {
		err := pg.InTx(c.Request.Context(), a.DB, func(ctx context.Context, tx bun.Tx) error {
			f := &db.Attachment{Kind: a.kind, File: u.file, ContentType: u.contentType, Size: u.size}
			if err := db.PutAttachment(ctx, tx, whose.Person, f); err != nil {
				return err
			}
			return whose.changed(ctx, tx)
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
	if whose.may != nil {
		return whose.may
	}
	err = pg.InTx(c.Request.Context(), a.DB, func(ctx context.Context, tx bun.Tx) error {
		if err := db.DeleteAttachment(ctx, tx, whose.Person, a.kind); err != nil {
			return err
		}
		return whose.changed(ctx, tx)
	})
	if err != nil {
		return err
	}
	return noContent(c)
}

// attachmentURI is the address of a person's file; "" when there is none.
func attachmentURI(person string, there []db.AttachmentKind, kind db.AttachmentKind) string {
	if !slices.Contains(there, kind) {
		return ""
	}
	return person + string(kind) + "/"
}

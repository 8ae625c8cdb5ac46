package interviewsuite

import (
	"context"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/uptrace/bun"

	"greenroom/api/surface"
	"greenroom/db"
	"greenroom/db/pg"
)

func (s *server) welcomeVideoRoutes() []surface.Route {
	const list = "/api/v3/companies/:company/videos/"
	return append([]surface.Route{
		surface.List(list, "read:companies", s.listWelcomeVideos, "page", "page_size"),
		surface.Post(list, "write:companies", s.createWelcomeVideo).Streams(),
		surface.Get(list+":video/", "read:companies", s.getWelcomeVideo),
		surface.Delete(list+":video/", "write:companies|delete:companies", s.deleteWelcomeVideo),
	}, fileRoutes(list+":video/file/", "read:companies", s.streamWelcomeVideo)...)
}

// welcomeVideo is a company's welcome video for its candidates (reference 2.8).
type welcomeVideo struct {
	ResourceURI  string `json:"resource_uri"`
	Company      string `json:"company"`
	File         string `json:"file"`
	ContentType  string `json:"content_type"`
	Size         int64  `json:"size"`
	CreationDate string `json:"creationdate"`
}

func (s *server) showWelcomeVideo(company *db.Company, w *db.WelcomeVideo) welcomeVideo {
	uri := s.welcomeVideoURI(company.Number, w.Number)
	return welcomeVideo{
		ResourceURI:  uri,
		Company:      s.companyURI(company.Number),
		File:         uri + "file/",
		ContentType:  w.ContentType,
		Size:         w.Size,
		CreationDate: stamp(w.CreatedAt),
	}
}

func (s *server) listWelcomeVideos(c *gin.Context) error {
	company, err := s.company(c)
	if err != nil {
		return err
	}
	p, err := pageOf(c)
	if err != nil {
		return err
	}
	rows, total, err := db.ListWelcomeVideos(c.Request.Context(), s.DB, company.ID, p.Window())
	if err != nil {
		return err
	}
	out := surface.Mapped(rows, func(w *db.WelcomeVideo) welcomeVideo { return s.showWelcomeVideo(company, w) })
	return okPage(s, c, p, out, total)
}

func (s *server) createWelcomeVideo(c *gin.Context) error {
	company, err := s.company(c)
	if err != nil {
		return err
	}
	return s.receiveUpload(c, company.ID, s.recordingPolicy(), func(u upload) error {
		w := &db.WelcomeVideo{CompanyID: company.ID, File: u.file, ContentType: u.contentType, Size: u.size}
		err := pg.InTx(c.Request.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
			return db.CreateWelcomeVideo(ctx, tx, w)
		})
		if err != nil {
			return err
		}
		return ok(c, http.StatusCreated, s.showWelcomeVideo(company, w))
	})
}

// welcomeVideo returns the video that the path's :video names, which must belong to the company.
func (s *server) welcomeVideo(c *gin.Context) (*db.Company, *db.WelcomeVideo, error) {
	company, err := s.company(c)
	if err != nil {
		return nil, nil, err
	}
	number, err := surface.PathNumber(c, "video", "Video")
	if err != nil {
		return nil, nil, err
	}
	w, err := db.WelcomeVideoByNumber(c.Request.Context(), s.DB, company.ID, number)
	return company, w, err
}

func (s *server) getWelcomeVideo(c *gin.Context) error {
	company, w, err := s.welcomeVideo(c)
	if err != nil {
		return err
	}
	return ok(c, http.StatusOK, s.showWelcomeVideo(company, w))
}

func (s *server) streamWelcomeVideo(c *gin.Context) error {
	_, w, err := s.welcomeVideo(c)
	if err != nil {
		return err
	}
	return s.stream(c, w.File, w.ContentType)
}

func (s *server) deleteWelcomeVideo(c *gin.Context) error {
	_, w, err := s.welcomeVideo(c)
	if err != nil {
		return err
	}
	if err := db.DeleteWelcomeVideo(c.Request.Context(), s.DB, w.ID); err != nil {
		return err
	}
	return noContent(c)
}

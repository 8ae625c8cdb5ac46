package aiinterviews

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"greenroom/api/media"
	"greenroom/api/surface"
	"greenroom/db"
	"greenroom/db/pg"
	"greenroom/db/token"
)

// A link without a key has the row's id and a token with its expiry: <id>.<seconds since 1970>.<hash>.

func (s *server) sharedURL(interview uuid.UUID, until time.Time) string {
	return s.PublicURL + "/ai-interviews/shared/" + interview.String() + "." + token.Until(
		s.Secret,
		token.Report,
		interview,
		until,
	)
}

func (s *server) recordingURL(video uuid.UUID, until time.Time) string {
	return s.PublicURL + "/ai-interviews/recording/" + video.String() + "." + token.Until(
		s.Secret,
		token.Recording,
		video,
		until,
	)
}

var (
	errNoLink = &surface.Error{
		Status:  http.StatusNotFound,
		Code:    surface.CodeNotFound,
		Message: "There is nothing behind this link",
	}
	errLinkOver = &surface.Error{Status: http.StatusGone, Code: surface.CodeNotFound, Message: "This link has expired"}
)

// opened returns the row id of the link's token, and the token's expiry.
func (s *server) opened(c *gin.Context, purpose string) (id uuid.UUID, end time.Time, err error) {
	raw, tok, _ := strings.Cut(c.Param("token"), ".")
	id, valid := pg.ParseID(raw)
	if valid {
		end, valid = token.End(s.Secrets(), purpose, id, tok)
	}
	switch {
	case !valid:
		return id, end, errNoLink
	case !time.Now().Before(end):
		return id, end, errLinkOver
	}
	c.Header("Referrer-Policy", "no-referrer") // the address is the key
	return id, end, nil
}

func (s *server) sharedReport(c *gin.Context) (*db.Interview, time.Time, error) {
	id, end, err := s.opened(c, token.Report)
	if err != nil {
		return nil, end, err
	}
	i, err := db.GetInterview(c.Request.Context(), s.DB, pg.Scope{}, id)
	if errors.Is(err, pg.ErrNotFound) { // deleted since
		return nil, end, errNoLink
	}
	return i, end, err
}

// showShared sends a page to a browser, and JSON otherwise.
func (s *server) showShared(c *gin.Context) error {
	i, end, err := s.sharedReport(c)
	if err != nil {
		return err
	}
	r, err := s.makeReport(c.Request.Context(), i, end)
	if err != nil {
		return err
	}
	// The reader has no key, so links that need one are replaced.
	page := s.sharedURL(i.ID, end)
	pdf := page + "/download"
	r.ReportLink, r.PDFLink = &page, &pdf
	if strings.Contains(c.GetHeader("Accept"), "text/html") {
		return reportPage(c, r, end)
	}
	c.JSON(http.StatusOK, r)
	return nil
}

func (s *server) downloadShared(c *gin.Context) error {
	i, end, err := s.sharedReport(c)
	if err != nil {
		return err
	}
	return s.answerPDF(c, i, end)
}

//go:embed report.html
var reportHTML string

var reportTemplate = template.Must(template.New("report").Parse(reportHTML))

func reportPage(c *gin.Context, r *report, end time.Time) error {
	nonce := uuid.NewString()
	var page bytes.Buffer
	err := reportTemplate.Execute(
		&page,
		map[string]any{"R": r, "Lines": r.lines(), "Skills": r.skills(), "Until": moment(end), "Nonce": nonce},
	)
	if err != nil {
		return fmt.Errorf("write report page: %w", err)
	}
	c.Header(
		"Content-Security-Policy",
		fmt.Sprintf(
			"default-src 'none'; style-src 'nonce-%s'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
			nonce,
		),
	)
	c.Header("X-Content-Type-Options", "nosniff")
	c.Data(http.StatusOK, "text/html; charset=utf-8", page.Bytes())
	return nil
}

func moment(t time.Time) string { return t.UTC().Format("2 January 2006, 15:04 UTC") }

// streamRecording sends a stored recording, whole or in ranges.
func (s *server) streamRecording(c *gin.Context) error {
	id, _, err := s.opened(c, token.Recording)
	if err != nil {
		return err
	}
	name, contentType, err := db.AnswerVideoFile(c.Request.Context(), s.DB, id)
	if errors.Is(err, pg.ErrNotFound) || s.Media == nil {
		return errNoLink
	}
	if err != nil {
		return err
	}
	f, err := s.Media.Open(c.Request.Context(), name)
	if errors.Is(err, media.ErrNotFound) { // replaced or deleted this moment
		return errNoLink
	}
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	err = media.Serve(c.Writer, c.Request, f, name, contentType)
	if errors.Is(err, media.ErrRange) {
		c.Writer.Header().Del("Content-Type") // the film's
		return &surface.Error{
			Status:  http.StatusRequestedRangeNotSatisfiable,
			Code:    surface.CodeValidation,
			Message: "The recording does not have this range",
		}
	}
	return err
}

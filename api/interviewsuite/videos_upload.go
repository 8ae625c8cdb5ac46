package interviewsuite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"unicode/utf8"

	"github.com/gin-gonic/gin"

	"greenroom/api/media"
	"greenroom/api/surface"
	"greenroom/db"
	"greenroom/db/pg"
)

// Videos is where uploaded files go, videos above all.
type Videos struct {
	// Store keeps them; nil: this server takes none (503).
	Store media.Store
	// MaxBytes bounds one; 0 means 512 MiB. Photos and CVs are bounded lower.
	MaxBytes int64
}

const defaultMaxVideo = 512 << 20

func (v Videos) limit() int64 {
	if v.MaxBytes <= 0 {
		return defaultMaxVideo
	}
	return v.MaxBytes
}

const (
	// formBytes is what a form may have beside its file: fields, and what stands between the parts.
	formBytes = 64 << 10
	// fieldBytes bounds one field.
	fieldBytes = 4 << 10
)

// intake is what a form's file must be.
type intake struct {
	kind media.Kind
	// limit is how many bytes it may have.
	limit int64
	// refusal is for one that is something else, in the framework's words where it has any.
	refusal string
}

// How large a photo and a CV may be, unless videos may not be as large: chosen, the reference says nothing.
const (
	maxPhoto    = 5 << 20
	maxDocument = 20 << 20
)

func (s *server) recording() intake {
	const refusal = "Upload a valid file. The file you uploaded was neither a video nor an audio recording"
	return intake{media.Recording, s.Videos.limit(), refusal}
}

func (s *server) photo() intake {
	const refusal = "Upload a valid image. The file you uploaded was either not an image or a corrupted image"
	return intake{media.Photo, min(maxPhoto, s.Videos.limit()), refusal}
}

func (s *server) document() intake {
	const refusal = "Upload a valid file. The file you uploaded was not a document of type doc, pdf, postscript, powerpoint, dvi, text or richtext"
	return intake{media.Document, min(maxDocument, s.Videos.limit()), refusal}
}

// upload is a form whose file is in the store. It is of no row yet: either one claims it (claimFile in db), or it is
// dropped.
type upload struct {
	file, contentType string
	size              int64
	fields            map[string]string
	// release ends the file's reservation: nothing is being uploaded any more.
	release func()
}

// receive reads a multipart form with one file, in the field "file", as a stream. It takes as long as the file's size
// allows, not as long as other requests may. What fn then refuses, and what receive itself refuses, leaves no file.
func (s *server) receive(c *gin.Context, in intake, fn func(upload) error) error {
	if s.Videos.Store == nil {
		return &surface.Error{
			Status: http.StatusServiceUnavailable, Code: surface.CodeUnavailable, Message: "This server does not take files",
		}
	}
	if c.Request.ContentLength > in.limit+formBytes {
		return in.tooLarge()
	}
	c.Request.Body = media.Patient(c.Writer, c.Request, in.limit+formBytes)
	form, err := c.Request.MultipartReader()
	if err != nil {
		return &surface.Error{
			Status:  http.StatusUnsupportedMediaType,
			Code:    surface.CodeMediaType,
			Message: "The body must be multipart/form-data",
		}
	}
	u, err := s.readForm(c.Request.Context(), in, form)
	if err == nil && u.file == "" {
		err = surface.Missing("file")
	}
	if err == nil {
		err = fn(u)
	}
	u.release()
	if err != nil && u.file != "" {
		// The caller may be gone already; if this fails too, the file is due when the upload's time is up.
		_ = db.ReleaseFile(context.WithoutCancel(c.Request.Context()), s.DB, u.file)
	}
	return err
}

// readForm reads a form to its end. The upload it returns is to be dropped when there is an error.
func (s *server) readForm(ctx context.Context, in intake, form *multipart.Reader) (u upload, err error) {
	u = upload{fields: map[string]string{}, release: func() {}}
	for {
		part, err := form.NextPart()
		if errors.Is(err, io.EOF) {
			return u, nil
		}
		if err != nil {
			return u, in.refuseForm(err)
		}
		name := part.FormName()
		if name != "file" {
			if u.fields[name], err = in.readField(name, part); err != nil {
				return u, err
			}
			continue
		}
		if u.file != "" {
			return u, surface.Invalid("file", "There must be one file")
		}
		if err := s.keep(ctx, in, part, &u); err != nil {
			return u, in.refuseFile(err)
		}
	}
}

func (in intake) readField(name string, r io.Reader) (string, error) {
	raw, err := io.ReadAll(io.LimitReader(r, fieldBytes+1))
	switch {
	case err != nil:
		return "", in.refuseForm(err)
	case len(raw) > fieldBytes:
		return "", surface.Invalid(surface.Clip(name), "This field is too long")
	case !utf8.Valid(raw) || !utf8.ValidString(name):
		return "", surface.BadBody("The form must be valid UTF-8")
	}
	return string(raw), nil
}

// keep stores the file of a form under a new name that no row counts on yet.
func (s *server) keep(ctx context.Context, in intake, part *multipart.Part, u *upload) error {
	contentType, whole, err := media.Sniff(part, in.kind, part.FileName())
	if err != nil {
		return err
	}
	name := pg.NewID().String()
	if u.release, err = (media.Reservations{DB: s.DB, Logger: s.Logger}).Reserve(ctx, name); err != nil {
		u.release = func() {}
		return err
	}
	u.file, u.contentType = name, contentType
	u.size, err = s.Videos.Store.Put(ctx, name, whole, in.limit)
	return err
}

func (in intake) tooLarge() error {
	return &surface.Error{
		Status: http.StatusRequestEntityTooLarge, Code: surface.CodeTooLarge,
		Message: fmt.Sprintf("The file must be at most %d bytes", in.limit), Details: surface.Details{"maxBytes": in.limit},
	}
}

// refuseFile says what is wrong with a file; what is not the sender's fault stays as it is.
func (in intake) refuseFile(err error) error {
	switch {
	case errors.Is(err, media.ErrTooLarge):
		return in.tooLarge()
	case errors.Is(err, media.ErrType):
		return surface.Invalid("file", in.refusal)
	case media.IsBrokenOff(err):
		return in.refuseForm(err)
	}
	return err
}

// refuseForm is for a form that could not be read.
func (in intake) refuseForm(err error) error {
	var tooMany *http.MaxBytesError
	switch {
	case errors.As(err, &tooMany):
		return in.tooLarge()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &surface.Error{
			Status:  http.StatusRequestTimeout,
			Code:    surface.CodeUnavailable,
			Message: "The upload took too long",
		}
	}
	return surface.BadBody("The form could not be read to its end")
}

// stream answers with a stored file, whole or in ranges.
func (s *server) stream(c *gin.Context, name, contentType string) error {
	if s.Videos.Store == nil {
		return pg.ErrNotFound
	}
	f, err := s.Videos.Store.Open(c.Request.Context(), name)
	if errors.Is(err, media.ErrNotFound) { // replaced or deleted this moment
		return pg.ErrNotFound
	}
	if err != nil {
		return err
	}
	defer f.Close()
	err = media.Serve(c.Writer, c.Request, f, name, contentType)
	if errors.Is(err, media.ErrRange) {
		return &surface.Error{
			Status:  http.StatusRequestedRangeNotSatisfiable,
			Code:    surface.CodeValidation,
			Message: "The file does not have this range",
		}
	}
	return err
}

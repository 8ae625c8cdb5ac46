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
	"github.com/google/uuid"

	"greenroom/api/media"
	"greenroom/api/surface"
	"greenroom/db"
	"greenroom/db/pg"
)

// Videos configures the storage of uploaded files: videos, photos and CVs.
type Videos struct {
	// Store keeps the files; if nil, uploads are refused with 503.
	Store media.Store
	// MaxBytes bounds one file; 0 means 512 MiB. Photos and CVs have lower limits.
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
	// formBytes bounds the rest of a form: its fields and the boundaries between the parts.
	formBytes = 64 << 10
	// fieldBytes bounds one field of a form.
	fieldBytes = 4 << 10
)

// uploadPolicy describes the file that an upload accepts.
type uploadPolicy struct {
	kind media.Kind
	// limit is the largest size in bytes.
	limit int64
	// refusal is the message for a file of another kind: the framework's where it has one.
	refusal string
}

// Largest size of a photo and a CV in bytes, unless the limit of videos is lower. The reference gives none; these are
// our choice.
const (
	maxPhoto    = 5 << 20
	maxDocument = 20 << 20
)

func (s *server) recordingPolicy() uploadPolicy {
	const refusal = "Upload a valid file. The file you uploaded was neither a video nor an audio recording"
	return uploadPolicy{media.Recording, s.Videos.limit(), refusal}
}

func (s *server) photoPolicy() uploadPolicy {
	const refusal = "Upload a valid image. The file you uploaded was either not an image or a corrupted image"
	return uploadPolicy{media.Photo, min(maxPhoto, s.Videos.limit()), refusal}
}

func (s *server) documentPolicy() uploadPolicy {
	const refusal = "Upload a valid file. The file you uploaded was not a document of type " +
		"doc, pdf, postscript, powerpoint, dvi, text or richtext"
	return uploadPolicy{media.Document, min(maxDocument, s.Videos.limit()), refusal}
}

// upload is a parsed form whose file is in the store. No row refers to the file yet: a row claims it (claimFile in db),
// or the file is deleted.
type upload struct {
	file, contentType string
	size              int64
	fields            map[string]string
	// release ends the file's reservation when the upload is over.
	release func()
}

// receiveUpload streams a multipart form with one file of the company, in the field "file", into the store and
// calls fn. The time limit follows the file's size, not the limit of other requests. If receiveUpload or fn refuses the
// upload, no file is left.
func (s *server) receiveUpload(c *gin.Context, company uuid.UUID, p uploadPolicy, fn func(upload) error) error {
	if s.Videos.Store == nil {
		return &surface.Error{
			Status: http.StatusServiceUnavailable, Code: surface.CodeUnavailable, Message: "This server does not accept files",
		}
	}
	if c.Request.ContentLength > p.limit+formBytes {
		return p.tooLarge()
	}
	end, err := s.admitUpload(c, company, p)
	if err != nil {
		return err
	}
	defer end()
	c.Request.Body = media.ExtendDeadlines(c.Writer, c.Request, p.limit+formBytes)
	form, err := c.Request.MultipartReader()
	if err != nil {
		return &surface.Error{
			Status:  http.StatusUnsupportedMediaType,
			Code:    surface.CodeMediaType,
			Message: "The body must be multipart/form-data",
		}
	}
	u, err := s.readForm(c.Request.Context(), p, form)
	if err == nil && u.file == "" {
		err = surface.Missing("file")
	}
	if err == nil {
		err = fn(u)
	}
	u.release()
	if err != nil && u.file != "" {
		// The caller may have disconnected. If this fails, the sweeper deletes the file when its lease expires.
		_ = db.ReleaseFile(context.WithoutCancel(c.Request.Context()), s.DB, u.file)
	}
	return err
}

// readForm reads a form to its end. With an error, the caller must release the returned upload and its file.
func (s *server) readForm(ctx context.Context, p uploadPolicy, form *multipart.Reader) (u upload, err error) {
	u = upload{fields: map[string]string{}, release: func() {}}
	for {
		part, err := form.NextPart()
		if errors.Is(err, io.EOF) {
			return u, nil
		}
		if err != nil {
			return u, p.refuseForm(err)
		}
		name := part.FormName()
		if name != "file" {
			if u.fields[name], err = p.readField(name, part); err != nil {
				return u, err
			}
			continue
		}
		if u.file != "" {
			return u, surface.Invalid("file", "There must be one file")
		}
		if err := s.storeFile(ctx, p, part, &u); err != nil {
			return u, p.refuseFile(err)
		}
	}
}

func (p uploadPolicy) readField(name string, r io.Reader) (string, error) {
	raw, err := io.ReadAll(io.LimitReader(r, fieldBytes+1))
	switch {
	case err != nil:
		return "", p.refuseForm(err)
	case len(raw) > fieldBytes:
		return "", surface.Invalid(surface.Clip(name), "This field is too long")
	case !utf8.Valid(raw) || !utf8.ValidString(name):
		return "", surface.BadBody("The form must be valid UTF-8")
	}
	return string(raw), nil
}

// storeFile reserves a new name and stores the form's file under it.
func (s *server) storeFile(ctx context.Context, p uploadPolicy, part *multipart.Part, u *upload) error {
	contentType, whole, err := media.Sniff(part, p.kind, part.FileName())
	if err != nil {
		return err
	}
	name := pg.NewID().String()
	if u.release, err = (media.Reservations{DB: s.DB, Logger: s.Logger}).Reserve(ctx, name); err != nil {
		u.release = func() {}
		return err
	}
	u.file, u.contentType = name, contentType
	u.size, err = s.Videos.Store.Put(ctx, name, whole, p.limit)
	return err
}

func (p uploadPolicy) tooLarge() error {
	return &surface.Error{
		Status: http.StatusRequestEntityTooLarge, Code: surface.CodeTooLarge,
		Message: fmt.Sprintf("The file must be at most %d bytes", p.limit), Details: surface.Details{"maxBytes": p.limit},
	}
}

// refuseFile turns a sender's error into a refusal and returns any other error unchanged.
func (p uploadPolicy) refuseFile(err error) error {
	switch {
	case errors.Is(err, media.ErrTooLarge):
		return p.tooLarge()
	case errors.Is(err, media.ErrFull):
		return surface.Busy("The store of files is full")
	case errors.Is(err, media.ErrType):
		return surface.Invalid("file", p.refusal)
	case media.IsInterrupted(err):
		return p.refuseForm(err)
	}
	return err
}

// refuseForm returns the refusal of a form that could not be read.
func (p uploadPolicy) refuseForm(err error) error {
	var tooMany *http.MaxBytesError
	switch {
	case errors.As(err, &tooMany):
		return p.tooLarge()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &surface.Error{
			Status:  http.StatusRequestTimeout,
			Code:    surface.CodeUnavailable,
			Message: "The upload took too long",
		}
	}
	return surface.BadBody("The form could not be read to its end")
}

// stream answers with a stored file, whole or in part.
func (s *server) stream(c *gin.Context, name, contentType string) error {
	if s.Videos.Store == nil {
		return pg.ErrNotFound
	}
	f, err := s.Videos.Store.Open(c.Request.Context(), name)
	if errors.Is(err, media.ErrNotFound) { // replaced or deleted since the row was read
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

package media

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/gabriel-vasile/mimetype"
)

// ErrType says that a file is not of the kind that is wanted.
var ErrType = errors.New("file is of another kind")

// sniffBytes are enough for every signature that is known here: mimetype's own limit.
const sniffBytes = 3072

// Kind says what an upload may be, by what its first bytes were found to be and, where they leave that open, by what
// its sender calls it. It returns the type to keep it as, "" for one that is refused. What is streamed back to a
// browser must be nothing that it would run.
type Kind func(found *mimetype.MIME, head []byte, name string) string

// Sniff tells from the first bytes what an upload is, whatever its sender calls it, and returns it whole; ErrType
// when it is not of that kind, or empty.
func Sniff(r io.Reader, kind Kind, name string) (contentType string, whole io.Reader, err error) {
	buffered := bufio.NewReaderSize(r, sniffBytes)
	head, err := buffered.Peek(sniffBytes)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", nil, fmt.Errorf("read beginning of file: %w", &brokenOff{err})
	}
	if len(head) > 0 {
		contentType = kind(mimetype.Detect(head), head, name)
	}
	if contentType == "" {
		return "", nil, ErrType
	}
	return contentType, buffered, nil
}

// Recording is video or audio.
func Recording(found *mimetype.MIME, _ []byte, _ string) string {
	contentType := plain(found)
	if strings.HasPrefix(contentType, "video/") || strings.HasPrefix(contentType, "audio/") {
		return contentType
	}
	return ""
}

// Photo is an image of the types that browsers show, and none that is a program (SVG).
func Photo(found *mimetype.MIME, _ []byte, _ string) string {
	switch contentType := plain(found); contentType {
	case "image/jpeg", "image/png", "image/gif", "image/webp":
		return contentType
	}
	return ""
}

// Document is what a CV may be in the interview suite (its reference, 2.5): doc, pdf, postscript, powerpoint, dvi,
// text and richtext; and what has taken the place of doc and powerpoint since.
func Document(found *mimetype.MIME, head []byte, name string) string {
	switch contentType := plain(found); contentType {
	case "application/msword", "application/pdf", "application/postscript", "application/vnd.ms-powerpoint", "text/rtf",
		"application/vnd.openxmlformats-officedocument.wordprocessingml.document",
		"application/vnd.openxmlformats-officedocument.presentationml.presentation":
		return contentType
	case "text/plain":
		return found.String() // with its character set
	case "application/x-ole-storage":
		return officeType(name)
	}
	if bytes.HasPrefix(head, []byte("\xf7\x02")) {
		return "application/x-dvi"
	}
	for m := found.Parent(); m != nil; m = m.Parent() {
		if m.Is("text/plain") { // JSON, HTML, a list: as nothing but text
			return "text/plain"
		}
	}
	return ""
}

// officeType tells doc from powerpoint where the place in the file that says it lies behind the beginning.
func officeType(name string) string {
	return map[string]string{
		".doc": "application/msword", ".dot": "application/msword",
		".ppt": "application/vnd.ms-powerpoint", ".pps": "application/vnd.ms-powerpoint",
	}[strings.ToLower(path.Ext(name))]
}

// plain is a type without its parameters.
func plain(m *mimetype.MIME) string {
	contentType, _, _ := strings.Cut(m.String(), ";")
	return contentType
}

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

// ErrType means that a file is not of the required kind.
var ErrType = errors.New("file is of the wrong kind")

// sniffBytes is enough for every signature that mimetype knows: its own limit.
const sniffBytes = 3072

// Kind decides which uploads are accepted. found is the type detected from head, the file's first bytes; name is the
// sender's file name, for types that head does not determine. It returns the content type to store, or "" to refuse the
// file. It must not return a type that a browser would execute.
type Kind func(found *mimetype.MIME, head []byte, name string) string

// Sniff detects the content type from the first bytes of r and returns a reader of the whole file. A file that is empty
// or of another kind is ErrType.
func Sniff(r io.Reader, kind Kind, name string) (contentType string, whole io.Reader, err error) {
	buffered := bufio.NewReaderSize(r, sniffBytes)
	head, err := buffered.Peek(sniffBytes)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", nil, fmt.Errorf("read beginning of file: %w", &interruptedError{err})
	}
	if len(head) > 0 {
		contentType = kind(mimetype.Detect(head), head, name)
	}
	if contentType == "" {
		return "", nil, ErrType
	}
	return contentType, buffered, nil
}

// Recording accepts video and audio.
func Recording(found *mimetype.MIME, _ []byte, _ string) string {
	contentType := plain(found)
	if strings.HasPrefix(contentType, "video/") || strings.HasPrefix(contentType, "audio/") {
		return contentType
	}
	return ""
}

// Photo accepts the image types that browsers show, but not SVG, which can contain scripts.
func Photo(found *mimetype.MIME, _ []byte, _ string) string {
	switch contentType := plain(found); contentType {
	case "image/jpeg", "image/png", "image/gif", "image/webp":
		return contentType
	}
	return ""
}

// Document accepts the types of a CV in the interview suite (its reference, 2.5): doc, pdf, postscript, powerpoint,
// dvi, text and richtext. It also accepts docx and pptx, the successors of doc and powerpoint.
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
		if m.Is("text/plain") { // JSON, HTML or CSV is served as plain text
			return "text/plain"
		}
	}
	return ""
}

// officeType distinguishes doc from powerpoint by the file name, because an OLE file may not show it in its first
// bytes.
func officeType(name string) string {
	return map[string]string{
		".doc": "application/msword", ".dot": "application/msword",
		".ppt": "application/vnd.ms-powerpoint", ".pps": "application/vnd.ms-powerpoint",
	}[strings.ToLower(path.Ext(name))]
}

// plain returns a type without its parameters.
func plain(m *mimetype.MIME) string {
	contentType, _, _ := strings.Cut(m.String(), ";")
	return contentType
}

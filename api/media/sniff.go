package media

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/gabriel-vasile/mimetype"
)

// ErrType says that a file is neither video nor audio.
var ErrType = errors.New("file is neither video nor audio")

// sniffBytes are enough for every signature that is known here: mimetype's own limit.
const sniffBytes = 3072

// Sniff tells from the first bytes what an upload is, whatever its sender calls it, and returns it whole. It is ErrType for
// everything but video and audio: what is streamed back to a browser must be nothing that it would run.
func Sniff(r io.Reader) (contentType string, whole io.Reader, err error) {
	buffered := bufio.NewReaderSize(r, sniffBytes)
	head, err := buffered.Peek(sniffBytes)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", nil, fmt.Errorf("read beginning of file: %w", &brokenOff{err})
	}
	contentType, _, _ = strings.Cut(mimetype.Detect(head).String(), ";")
	if !strings.HasPrefix(contentType, "video/") && !strings.HasPrefix(contentType, "audio/") {
		return "", nil, ErrType
	}
	return contentType, buffered, nil
}

package media

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// A transfer may take the time that its size needs at minRate, plus a minute. An upload that sends nothing for
// stallTimeout is aborted earlier. Without these bounds slow clients could hold all connections.
const (
	minRate      = 128 << 10 // bytes per second, 1 Mbit/s
	stallTimeout = 30 * time.Second
)

func transferTime(bytes int64) time.Duration {
	return time.Minute + time.Duration(bytes/minRate)*time.Second
}

// ErrRange means that the requested range is outside the file. The response's Content-Range header is already set.
var ErrRange = errors.New("range is not in the file")

// Serve answers GET and HEAD with a file: whole, in part, or 304 when the client has it (If-None-Match, If-Range,
// If-Modified-Since). The caller must answer only ErrRange. The server's write timeout is replaced by one that grows
// with the file's size.
func Serve(w http.ResponseWriter, r *http.Request, f *File, name, contentType string) error {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("ETag", `"`+name+`"`)
	h.Set("Cache-Control", "private, no-cache") // a replaced file keeps its address
	h.Set("Content-Disposition", "inline")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'")
	_ = http.NewResponseController(w).
		SetWriteDeadline(time.Now().Add(transferTime(f.Size)))
		// not every writer supports deadlines
	catcher := &rangeCatcher{ResponseWriter: w}
	http.ServeContent(catcher, r, "", f.ModTime, f)
	if !catcher.refused {
		return nil
	}
	// These headers describe the file or net/http's error text; the caller writes its own error.
	for _, name := range []string{"Content-Type", "Content-Disposition", "Content-Security-Policy"} {
		h.Del(name)
	}
	return ErrRange
}

// rangeCatcher suppresses a 416, so that the surface can answer it in its own format.
type rangeCatcher struct {
	http.ResponseWriter
	refused bool
}

func (c *rangeCatcher) WriteHeader(status int) {
	c.refused = status == http.StatusRequestedRangeNotSatisfiable
	if !c.refused {
		c.ResponseWriter.WriteHeader(status)
	}
}

func (c *rangeCatcher) Write(p []byte) (int, error) {
	if c.refused {
		return len(p), nil
	}
	return c.ResponseWriter.Write(p)
}

// ExtendDeadlines returns the request's body with read and write deadlines that follow its size, in place of the
// server's timeouts. More than limit bytes fail with http.MaxBytesError.
func ExtendDeadlines(w http.ResponseWriter, r *http.Request, limit int64) io.ReadCloser {
	bytes := limit
	if r.ContentLength >= 0 {
		bytes = min(r.ContentLength, limit)
	}
	control := http.NewResponseController(w)
	end := time.Now().Add(transferTime(bytes))
	_ = control.SetWriteDeadline(end.Add(time.Minute)) // not every writer supports deadlines
	return &uploadBody{ReadCloser: http.MaxBytesReader(w, r.Body, limit), control: control, end: end}
}

// uploadBody renews the read deadline with each read, up to end.
type uploadBody struct {
	io.ReadCloser
	control *http.ResponseController
	end     time.Time
}

func (u *uploadBody) Read(b []byte) (int, error) {
	deadline := time.Now().Add(stallTimeout)
	if deadline.After(u.end) {
		deadline = u.end
	}
	_ = u.control.SetReadDeadline(deadline)
	return u.ReadCloser.Read(b)
}

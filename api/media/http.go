package media

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// A transfer may take as long as its size needs at slowest bytes a second (1 Mbit/s), and a minute more. An upload
// that sends nothing for stall is given up before. Without a bound, slow clients could hold all connections.
const (
	slowest = 128 << 10
	stall   = 30 * time.Second
)

func transferTime(bytes int64) time.Duration {
	return time.Minute + time.Duration(bytes/slowest)*time.Second
}

// ErrRange says that the client asked for a part that the file does not have. The answer's Content-Range header is set.
var ErrRange = errors.New("range is not in the file")

// Serve answers GET and HEAD with a file: whole, in ranges, or not at all when the client has it (If-None-Match,
// If-Range, If-Modified-Since). Only ErrRange is left to the caller to answer. The server's time limit for answers is
// replaced by one that grows with the size.
func Serve(w http.ResponseWriter, r *http.Request, f *File, name, contentType string) error {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("ETag", `"`+name+`"`)
	h.Set("Cache-Control", "private, no-cache") // the address stays when the file is replaced
	h.Set("Content-Disposition", "inline")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'")
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(transferTime(f.Size))) // not every writer has one
	catcher := &rangeCatcher{ResponseWriter: w}
	http.ServeContent(catcher, r, "", f.ModTime, f)
	if !catcher.refused {
		return nil
	}
	for _, name := range []string{"Content-Type", "Content-Disposition", "Content-Security-Policy"} { // of a file, or of net/http's own words
		h.Del(name)
	}
	return ErrRange
}

// rangeCatcher leaves a 416 to the surface, which says it in its own words.
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

// Patient gives a request's body the time that so many bytes need, in place of the server's time limit for requests.
// More than limit bytes end it with http.MaxBytesError.
func Patient(w http.ResponseWriter, r *http.Request, limit int64) io.ReadCloser {
	bytes := limit
	if r.ContentLength >= 0 {
		bytes = min(r.ContentLength, limit)
	}
	control := http.NewResponseController(w)
	end := time.Now().Add(transferTime(bytes))
	_ = control.SetWriteDeadline(end.Add(time.Minute)) // not every writer has one
	return &patient{ReadCloser: http.MaxBytesReader(w, r.Body, limit), control: control, end: end}
}

type patient struct {
	io.ReadCloser
	control *http.ResponseController
	end     time.Time
}

func (p *patient) Read(b []byte) (int, error) {
	by := time.Now().Add(stall)
	if by.After(p.end) {
		by = p.end
	}
	_ = p.control.SetReadDeadline(by)
	return p.ReadCloser.Read(b)
}

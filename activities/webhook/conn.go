package webhook

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http/httptrace"
	"net/textproto"
	"sync"
	"sync/atomic"
	"syscall"
)

// maxInformational is how many 1xx answers may come before the real one. A receiver needs one or two.
const maxInformational = 10

var errInformational = errors.New("too many informational answers")

// earlyReader is a TCP connection that hides that the receiver no longer reads: a receiver may answer 413 or 410 and
// close before it has read the whole request (RFC 9112 §9.6), and that answer can still be read.
type earlyReader struct{ net.Conn }

func (c earlyReader) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) {
		return len(p), nil // reading tells the same, after the answer if there is one
	}
	return n, err
}

// conn is a connection as HTTP has it, with or without TLS. It notes what net/http does not tell about a failed answer.
type conn struct {
	net.Conn
	tcp   net.Conn
	read  atomic.Int64 // bytes
	ended atomic.Bool  // the receiver closed its side
}

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.read.Add(int64(n))
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) {
		c.ended.Store(true)
	}
	return n, err
}

// progress is how far one POST came, and its connection. net/http reports from several goroutines.
type progress struct {
	answered      atomic.Bool // a byte of an answer came
	informational atomic.Int32

	mu      sync.Mutex
	reused  bool
	conn    *conn
	readAt  int64 // what the connection had read before this POST
	stopped bool
}

// watch returns ctx with p reporting.
func (p *progress) watch(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn:              p.gotConn,
		GotFirstResponseByte: func() { p.answered.Store(true) },
		Got1xxResponse: func(int, textproto.MIMEHeader) error {
			if p.informational.Add(1) > maxInformational {
				return errInformational
			}
			return nil
		},
	})
}

func (p *progress) gotConn(info httptrace.GotConnInfo) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reused = info.Reused
	if c, is := info.Conn.(*conn); is {
		p.conn, p.readAt = c, c.read.Load()
	}
	if p.stopped {
		p.closeLocked()
	}
}

// stop closes the connection below TLS and HTTP, whatever state they are in. A context is not enough: net/http no
// longer looks at it once an answer has taken the connection over (101).
func (p *progress) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
	p.closeLocked()
}

func (p *progress) closeLocked() {
	if p.conn != nil {
		_ = p.conn.tcp.Close() // it may be closed already
	}
}

// connected reports whether there was a connection to send on.
func (p *progress) connected() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.conn != nil
}

// idleClosed reports whether the POST went out on a connection that the receiver had kept open and brought no byte of
// an answer: most likely the receiver closed the connection while it was idle, and never saw the request.
func (p *progress) idleClosed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reused && !p.answered.Load()
}

// headerTooLarge reports whether as much as an answer's headers may have was read.
func (p *progress) headerTooLarge() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.conn != nil && p.conn.read.Load()-p.readAt >= maxHeaderBytes
}

// ended reports whether the receiver closed the connection.
func (p *progress) ended() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.conn != nil && p.conn.ended.Load()
}

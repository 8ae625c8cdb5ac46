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

// maxInformational bounds the 1xx answers before the final one. Receivers send one or two.
const maxInformational = 10

var errInformational = errors.New("too many informational answers")

// earlyReader is a TCP connection that hides write errors after the receiver closed it. A receiver may answer 413 or
// 410 and close before it has read the whole request (RFC 9112 §9.6); that answer can still be read.
type earlyReader struct{ net.Conn }

func (c earlyReader) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) {
		return len(p), nil // a read returns the same error, after the answer if there is one
	}
	return n, err
}

// conn is a connection as HTTP sees it, with or without TLS. It records what net/http does not report about a failed
// answer.
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

// progress records how far one POST came, and on which connection. net/http reports from several goroutines.
type progress struct {
	answered      atomic.Bool // the first byte of an answer came
	informational atomic.Int32

	mu      sync.Mutex
	reused  bool
	conn    *conn
	readAt  int64 // bytes that the connection had read before this POST
	stopped bool
}

// watch returns a copy of ctx that makes net/http report to p.
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

// stop closes the TCP connection, whatever the state of TLS and HTTP above it. Canceling the context is not enough:
// net/http ignores it after a 101 answer.
func (p *progress) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
	p.closeLocked()
}

func (p *progress) closeLocked() {
	if p.conn != nil {
		_ = p.conn.tcp.Close() // may be closed already
	}
}

// connected reports whether the POST had a connection.
func (p *progress) connected() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.conn != nil
}

// idleClosed reports whether the POST used an idle connection and got no byte of an answer: most likely the receiver
// closed the connection while it was idle and never saw the request.
func (p *progress) idleClosed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reused && !p.answered.Load()
}

// headerTooLarge reports whether the answer's headers reached maxHeaderBytes.
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

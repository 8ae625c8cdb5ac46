package service

import (
	"net"
	"net/http"
	"sync"
	"time"
)

// connLimit bounds the open connections of a server, and so their memory: one that sends its request slowly takes up to
// 100 KiB. At the limit it closes the connection that has been idle longest, as its time-out would, so that clients
// that keep idle connections do not lock others out. If all connections have a request in progress, a new one waits.
type connLimit struct {
	net.Listener
	slots chan struct{}

	mu      sync.Mutex
	idle    map[net.Conn]time.Time // since when
	waiting bool                   // a new connection waits, and none was closed for it
}

func limitConns(ln net.Listener, most int) *connLimit {
	return &connLimit{Listener: ln, slots: make(chan struct{}, most), idle: map[net.Conn]time.Time{}}
}

// Accept implements [net.Listener].
func (l *connLimit) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	select {
	case l.slots <- struct{}{}:
	default:
		l.awaitSlot()
	}
	return &limitedConn{Conn: conn, release: sync.OnceFunc(func() { <-l.slots })}, nil
}

// track is the server's ConnState.
func (l *connLimit) track(conn net.Conn, state http.ConnState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case state != http.StateIdle:
		delete(l.idle, conn)
	case l.waiting:
		l.waiting = false // one slot is wanted
		_ = conn.Close()
	default:
		l.idle[conn] = time.Now()
	}
}

func (l *connLimit) awaitSlot() {
	l.setWaiting(true)
	defer l.setWaiting(false)
	l.slots <- struct{}{}
}

// setWaiting closes an idle connection when waiting begins; track closes the next one that becomes idle.
func (l *connLimit) setWaiting(waiting bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting = waiting
	if !waiting {
		return
	}
	var longest net.Conn
	for conn, since := range l.idle {
		if longest == nil || since.Before(l.idle[longest]) {
			longest = conn
		}
	}
	if longest != nil {
		l.waiting = false
		delete(l.idle, longest)
		_ = longest.Close()
	}
}

// limitedConn returns its slot when it is closed.
type limitedConn struct {
	net.Conn
	release func()
}

// Close implements [net.Conn].
func (c *limitedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}

package listen

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// Server serves a Receiver on a TCP address.
type Server struct {
	URL  string // with the actual port
	srv  *http.Server
	done chan error
}

// Serve listens on addr, "host:port" with 0 for a free port, and serves h until Close. Errors name the address.
func Serve(ctx context.Context, addr string, h http.Handler) (*Server, error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen for deliveries: %w", err)
	}
	s := &Server{
		URL:  "http://" + ln.Addr().String() + "/",
		srv:  &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second},
		done: make(chan error, 1),
	}
	go func() { s.done <- s.srv.Serve(ln) }()
	return s, nil
}

// Wait returns nil when ctx ends, or the error of the server.
func (s *Server) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-s.done:
		return fmt.Errorf("serve deliveries: %w", err)
	}
}

// Close waits up to a second for responses in progress, then aborts them.
func (s *Server) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	err := s.srv.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return s.srv.Close()
	}
	return err
}

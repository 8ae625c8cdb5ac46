package devstack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"
)

// FreePort gives a TCP port of 127.0.0.1 that nothing listens on. Another process can take it before the caller does; the
// kernel hands such ports out in turn, so that is rare.
func FreePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // immediate
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port, nil //nolint:forcetypeassert // a TCP listener has no other address
}

// portOrFree is the port itself, or a free one for 0.
func portOrFree(port int) (int, error) {
	if port != 0 {
		return port, nil
	}
	return FreePort()
}

// CheckPort fails with one line that names the port, who holds it as far as this user may see, and the setting that moves
// Greenroom elsewhere.
func CheckPort(ctx context.Context, port int, what, setting string) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err == nil {
		return listener.Close()
	}
	if !errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("port %d for %s cannot be opened (%w): choose another with %s", port, what, err, setting)
	}
	return fmt.Errorf("port %d for %s is in use%s: stop that program, or choose another port with %s",
		port, what, portHolder(ctx, port), setting)
}

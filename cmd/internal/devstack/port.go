package devstack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// handedOut are the ports that FreePort has given. The kernel may give a port again before its first caller listens
// on it.
var handedOut sync.Map

// FreePort gives a TCP port of 127.0.0.1 that nothing listens on, each time another one. Another process can take it
// before the caller does, which is rare.
func FreePort() (int, error) {
	for {
		listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // immediate
		if err != nil {
			return 0, fmt.Errorf("find a free port: %w", err)
		}
		port := listener.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert // a TCP listener has no other address
		_ = listener.Close()
		if _, given := handedOut.LoadOrStore(port, true); !given {
			return port, nil
		}
	}
}

// portOrFree is the port itself, or a free one for 0.
func portOrFree(port int) (int, error) {
	if port != 0 {
		return port, nil
	}
	return FreePort()
}

// portPatience is how long a port in use may take to become free. A socket that was closed a moment ago is still open
// in every child that the process was starting at that time, until the child runs its program: FreePort's own probe
// is such a socket.
const portPatience = 500 * time.Millisecond

// CheckAddr fails with one line when host:port cannot be listened on. The line names the port, who holds it as far as
// this user may see, and the setting that moves Greenroom elsewhere.
func CheckAddr(ctx context.Context, addr, what, setting string) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	for patient := time.Now().Add(portPatience); errors.Is(err, syscall.EADDRINUSE) && time.Now().Before(patient); {
		if sleep(ctx, portPatience/20) != nil {
			return ctx.Err()
		}
		listener, err = new(net.ListenConfig).Listen(ctx, "tcp", addr)
	}
	if err == nil {
		return listener.Close() //nolint:wrapcheck // closing what nobody has used does not fail
	}
	if !errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%s cannot be opened for %s: %w: choose another with %s", addr, what, err, setting)
	}
	_, port, _ := net.SplitHostPort(addr) // it was good enough to listen on
	number, _ := strconv.Atoi(port)
	return fmt.Errorf("port %s for %s is in use%s: stop that program, or choose another port with %s",
		port, what, portHolder(ctx, number), setting)
}

// loopback is host:port of a child: none of them can be reached from another machine.
func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

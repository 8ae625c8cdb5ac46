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

// handedOut are the ports that FreePort has returned. The kernel can choose a port again before its first caller
// listens on it.
var handedOut sync.Map

var errNoFreePort = errors.New("find a free port: each one was used by this process before")

// freePortTries is how often FreePort asks the kernel, which chooses among some 28,000 ports, for one that it has not
// returned before.
const freePortTries = 1000

// FreePort returns a free TCP port of 127.0.0.1, a different one each time, and fails when hardly any port is left that
// it has not returned before. Another process can take the port before the caller does, which is rare.
func FreePort() (int, error) { return freePort(&handedOut) }

func freePort(given *sync.Map) (int, error) {
	for range freePortTries {
		listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // immediate
		if err != nil {
			return 0, fmt.Errorf("find a free port: %w", err)
		}
		port := listener.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert // a TCP listener has no other address
		_ = listener.Close()
		if _, before := given.LoadOrStore(port, true); !before {
			return port, nil
		}
	}
	return 0, errNoFreePort
}

// portOrFree returns the port, or a free one for 0.
func portOrFree(port int) (int, error) {
	if port != 0 {
		return port, nil
	}
	return FreePort()
}

// portWait is how long CheckAddr waits for a port in use. A socket that was just closed is still open
// in every child that this process was starting at that time, until the child executes its program. FreePort's probe
// is such a socket.
const portWait = 500 * time.Millisecond

// CheckAddr returns an error of one line if host:port is not free. The line names the port, the process that uses it if
// visible to this user, and the setting that selects another port.
func CheckAddr(ctx context.Context, addr, what, setting string) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	for patient := time.Now().Add(portWait); errors.Is(err, syscall.EADDRINUSE) && time.Now().Before(patient); {
		if sleep(ctx, portWait/20) != nil {
			return ctx.Err()
		}
		listener, err = new(net.ListenConfig).Listen(ctx, "tcp", addr)
	}
	if err == nil {
		return listener.Close() //nolint:wrapcheck // closing an unused listener does not fail
	}
	if !errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%s cannot be opened for %s: %w: choose another with %s", addr, what, err, setting)
	}
	_, port, _ := net.SplitHostPort(addr) // valid: Listen parsed it
	number, _ := strconv.Atoi(port)
	return fmt.Errorf("port %s for %s is in use%s: stop that program, or choose another port with %s",
		port, what, portHolder(ctx, number), setting)
}

// loopback returns host:port for a child. Children are not reachable from other machines.
func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

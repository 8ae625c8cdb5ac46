package service

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// limited serves with at most two connections; the handler of /wait sends on entered and waits for leave.
func limited(t *testing.T) (conns *connLimit, entered, leave chan struct{}) {
	t.Helper()
	entered, leave = make(chan struct{}), make(chan struct{})
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			entered <- struct{}{}
			<-leave
		}
	}))
	conns = limitConns(srv.Listener, 2)
	srv.Listener, srv.Config.ConnState = conns, conns.track
	srv.Start()
	t.Cleanup(srv.Close)
	return conns, entered, leave
}

func dialConn(t *testing.T, l *connLimit) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func ask(t *testing.T, conn net.Conn, path string) {
	t.Helper()
	_, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path)
	require.NoError(t, err)
}

func isAnswered(t *testing.T, conn net.Conn) {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode)
}

func TestConnLimit_closes_the_connection_that_is_idle_longest(t *testing.T) {
	t.Parallel()
	conns, _, _ := limited(t)
	var open []net.Conn
	for idle := range 2 {
		open = append(open, dialConn(t, conns))
		ask(t, open[idle], "/")
		isAnswered(t, open[idle])
		require.Eventually(t, func() bool {
			conns.mu.Lock()
			defer conns.mu.Unlock()
			return len(conns.idle) == idle+1
		}, 10*time.Second, time.Millisecond)
	}
	first, second, third := open[0], open[1], dialConn(t, conns)
	ask(t, third, "/")
	isAnswered(t, third)
	_, err := first.Read(make([]byte, 1))
	require.Error(t, err, "closed")
	ask(t, second, "/")
	isAnswered(t, second)
}

func TestConnLimit_makes_new_connections_wait_while_all_are_in_use(t *testing.T) {
	t.Parallel()
	conns, entered, leave := limited(t)
	for range 2 {
		ask(t, dialConn(t, conns), "/wait")
		<-entered
	}
	waiting := dialConn(t, conns)
	ask(t, waiting, "/wait")
	select {
	case <-entered:
		t.Fatal("a third request is served")
	default:
	}
	leave <- struct{}{} // this connection becomes idle and is closed
	<-entered
	close(leave)
	isAnswered(t, waiting)
}

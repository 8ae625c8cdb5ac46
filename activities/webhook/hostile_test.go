package webhook_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"greenroom/activities/webhook"
)

// rawReceiver passes each connection to answer, then closes it. It returns its address. The end of the test closes all
// connections, so that a failed test does not wait for a sender that keeps one open.
func rawReceiver(t *testing.T, answer func(net.Conn, *bufio.Reader)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var running sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer func() { _ = conn.Close() }()
				defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
				answer(conn, bufio.NewReader(conn))
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		cancel()
		running.Wait()
	})
	return listener.Addr().String()
}

// held keeps a connection until the other side closes it.
func held(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

// endless repeats a piece until the other side closes the connection.
func endless(conn net.Conn, piece string, every time.Duration) {
	for {
		if _, err := io.WriteString(conn, piece); err != nil {
			return
		}
		time.Sleep(every) // the receiver's own pace
	}
}

const drip = 5 * time.Millisecond

// hostile holds ways to answer that never end.
var hostile = map[string]func(net.Conn){
	"switching_protocols": func(c net.Conn) {
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
		held(c)
	},
	"switching_protocols_and_talking": func(c net.Conn) {
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
		endless(c, "frame", drip)
	},
	"silence":     held,
	"endless_100": func(c net.Conn) { endless(c, "HTTP/1.1 100 Continue\r\n\r\n", 0) },
	"dripped_103": func(c net.Conn) {
		endless(c, "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", 100*time.Millisecond)
	},
	"dripped_status": func(c net.Conn) { endless(c, "H", drip) },
	"endless_headers": func(c net.Conn) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n")
		endless(c, "X-Filler: "+strings.Repeat("x", 1000)+"\r\n", 0)
	},
	"dripped_headers": func(c net.Conn) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n")
		endless(c, "X: y\r\n", drip)
	},
	"held_body": func(c net.Conn) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
		held(c)
	},
	"dripped_body": func(c net.Conn) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
		endless(c, "x", drip)
	},
	"endless_body": func(c net.Conn) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
		endless(c, strings.Repeat("x", 1<<16), 0)
	},
	"endless_chunks": func(c net.Conn) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		endless(c, "1\r\nx\r\n", drip)
	},
	"endless_trailers": func(c net.Conn) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n0\r\n")
		endless(c, "X: y\r\n", drip)
	},
	"half_closed": func(c net.Conn) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
		if tcp, is := c.(*net.TCPConn); is {
			_ = tcp.CloseWrite()
		}
		held(c)
	},
	"connect_style_answer": func(c net.Conn) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 Connection established\r\nConnection: keep-alive\r\n\r\n")
		held(c)
	},
}

// TestSendLeaksNothing: each attempt ends although the receiver's answer does not, and leaves no goroutine and no
// connection. Not parallel, because it counts the goroutines of the process.
func TestSendLeaksNothing(t *testing.T) {
	var open atomic.Int64
	serve := func(conn net.Conn) {
		open.Add(1)
		defer open.Add(-1)
		defer func() { _ = conn.Close() }()
		if r, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
			hostile[r.URL.Path[1:]](conn)
		}
	}
	ca := httptest.NewUnstartedServer(nil)
	ca.StartTLS()
	defer ca.Close()
	pool := x509.NewCertPool()
	pool.AddCert(ca.Certificate())
	plain := rawReceiver(t, func(conn net.Conn, _ *bufio.Reader) { serve(conn) })
	secure := rawReceiver(t, func(conn net.Conn, _ *bufio.Reader) {
		serve(tls.Server(conn, &tls.Config{Certificates: ca.TLS.Certificates, MinVersion: tls.VersionTLS12}))
	})
	stalled := rawReceiver(t, func(conn net.Conn, _ *bufio.Reader) {
		open.Add(1)
		defer open.Add(-1)
		held(conn)
	})
	client := webhook.NewClient(webhook.ClientOptions{AllowHTTP: true, AllowLoopback: true, RootCAs: pool})
	base := runtime.NumGoroutine()

	var sending sync.WaitGroup
	send := func(url string) {
		req := request(t, url)
		req.Timeout = 300 * time.Millisecond
		sending.Go(func() {
			resp := client.Send(t.Context(), req)
			assert.Less(t, resp.Duration, 10*time.Second)
		})
	}
	rounds, together := 5, 7 // of 15 ways × 2, and a stalled handshake: 1,085 attempts in all
	if testing.Short() {
		rounds, together = 1, 1
	}
	for range rounds {
		for range together {
			for way := range hostile {
				send("http://" + plain + "/" + way)
				send("https://" + secure + "/" + way)
			}
			send("https://" + stalled)
		}
		sending.Wait()
	}
	client.CloseIdleConnections()
	assert.Eventually(
		t,
		func() bool { return open.Load() == 0 },
		10*time.Second,
		10*time.Millisecond,
		"connections are left open",
	)
	base++ // Eventually's own
	assert.Eventually(
		t,
		func() bool { return runtime.NumGoroutine() <= base },
		10*time.Second,
		10*time.Millisecond,
		"goroutines are left",
	)
}

func TestSendHostileVerdicts(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]webhook.Response{
		"switching_protocols":             {StatusCode: 101, Error: "HTTP 101 Switching Protocols"},
		"switching_protocols_and_talking": {StatusCode: 101, Error: "HTTP 101 Switching Protocols"},
		"silence": {
			ErrorKind: webhook.KindTimeout, Error: "Connection timeout: connected, but no answer came in time",
		},
		"endless_100": {
			ErrorKind: webhook.KindProtocol,
			Error:     "More than 10 informational answers (1xx) came before the final answer",
		},
		"endless_headers": {
			ErrorKind: webhook.KindProtocol, Error: "The answer's headers are larger than 64 KiB",
		},
		"dripped_headers": {
			ErrorKind: webhook.KindTimeout,
			Error:     "Connection timeout: the answer began, but its headers did not end in time",
		},
		"held_body":        {StatusCode: 200},
		"endless_body":     {StatusCode: 200},
		"endless_trailers": {StatusCode: 200},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := webhook.NewClient(webhook.ClientOptions{AllowHTTP: true, AllowLoopback: true})
			address := rawReceiver(t, func(conn net.Conn, r *bufio.Reader) {
				if _, err := http.ReadRequest(r); err == nil {
					hostile[name](conn)
				}
			})
			req := request(t, "http://"+address)
			req.Timeout = 500 * time.Millisecond
			got := client.Send(t.Context(), req)
			assert.Equal(t, want.StatusCode, got.StatusCode)
			assert.Equal(t, want.ErrorKind, got.ErrorKind)
			assert.Equal(t, want.Error, got.Error)
		})
	}
}

func TestHTTPClientEndsSwitchingProtocols(t *testing.T) {
	t.Parallel()
	closed := make(chan struct{})
	address := rawReceiver(t, func(conn net.Conn, r *bufio.Reader) {
		if _, err := http.ReadRequest(r); err == nil {
			hostile["switching_protocols"](conn)
		}
		close(closed)
	})
	client := webhook.NewClient(webhook.ClientOptions{AllowHTTP: true, AllowLoopback: true}).HTTPClient()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address, nil)
	require.NoError(t, err)
	resp, err := client.Do(req)
	require.NoError(t, err)
	assert.Equal(t, http.StatusSwitchingProtocols, resp.StatusCode)
	_, err = io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	<-closed
}

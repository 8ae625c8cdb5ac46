package webhook_test

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"code.dny.dev/ssrf"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"

	"greenroom/activities/webhook"
)

// TestRebindingNameIsBlocked: a name passes the check of the URL's text, and its DNS server then answers with a blocked
// address. Neither a delivery nor a notification reaches it. Not parallel, because it replaces the process's resolver.
func TestRebindingNameIsBlocked(t *testing.T) {
	b := setup(t, answer(http.StatusOK, nil, ""))
	port := b.URL[strings.LastIndex(b.URL, ":"):]
	server := resolveAll(t, [4]byte{127, 0, 0, 1})
	const name = "http://rebind.example."
	closed := webhook.NewClient(webhook.ClientOptions{AllowHTTP: true, AllowPrivate: true})
	require.NoError(t, closed.CheckURL(name+port+"/"))

	resp := closed.Send(t.Context(), request(t, name+port))
	assert.Equal(t, webhook.KindBlocked, resp.ErrorKind, resp.Error)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, name+port, nil)
	require.NoError(t, err)
	_, err = closed.HTTPClient().Do(req)
	require.ErrorIs(t, err, ssrf.ErrProhibitedIP)
	assert.Zero(t, b.conns.Load())

	require.Equal(t, http.StatusOK, b.client.Send(t.Context(), request(t, name+port)).StatusCode, "the name resolves")
	assert.Positive(t, server.asked.Load())
}

type nameServer struct {
	address string
	asked   atomic.Int64
}

// resolveAll makes the process resolve each name to these addresses until the test ends.
func resolveAll(t *testing.T, addresses ...[4]byte) *nameServer {
	t.Helper()
	server := dnsServer(t, addresses...)
	before := net.DefaultResolver
	t.Cleanup(func() { net.DefaultResolver = before })
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", server.address)
	}}
	return server
}

// dnsServer answers each question for an IPv4 address with the addresses, and others with nothing.
func dnsServer(t *testing.T, addresses ...[4]byte) *nameServer {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	s := &nameServer{address: conn.LocalAddr().String()}
	go func() {
		buffer := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buffer[:n]) != nil || len(m.Questions) == 0 {
				continue
			}
			s.asked.Add(1)
			q := m.Questions[0]
			reply := dnsmessage.Message{
				Header:    dnsmessage.Header{ID: m.ID, Response: true, Authoritative: true},
				Questions: m.Questions,
			}
			if q.Type == dnsmessage.TypeA {
				header := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class}
				for _, a := range addresses {
					reply.Answers = append(reply.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AResource{A: a}})
				}
			}
			if packed, err := reply.Pack(); err == nil {
				_, _ = conn.WriteTo(packed, from)
			}
		}
	}()
	return s
}

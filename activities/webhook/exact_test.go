package webhook_test

import (
	"bufio"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"greenroom/activities/webhook"
)

// TestURLsAreSentAsRegistered: a URL that CheckURL accepts is sent byte for byte.
func TestURLsAreSentAsRegistered(t *testing.T) {
	t.Parallel()
	lines := make(chan [2]string, 1)
	address := rawReceiver(t, func(conn net.Conn, request *bufio.Reader) {
		first, _ := request.ReadString('\n')
		host, _ := request.ReadString('\n')
		lines <- [2]string{strings.TrimSuffix(first, "\r\n"), strings.TrimSuffix(host, "\r\n")}
		_, _ = conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"))
	})
	client := webhook.NewClient(webhook.ClientOptions{AllowHTTP: true, AllowLoopback: true})
	for _, target := range []string{
		"/", "/?", "/a?", "//", "//a//b/", "/a/../b", "/./a", "/%2e%2E/", "/a%2Fb", "/a%2fb", "/%7Ea", "/~a", "/a+b",
		"/a;b=c", "/?a=%2f%2F&b=+&c=%20", "/?a;b", "/?a=[1]&b[]=2", "/a[1]", "/?a=b=c", "/?&&", "/?a?b", "/a:b@c",
		"/!$&'()*,=", "/%25", "/%00", "/?%00",
		"/%C3%B6", "/%c3%b6", "/%FF", "/a%5Cb", "/?url=https://example.com:443/x", "/%2F%7B%7D?%7B",
	} {
		url := "http://" + address + target
		require.NoError(t, client.CheckURL(url), url)
		require.Equal(t, http.StatusOK, client.Send(t.Context(), request(t, url)).StatusCode, url)
		line := <-lines
		assert.Equal(t, "POST "+target+" HTTP/1.1", line[0])
		assert.Equal(t, "Host: "+address, line[1])
	}

	_, port, err := net.SplitHostPort(address)
	require.NoError(t, err)
	for written, host := range map[string]string{"HTTP://LocalHost:" + port + "?a": "LocalHost:" + port} {
		require.Equal(t, http.StatusOK, client.Send(t.Context(), request(t, written)).StatusCode, written)
		assert.Equal(t, "Host: "+host, (<-lines)[1])
	}
}

// TestSendRefusesWhatRegistrationWould: a webhook may be older than the rules.
func TestSendRefusesWhatRegistrationWould(t *testing.T) {
	t.Parallel()
	b := setup(t, answer(http.StatusOK, nil, ""))
	for _, target := range []string{"/?city=New York", "/?city=Köln", "/hook ", "/?x HTTP/1.1", "/%2F{id}"} {
		resp := b.client.Send(t.Context(), request(t, b.URL+target))
		assert.Equal(t, webhook.KindBlocked, resp.ErrorKind, target)
		assert.Contains(t, resp.Error, "Blocked: url must ", target)
	}
	assert.Zero(t, b.posts.Load())
}

func TestHeadersThatWouldNotArrive(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"Webhook_Signature", "webhook_id", "X_Webhook_Signature", "Content_Length", "content_type", "X_Webhook-Event",
	} {
		require.ErrorIs(t, webhook.CheckHeader(webhook.Header{Name: name, Value: "x"}), webhook.ErrReservedHeader, name)
	}
	require.NoError(t, webhook.CheckHeader(webhook.Header{Name: "X_Tenant", Value: "a b"}))
	for _, value := range []string{" ", "\t", " a", "a ", "a\nb"} {
		require.ErrorIs(
			t,
			webhook.CheckHeader(webhook.Header{Name: "X-Tenant", Value: value}),
			webhook.ErrInvalidHeader,
			"%q",
			value,
		)
	}
}

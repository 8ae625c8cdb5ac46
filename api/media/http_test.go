package media_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"greenroom/api/media"
)

// serve starts a server of one file of the store, as a surface does.
func serve(t *testing.T, s media.Store, change ...func(*http.Server)) string {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f, err := s.Open(r.Context(), "one")
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		defer f.Close()
		if err := media.Serve(w, r, f, "one", "video/webm"); errors.Is(err, media.ErrRange) {
			w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
			_, _ = w.Write([]byte("in the surface's words"))
		}
	}))
	for _, c := range change {
		c(server.Config)
	}
	server.Start()
	t.Cleanup(server.Close)
	return server.URL
}

func call(t *testing.T, method, url string, headers ...string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	require.NoError(t, err)
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res, body
}

func TestServe(t *testing.T) {
	t.Parallel()
	for kind, s := range stores(t) {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			data := random(big)
			_, err := s.Put(t.Context(), "one", bytes.NewReader(data), big)
			require.NoError(t, err)
			url := serve(t, s)

			res, body := call(t, "GET", url)
			require.Equal(t, 200, res.StatusCode)
			require.True(t, bytes.Equal(data, body))
			assert.Equal(t, "video/webm", res.Header.Get("Content-Type"))
			assert.Equal(t, "nosniff", res.Header.Get("X-Content-Type-Options"))
			assert.Equal(t, "bytes", res.Header.Get("Accept-Ranges"))
			tag, modified := res.Header.Get("ETag"), res.Header.Get("Last-Modified")
			assert.Equal(t, `"one"`, tag)
			assert.NotEmpty(t, modified)

			res, body = call(t, "HEAD", url)
			require.Equal(t, 200, res.StatusCode)
			assert.EqualValues(t, big, res.ContentLength)
			assert.Empty(t, body)

			for asked, want := range map[string][]byte{
				"bytes=0-9":                             data[:10],
				"bytes=-7":                              data[big-7:],
				"bytes=9437184-9437190":                 data[9437184:9437191],
				"bytes=20971530-":                       data[20971530:],
				"bytes=20971530-" + strconv.Itoa(2*big): data[20971530:],
			} {
				res, body = call(t, "GET", url, "Range", asked)
				require.Equal(t, 206, res.StatusCode, asked)
				require.True(t, bytes.Equal(want, body), asked)
				assert.True(t, strings.HasSuffix(res.Header.Get("Content-Range"), "/"+strconv.Itoa(big)), asked)
			}

			res, body = call(t, "GET", url, "Range", "bytes=0-0,10-10")
			require.Equal(t, 206, res.StatusCode)
			assert.True(t, strings.HasPrefix(res.Header.Get("Content-Type"), "multipart/byteranges"))
			assert.Equal(t, 2, bytes.Count(body, []byte("Content-Range")))

			res, body = call(t, "GET", url, "Range", "bytes="+strconv.Itoa(big)+"-")
			require.Equal(t, 416, res.StatusCode)
			assert.Equal(t, "bytes */"+strconv.Itoa(big), res.Header.Get("Content-Range"))
			assert.Equal(t, "in the surface's words", string(body))

			for name, c := range map[string]struct {
				headers []string
				status  int
			}{
				"if_range_same":     {[]string{"Range", "bytes=0-9", "If-Range", tag}, 206},
				"if_range_replaced": {[]string{"Range", "bytes=0-9", "If-Range", `"other"`}, 200},
				"if_none_match":     {[]string{"If-None-Match", tag}, 304},
				"not_modified":      {[]string{"If-Modified-Since", modified}, 304},
				"if_match_replaced": {[]string{"If-Match", `"other"`}, 412},
			} {
				res, _ = call(t, "HEAD", url, c.headers...)
				assert.Equal(t, c.status, res.StatusCode, name)
			}
		})
	}
}

// The server's timeouts suit small answers; a viewer of a long video takes longer.
func TestServe_outlives_the_servers_time_limit(t *testing.T) {
	t.Parallel()
	s := media.NewDir(t.TempDir())
	_, err := s.Put(t.Context(), "one", bytes.NewReader(random(big)), big)
	require.NoError(t, err)
	const limit = 100 * time.Millisecond
	url := serve(t, s, func(server *http.Server) { server.WriteTimeout = limit })
	req, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	require.NoError(t, err)
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	<-time.After(3 * limit) // the viewer has paused, the connection's buffers are full
	n, err := io.Copy(io.Discard, res.Body)
	require.NoError(t, err)
	assert.EqualValues(t, big, n)
}

func TestExtendDeadlines(t *testing.T) {
	t.Parallel()
	const limit = 100 * time.Millisecond
	type answer struct {
		n   int64
		err error
	}
	answers := make(chan answer, 1)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, media.ExtendDeadlines(w, r, 1000))
		answers <- answer{n, err}
	}))
	server.Config.ReadTimeout, server.Config.WriteTimeout = limit, limit
	server.Start()
	t.Cleanup(server.Close)
	send := func(t *testing.T, header string, parts ...string) answer {
		t.Helper()
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
		require.NoError(t, err)
		defer conn.Close()
		for i, part := range append([]string{"POST / HTTP/1.1\r\nHost: x\r\n" + header + "\r\n\r\n"}, parts...) {
			if i > 1 {
				<-time.After(2 * limit)
			}
			_, err = io.WriteString(conn, part)
			require.NoError(t, err)
		}
		require.NoError(t, conn.(*net.TCPConn).CloseWrite())
		return <-answers
	}

	t.Run("outlives_the_servers_time_limit", func(t *testing.T) {
		got := send(t, "Content-Length: 20", "0123456789", "0123456789")
		require.NoError(t, got.err)
		assert.EqualValues(t, 20, got.n)
	})
	t.Run("fails_beyond_the_limit_of_bytes", func(t *testing.T) {
		got := send(t, "Content-Length: 1001", strings.Repeat("x", 1001))
		var tooLarge *http.MaxBytesError
		require.ErrorAs(t, got.err, &tooLarge)
	})
	t.Run("reports_that_the_sender_disconnected", func(t *testing.T) {
		got := send(t, "Content-Length: 20", "0123456789")
		require.ErrorIs(t, got.err, io.ErrUnexpectedEOF)
	})
}

func TestSniff(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"mp4":       {[]byte("\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom"), "video/mp4"},
		"quicktime": {[]byte("\x00\x00\x00\x14ftypqt  \x00\x00\x00\x00qt  "), "video/quicktime"},
		"webm":      {webm(100), "video/webm"},
		"wav":       {[]byte("RIFF\x24\x00\x00\x00WAVEfmt \x10\x00\x00\x00"), "audio/wav"},
		"mp3":       {[]byte("ID3\x04\x00\x00\x00\x00\x00\x01"), "audio/mpeg"},
		"html":      {[]byte("<!DOCTYPE html><script>alert(1)</script>"), ""},
		"svg":       {[]byte(`<svg xmlns="http://www.w3.org/2000/svg"/>`), ""},
		"png":       {[]byte("\x89PNG\r\n\x1a\n"), ""},
		"pdf":       {[]byte("%PDF-1.7"), ""},
		"playlist":  {[]byte("#EXTM3U\n#EXT-X-VERSION:3\n"), ""},
		"program":   {[]byte("\x7fELF\x02\x01\x01"), ""},
		"text":      {[]byte("video/mp4"), ""},
		"empty":     {nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, whole, err := media.Sniff(bytes.NewReader(c.file), media.Recording, "answer.webm")
			if c.want == "" {
				require.ErrorIs(t, err, media.ErrType)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, c.want, got)
			all, err := io.ReadAll(whole)
			require.NoError(t, err)
			assert.Equal(t, c.file, all, "the whole file is read")
		})
	}
}

// webm returns the beginning of a file as browsers record it, followed by n arbitrary bytes.
func webm(n int) []byte {
	const head = "\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\xf7\x81\x01\x42\xf2\x81\x04\x42\xf3\x81\x08" +
		"\x42\x82\x84webm\x42\x87\x81\x04\x42\x85\x81\x02"
	return append([]byte(head), random(n)...)
}

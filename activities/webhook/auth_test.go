package webhook_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
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

// tokenServer is an OAuth2 token endpoint for client credentials (RFC 6749 §4.4). Its client is "client" with the secret
// "s3cret:ö".
type tokenServer struct {
	*httptest.Server
	issued   atomic.Int32
	requests atomic.Int32
	// set before requests: seconds of validity, an answer instead of a token, whether credentials are taken in the body
	// alone.
	expiresIn atomic.Int32
	broken    atomic.Int32
	inBody    bool
	scope     atomic.Pointer[string]
}

func startTokenServer(t *testing.T) *tokenServer {
	t.Helper()
	s := new(tokenServer)
	s.expiresIn.Store(3600)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		w.Header().Set("Content-Type", "application/json")
		if status := s.broken.Load(); status != 0 {
			w.WriteHeader(int(status))
			return
		}
		id, secret, _ := r.BasicAuth()
		id, _ = url.QueryUnescape(id)
		secret, _ = url.QueryUnescape(secret)
		if s.inBody {
			id, secret = r.PostFormValue("client_id"), r.PostFormValue("client_secret")
		}
		if r.PostFormValue("grant_type") != "client_credentials" || id != "client" || secret != "s3cret:ö" {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = w.Write([]byte(`{"error":"invalid_client","error_description":"s3cret"}`))
			return
		}
		scope := r.PostFormValue("scope")
		s.scope.Store(&scope)
		_ = json.NewEncoder(w).Encode(map[string]any{
			"access_token": fmt.Sprint("token-", s.issued.Add(1)), "token_type": "bearer", "expires_in": s.expiresIn.Load(),
		})
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *tokenServer) auth() *webhook.Auth {
	return &webhook.Auth{
		Type: webhook.AuthOAuth2, User: "client", Secret: "s3cret:ö", TokenURL: s.URL, Scopes: []string{"a", "b"},
	}
}

// api is a receiver that accepts one token, and records what it was sent.
type api struct {
	*bench
	accepted atomic.Pointer[string]
	mu       sync.Mutex
	sent     []string
}

func startAPI(t *testing.T) *api {
	t.Helper()
	a := new(api)
	a.accept("")
	a.bench = setup(t, func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.sent = append(a.sent, r.Header.Get("Authorization"))
		if want := *a.accepted.Load(); want != "" && r.Header.Get("Authorization") != "Bearer "+want {
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	return a
}

// accept makes the receiver refuse all tokens but one; "": none.
func (a *api) accept(token string) { a.accepted.Store(&token) }

func (a *api) took() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	sent := a.sent
	a.sent = nil
	return sent
}

func (a *api) send(t *testing.T, auth *webhook.Auth) webhook.Response {
	t.Helper()
	req := request(t, a.URL)
	req.Auth, req.WebhookID, req.Timeout = auth, "webhook-1", 30*time.Second
	return a.client.Send(t.Context(), req)
}

func TestSendWithStaticCredentials(t *testing.T) {
	t.Parallel()
	a := startAPI(t)
	for value, auth := range map[string]*webhook.Auth{
		"Basic dXNlcjpwYTpzcw==": {Type: webhook.AuthBasic, User: "user", Secret: "pa:ss"},
		"Basic w7Y6w7w=":         {Type: webhook.AuthBasic, User: "ö", Secret: "ü"},
		"Bearer abc.def-_~+/=":   {Type: webhook.AuthBearer, Secret: "abc.def-_~+/="},
		"":                       nil,
	} {
		require.Equal(t, http.StatusOK, a.send(t, auth).StatusCode)
		require.Equal(t, []string{value}, a.took())
	}
	for _, bad := range []*webhook.Auth{
		{Type: webhook.AuthBearer, Secret: "a\nb"}, {Type: "digest", User: "user", Secret: "pass-4711"},
	} {
		resp := a.send(t, bad)
		require.Equal(t, webhook.KindRequest, resp.ErrorKind)
		require.NotContains(t, resp.Error, "4711")
	}
	require.Empty(t, a.took())
	req := request(t, a.URL)
	req.Headers = []webhook.Header{{Name: "authorization", Value: "custom"}}
	req.Auth = &webhook.Auth{Type: webhook.AuthBearer, Secret: "abc"}
	require.Equal(t, http.StatusOK, a.client.Send(t.Context(), req).StatusCode)
	require.Equal(t, []string{"Bearer abc"}, a.took())
	req.Headers, req.Profile, req.Key = nil, profile(t, "wise"), "key"
	a.client.Send(t.Context(), req)
	require.Equal(t, []string{"key"}, a.took(), "the profile's own wins")
}

func TestSendWithOAuth2(t *testing.T) {
	t.Parallel()
	t.Run("one_token_for_many_attempts", func(t *testing.T) {
		t.Parallel()
		for _, inBody := range []bool{false, true} {
			a, tokens := startAPI(t), startTokenServer(t)
			tokens.inBody = inBody
			var sending sync.WaitGroup
			for range 20 {
				sending.Go(func() { assert.Equal(t, http.StatusOK, a.send(t, tokens.auth()).StatusCode) })
			}
			sending.Wait()
			require.Equal(t, int32(1), tokens.issued.Load())
			require.Equal(t, "a b", *tokens.scope.Load())
			for _, sent := range a.took() {
				require.Equal(t, "Bearer token-1", sent)
			}
		}
	})
	t.Run("a_new_one_when_it_has_expired", func(t *testing.T) {
		t.Parallel()
		a, tokens := startAPI(t), startTokenServer(t)
		tokens.expiresIn.Store(1) // less than the margin with which a token is replaced
		for range 2 {
			require.Equal(t, http.StatusOK, a.send(t, tokens.auth()).StatusCode)
		}
		require.Equal(t, []string{"Bearer token-1", "Bearer token-2"}, a.took())
	})
	t.Run("a_new_one_once_after_a_401", func(t *testing.T) {
		t.Parallel()
		a, tokens := startAPI(t), startTokenServer(t)
		a.send(t, tokens.auth())
		a.accept("token-2") // the first is revoked
		require.Equal(t, http.StatusOK, a.send(t, tokens.auth()).StatusCode)
		require.Equal(t, []string{"Bearer token-1", "Bearer token-1", "Bearer token-2"}, a.took())
		a.accept("none of them")
		resp := a.send(t, tokens.auth())
		require.Equal(t, http.StatusUnauthorized, resp.StatusCode)
		require.Equal(t, []string{"Bearer token-2", "Bearer token-3"}, a.took())
		require.Equal(t, http.StatusUnauthorized, a.send(t, tokens.auth()).StatusCode)
		require.Equal(t, []string{"Bearer token-4"}, a.took(), "a token that was just requested is not renewed")
	})
	t.Run("a_new_one_with_changed_credentials", func(t *testing.T) {
		t.Parallel()
		a, tokens := startAPI(t), startTokenServer(t)
		a.send(t, tokens.auth())
		wrong := tokens.auth()
		wrong.Secret = "wrong"
		require.Equal(t, webhook.KindToken, a.send(t, wrong).ErrorKind)
		a.send(t, tokens.auth())
		require.Equal(t, []string{"Bearer token-1", "Bearer token-2"}, a.took())
	})
	t.Run("each_process_has_its_own", func(t *testing.T) {
		t.Parallel()
		a, tokens := startAPI(t), startTokenServer(t)
		a.send(t, tokens.auth())
		a.client = webhook.NewClient(webhook.ClientOptions{AllowHTTP: true, AllowLoopback: true})
		a.send(t, tokens.auth())
		require.Equal(t, []string{"Bearer token-1", "Bearer token-2"}, a.took())
	})
	t.Run("other_failures_keep_the_token", func(t *testing.T) {
		t.Parallel()
		tokens := startTokenServer(t)
		b := setup(t, answer(http.StatusForbidden, nil, ""))
		for range 2 {
			req := request(t, b.URL)
			req.Auth, req.WebhookID = tokens.auth(), "webhook-1"
			require.Equal(t, http.StatusForbidden, b.client.Send(t.Context(), req).StatusCode)
		}
		require.Equal(t, int32(1), tokens.issued.Load())
		require.Equal(t, int64(2), b.posts.Load())
	})
}

func TestTokenEndpointFailures(t *testing.T) {
	t.Parallel()
	const failed = "OAuth2 token request failed: "
	endpoint := func(handler http.HandlerFunc) string {
		server := httptest.NewServer(handler)
		t.Cleanup(server.Close)
		return server.URL
	}
	text := func(status int, body string) string {
		return endpoint(answer(status, http.Header{"Content-Type": {"application/json"}}, body))
	}
	down := httptest.NewServer(nil)
	down.Close()
	for name, tc := range map[string]struct{ url, want string }{
		"unavailable": {text(503, ""), failed + "the token endpoint answered HTTP 503 Service Unavailable"},
		"refused":     {startTokenServer(t).URL, failed + "the token endpoint answered HTTP 401 Unauthorized (invalid_client)"},
		"redirect":    {endpoint(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/", http.StatusFound) }), failed + "the token endpoint answered HTTP 302 Found"},
		"no_json":     {text(200, "<html>"), failed + "the token endpoint gave no valid answer"},
		"no_token":    {text(200, "{}"), failed + "the token endpoint gave no valid answer"},
		"no_header":   {text(200, `{"access_token":"a\nb"}`), failed + "the token endpoint gave no valid answer"},
		"down":        {down.URL, failed + "Connection refused"},
		"blocked":     {"http://169.254.169.254/token", failed + "Blocked: url must not point to a private, local or reserved address"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := startAPI(t)
			resp := a.send(t, &webhook.Auth{Type: webhook.AuthOAuth2, User: "client", Secret: "wrong-4711", TokenURL: tc.url})
			require.Equal(t, webhook.KindToken, resp.ErrorKind)
			require.Equal(t, tc.want, resp.Error)
			require.Equal(t, "OAuth2 token request failed", webhook.Gist(resp.Error))
			require.Zero(t, resp.StatusCode)
			require.Empty(t, a.took(), "nothing is sent without a token")
			require.Equal(t, webhook.Retry, webhook.Classify(profile(t, "instaview"), resp))
		})
	}
	t.Run("down_then_up", func(t *testing.T) {
		t.Parallel()
		a, tokens := startAPI(t), startTokenServer(t)
		tokens.broken.Store(http.StatusBadGateway)
		require.Equal(t, webhook.KindToken, a.send(t, tokens.auth()).ErrorKind)
		tokens.broken.Store(0)
		require.Equal(t, http.StatusOK, a.send(t, tokens.auth()).StatusCode)
	})
	t.Run("a_request_that_hangs_counts_for_the_attempt_and_delays_no_other_webhook", func(t *testing.T) {
		t.Parallel()
		a, tokens := startAPI(t), startTokenServer(t)
		arrived := make(chan struct{}, 10)
		hanging := tokens.auth()
		hanging.TokenURL = endpoint(func(_ http.ResponseWriter, r *http.Request) { arrived <- struct{}{}; hang(nil, r) })
		slow := make(chan webhook.Response, 1)
		req := request(t, a.URL)
		req.Auth, req.WebhookID, req.Timeout = hanging, "webhook-2", 2*time.Second
		go func() { slow <- a.client.Send(t.Context(), req) }()
		<-arrived
		require.Equal(t, http.StatusOK, a.send(t, tokens.auth()).StatusCode)
		resp := <-slow
		require.Equal(t, webhook.KindToken, resp.ErrorKind)
		require.Equal(t, failed+"no answer in time", resp.Error)
		require.Equal(t, []string{"Bearer token-1"}, a.took())
	})
	t.Run("through_the_proxy", func(t *testing.T) {
		t.Parallel()
		a, tokens := startAPI(t), startTokenServer(t)
		p := startProxy(t, allowAll)
		a.client = webhook.NewClient(webhook.ClientOptions{AllowHTTP: true, AllowLoopback: true, Proxy: p.url(t, nil)})
		require.Equal(t, http.StatusOK, a.send(t, tokens.auth()).StatusCode)
		require.Equal(t, []string{strings.TrimPrefix(tokens.URL, "http://"), strings.TrimPrefix(a.URL, "http://")}, p.took())
		p.Close()
		a.client = webhook.NewClient(webhook.ClientOptions{AllowHTTP: true, AllowLoopback: true, Proxy: p.url(t, nil)})
		require.Equal(t, webhook.KindProxy, a.send(t, tokens.auth()).ErrorKind, "the endpoint is not at fault")
	})
}

func TestCheckAuth(t *testing.T) {
	t.Parallel()
	for _, a := range []webhook.Auth{
		{Type: webhook.AuthBasic, User: "user", Secret: "with space:ö"},
		{Type: webhook.AuthBearer, Secret: "a.b"},
		{Type: webhook.AuthOAuth2, User: "id", Secret: "any thing", Scopes: []string{"https://a.example/.default"}},
	} {
		require.NoError(t, webhook.CheckAuth(&a))
	}
	for part, bad := range map[string][]webhook.Auth{
		"user":   {{Type: webhook.AuthBasic, User: "a:b", Secret: "x"}, {Type: webhook.AuthBasic, User: "a\n", Secret: "x"}},
		"secret": {{Type: webhook.AuthBasic, Secret: "a\x7f"}, {Type: webhook.AuthBearer, Secret: "a b"}, {Type: webhook.AuthBearer, Secret: "ö"}},
		"scope":  {{Type: webhook.AuthOAuth2, Scopes: []string{"a b"}}, {Type: webhook.AuthOAuth2, Scopes: []string{`"`}}},
	} {
		for _, a := range bad {
			require.ErrorContains(t, webhook.CheckAuth(&a), part+" must")
		}
	}
}

// TestTokenAnswersAreBounded: what a customer's token endpoint answers stays in the memory of the worker.
func TestTokenAnswersAreBounded(t *testing.T) {
	t.Parallel()
	a := startAPI(t)
	endpoint := func(answer string) *webhook.Auth {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, answer)
		}))
		t.Cleanup(s.Close)
		return &webhook.Auth{Type: webhook.AuthOAuth2, User: "client", Secret: "s", TokenURL: s.URL}
	}
	token := func(length int, more string) string {
		return `{"access_token":"` + strings.Repeat("t", length) + `","expires_in":3600` + more + `}`
	}
	require.Equal(t, http.StatusOK, a.send(t, endpoint(token(16000, ""))).StatusCode)
	for name, answer := range map[string]string{
		"token": token(17000, ""), "answer": token(10, `,"x":"`+strings.Repeat("x", 70_000)+`"`),
	} {
		resp := a.send(t, endpoint(answer))
		require.Equal(t, webhook.KindToken, resp.ErrorKind, name)
		require.Equal(t, "OAuth2 token request failed: the token endpoint gave no valid answer", resp.Error)
	}

	nested := endpoint(token(10, `,"x":[`+strings.Repeat("{},", 20_000)+`0]`)) // a map takes 48 bytes
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	for n := range 40 {
		req := request(t, a.URL)
		req.Auth, req.WebhookID, req.Timeout = nested, fmt.Sprint("webhook-", n), 30*time.Second
		require.Equal(t, http.StatusOK, a.client.Send(t.Context(), req).StatusCode)
	}
	require.Less(t, int64(heap())-int64(before), int64(20<<20))
}

package console_test

import (
	"context"
	_ "embed"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"greenroom/api"
	"greenroom/api/console"
)

// axe finds faults of accessibility. See testdata/README.md.
//
//go:embed testdata/axe.min.js
var axe string

// browserLimit bounds what one step of a test waits for.
const browserLimit = time.Minute

// browser starts a browser, or skips the test where there is none.
func browser(t *testing.T) context.Context {
	t.Helper()
	program := os.Getenv("GREENROOM_TEST_CHROMIUM")
	if program == "" {
		t.Skip("there is no browser: `make test` looks for Chromium, and installs it where it may")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.WindowSize(1280, 900))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	require.NoError(t, chromedp.Do(ctx))
	return ctx
}

// tab is a page of the browser that shares nothing with others.
type tab struct {
	t    *testing.T
	ctx  context.Context
	base string // the address of the API

	mu         sync.Mutex
	complaints []string // of the browser's console
}

func newTab(t *testing.T, parent context.Context, base string) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(parent, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	p := &tab{t: t, ctx: ctx, base: base}
	require.NoError(t, chromedp.Do(ctx))
	require.NoError(t, chromedp.Listen(ctx, func(event any) {
		p.mu.Lock()
		defer p.mu.Unlock()
		switch event := event.(type) {
		case *log.EventEntryAdded:
			p.complaints = append(p.complaints, event.Entry.Text+" "+event.Entry.URL)
		case *runtime.EventExceptionThrown:
			p.complaints = append(p.complaints, event.ExceptionDetails.Text)
		}
	}))
	command(p, log.Enable.Method)
	return p
}

// command sends a command without parameters.
func command(p *tab, method string) {
	p.t.Helper()
	p.do(chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		return target.Call(ctx, method, nil, nil)
	}))
}

func (p *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, browserLimit)
	defer cancel()
	require.NoError(p.t, chromedp.Do(ctx, steps...))
}

// value evaluates a script, whose promise it waits for.
func value[T any](p *tab, script string) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, browserLimit)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](script, chromedp.EvalAwaitPromise))
	require.NoError(p.t, err)
	return v
}

// open shows a page and waits for its heading.
func (p *tab) open(path string) {
	p.t.Helper()
	p.do(chromedp.Navigate(p.base+path), chromedp.WaitVisible(chromedp.CSS("h1")))
}

func (p *tab) await(selector string) {
	p.t.Helper()
	p.do(chromedp.WaitVisible(chromedp.CSS(selector)))
}

func (p *tab) signIn(key string) {
	p.t.Helper()
	p.open("/console")
	p.do(chromedp.SendKeys(chromedp.CSS("#key"), key+kb.Enter))
	p.await("nav a[aria-current]")
}

// quiet requires that the browser complained about nothing but the pages of refusals, which the test asked for.
func (p *tab) quiet() {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.complaints {
		if !strings.Contains(c, "the server responded with a status of 404") && !strings.Contains(c, "status of 401") {
			require.Fail(p.t, c)
		}
	}
}

// violations are the faults that axe finds, with their places.
func (p *tab) violations() []string {
	p.t.Helper()
	value[chromedp.Void](p, axe)
	return value[[]string](p, `axe.run().then(r => r.violations.map(v => v.id + ": " + v.help + ": " +
		v.nodes.map(n => n.target.join(" ") + " " + (n.any[0]?.message ?? "")).join("; ")))`)
}

// picture saves the page in GREENROOM_SCREENSHOTS.
func (p *tab) picture(name string) {
	p.t.Helper()
	dir := os.Getenv("GREENROOM_SCREENSHOTS")
	if dir == "" {
		return
	}
	ctx, cancel := context.WithTimeout(p.ctx, browserLimit)
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	require.NoError(p.t, err)
	require.NoError(p.t, os.WriteFile(filepath.Join(dir, name+".png"), png, 0o600))
}

// served is the bundle at an address that a browser reaches.
func served(t *testing.T) (*bundle, string) {
	t.Helper()
	b := setup(t, func(o *api.Options) { o.PublicURL = "http://greenroom.test" }).plant()
	server := httptest.NewServer(b.Handler)
	t.Cleanup(server.Close)
	return b, server.URL
}

// screens are all pages, by name.
func (b *bundle) screens() map[string]string {
	return map[string]string{
		"overview":    "",
		"deliveries":  "/deliveries",
		"delivery":    "/deliveries/" + b.failed,
		"waiting":     "/deliveries/" + b.delivery,
		"webhooks":    "/webhooks",
		"webhook":     "/webhooks/" + b.webhook,
		"circuit":     "/webhooks/" + b.webhook + "/circuit",
		"replay-form": "/webhooks/" + b.webhook + "/replays",
		"replay-count": "/webhooks/" + b.webhook + "/replays?status=failed&since=" +
			url.QueryEscape(time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)),
		"replay":     "/webhooks/" + b.webhook + "/replays/" + b.replay,
		"events":     "/events",
		"event":      "/events/" + b.event,
		"event-type": "/event-types/interview.completed",
		"publish":    "/events/new?type=interview.started",
		"interviews": "/interviews",
		"interview":  "/interviews/" + b.interview,
		"keys":       "/keys",
		"audit":      "/audit",
		"system":     "/system",
		"not-found":  "/deliveries/none",
	}
}

func scheme(value string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		return target.Call(ctx, emulation.SetEmulatedMedia.Method, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: value}},
		}, nil)
	})
}

// looks are how a page looks to different people.
func looks() map[string]chromedp.Action[chromedp.Void] {
	return map[string]chromedp.Action[chromedp.Void]{
		"light": scheme("light"), "dark": scheme("dark"),
		"phone": chromedp.EmulateViewport(360, 740, chromedp.EmulateMobile),
	}
}

// fits requires that everybody can use the page, on a narrow screen too.
func (p *tab) fits(t *testing.T) {
	t.Helper()
	require.Empty(t, p.violations())
	wider := value[int](p, "document.documentElement.scrollWidth - document.documentElement.clientWidth")
	require.LessOrEqual(t, wider, 0, "the page is wider than the screen")
}

// TestScreens visits every screen as it looks to different people. The browser reports what the policy refuses, and axe
// what some of them cannot use.
func TestScreens(t *testing.T) {
	parent := browser(t)
	b, base := served(t)
	b.openCircuit()
	for look, prepare := range looks() {
		p := newTab(t, parent, base)
		p.signIn(b.PlatformKey)
		p.do(prepare)
		for name, path := range b.screens() {
			t.Run(look+"/"+name, func(t *testing.T) {
				p.t = t
				p.open("/console" + path)
				p.picture(name + "-" + look)
				p.fits(t)
			})
		}
		p.t = t
		p.quiet()
	}
	t.Run("signed_out", func(t *testing.T) {
		p := newTab(t, parent, base)
		for _, path := range []string{"/console/enter/none", "/console/sign-in"} {
			p.open(path)
			require.Empty(t, p.violations())
		}
		p.picture("sign-in")
		p.quiet()
	})
}

// TestScreenOfProvider visits the sign-in page with the button of an OpenID provider, and with a problem above it.
func TestScreenOfProvider(t *testing.T) {
	parent := browser(t)
	b := setup(t, func(o *api.Options) {
		o.PublicURL = "http://greenroom.test"
		o.Console.OIDC = console.OIDC{
			Issuer:   "https://login.of-a-company-with-a-long-name.example.com/realms/staff",
			ClientID: "x",
		}
	})
	server := httptest.NewServer(b.Handler)
	t.Cleanup(server.Close)
	for look, prepare := range looks() {
		p := newTab(t, parent, server.URL)
		p.do(prepare)
		for name, path := range map[string]string{"button": "/console/sign-in", "problem": "/console/oidc/callback?state=x"} {
			t.Run(look+"/"+name, func(t *testing.T) {
				p.t = t
				p.open(path)
				p.await(`a.button[href^="/console/oidc/start"]`)
				p.picture("provider-" + name + "-" + look)
				p.fits(t)
			})
		}
		p.t = t
		p.quiet()
	}
}

// TestWithoutScript: pages and actions need none.
func TestWithoutScript(t *testing.T) {
	parent := browser(t)
	b, base := served(t)
	b.openCircuit()
	p := newTab(t, parent, base)
	p.do(chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		return target.Call(ctx, emulation.SetScriptExecutionDisabled.Method,
			emulation.SetScriptExecutionDisabledParams{Value: true}, nil)
	}))
	p.signIn(b.PlatformKey)
	for name, path := range b.screens() {
		p.open("/console" + path)
		p.picture(name + "-no-script")
	}
	p.open("/console/webhooks/" + b.webhook + "/circuit")
	p.do(chromedp.Click(chromedp.CSS(`form[action$="/reset-circuit"] button`)))
	p.await(".done")
}

// TestKeyboard: an action is reached and used without a mouse, and the focus is seen.
func TestKeyboard(t *testing.T) {
	parent := browser(t)
	b, base := served(t)
	b.openCircuit()
	p := newTab(t, parent, base)
	p.signIn(b.Key)
	focus := func() string { return value[string](p, `document.activeElement.textContent.trim()`) }
	p.open("/console/webhooks/" + b.webhook + "/circuit")
	p.do(chromedp.KeyEvent(kb.Tab))
	require.Equal(t, "Skip to the content", focus())
	p.do(chromedp.KeyEvent(kb.Enter))
	reached := false
	for range 20 {
		p.do(chromedp.KeyEvent(kb.Tab))
		if reached = focus() == "Reset the circuit"; reached {
			break
		}
	}
	require.True(t, reached)
	require.Equal(t, "solid", value[string](p, `getComputedStyle(document.activeElement).outlineStyle`))
	p.do(chromedp.KeyEvent(kb.Enter))
	p.await(".done")
}

// TestLive: a page shows what changes without being loaded again, until it is paused.
func TestLive(t *testing.T) {
	parent := browser(t)
	b, base := served(t)
	p := newTab(t, parent, base)
	p.signIn(b.Key)
	p.open("/console/deliveries/" + b.failed)
	p.await("#live button")
	value[bool](p, "window.stays = true")
	set := func(status string) {
		_, err := b.ExecContext(
			b.Ctx,
			"UPDATE deliveries SET status = ?, last_status_code = 204 WHERE id = ?",
			status,
			b.failed,
		)
		require.NoError(t, err)
	}
	set("succeeded")
	p.await("#why.good")
	require.True(t, value[bool](p, "window.stays === true"), "the page was not loaded again")
	require.Contains(
		t,
		value[string](p, `document.querySelector("#why time").title`),
		"UTC",
		"a local time has UTC beside it",
	)
	var mu sync.Mutex
	asked := 0
	require.NoError(t, chromedp.Listen(p.ctx, func(event any) {
		if sent, is := event.(*network.EventRequestWillBeSent); is &&
			strings.Contains(sent.Request.URL, "/console/deliveries/") {
			mu.Lock()
			defer mu.Unlock()
			asked++
		}
	}))
	count := func() int {
		mu.Lock()
		defer mu.Unlock()
		return asked
	}
	command(p, network.Enable.Method)
	require.Eventually(t, func() bool { return count() > 0 }, browserLimit, 50*time.Millisecond, "it asks again and again")
	p.do(chromedp.Click(chromedp.CSS("#live button")))
	require.Equal(t, "Resume", value[string](p, `document.querySelector("#live button").textContent`))
	set("failed")
	before := count()
	// Timers fire in order: whatever the page had planned is over when a later one has fired.
	value[bool](p, "new Promise(done => setTimeout(() => done(true), 4000))")
	require.Equal(t, before, count(), "a paused page asks for nothing")
	p.do(chromedp.Click(chromedp.CSS("#live button")))
	p.await("#why.bad")
	p.quiet()
}

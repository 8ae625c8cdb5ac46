package console_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"greenroom/api"
	"greenroom/api/apitest"
)

// TestFrame: the portal works in a frame of a page on another site, without a cookie, and in no other frame.
func TestFrame(t *testing.T) {
	parent := browser(t)
	b := setup(t, func(o *api.Options) { o.PublicURL = "http://greenroom.test" }).plant()
	var mu sync.Mutex
	asked := map[string]int{} // requests by Sec-Fetch-Dest and whether they had a cookie
	portal := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/webhooks/") {
			mu.Lock()
			asked[fmt.Sprintf("%s %t", r.Header.Get("Sec-Fetch-Dest"), len(r.Cookies()) > 0)]++
			mu.Unlock()
		}
		b.Handler.ServeHTTP(w, r)
	}))
	t.Cleanup(portal.Close)
	host := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(
			w,
			`<!doctype html><h1>Another site</h1><iframe src=%q width="900" height="700"></iframe>`,
			r.URL.Query().Get("of"),
		)
	}))
	t.Cleanup(host.Close)
	// 127.0.0.1 and localhost are different sites: a cookie of one is a third party's in the other.
	site := strings.Replace(host.URL, "127.0.0.1", "localhost", 1)
	link := func(frames ...string) string {
		made := b.Do("POST", "/companies/"+b.Company.String()+"/portal-links", apitest.Object{"frameAncestors": frames}).
			Is(201)
		address := made["data"].(apitest.Object)["url"].(string)
		return strings.Replace(address, "http://greenroom.test", portal.URL, 1)
	}
	show := func(t *testing.T, address string) *tab {
		p := newTab(t, parent, site)
		p.do(chromedp.Navigate(site + "/?of=" + url.QueryEscape(address)))
		return p
	}
	t.Run("of_a_named_site", func(t *testing.T) {
		address := link(site)
		p := show(t, address+"/webhooks/"+b.webhook)
		frame := p.frame(address)
		frame.await("#state.good")
		require.Eventually(t, func() bool {
			mu.Lock()
			defer mu.Unlock()
			return asked["iframe false"] == 1 && asked["empty false"] > 0
		}, browserLimit, 50*time.Millisecond, "it is live in the frame: %v", asked)
	})
	t.Run("of_no_other_site", func(t *testing.T) {
		for _, address := range []string{link(), link("https://app.example.com"), portal.URL + "/console/sign-in"} {
			p := show(t, address)
			require.Eventually(
				t,
				func() bool { return p.complained("frame-ancestors") },
				browserLimit,
				50*time.Millisecond,
				address,
			)
		}
	})
}

// frame is the page in the tab's frame, whose address begins so. It is a target of its own, because it is of another site.
func (p *tab) frame(address string) *tab {
	p.t.Helper()
	var in *tab
	require.Eventually(p.t, func() bool {
		all, err := chromedp.Targets(p.ctx)
		require.NoError(p.t, err)
		for _, one := range all {
			if one.Type == "iframe" && strings.HasPrefix(one.URL, address) {
				ctx, cancel := chromedp.NewContext(p.ctx, chromedp.WithTargetID(one.TargetID))
				p.t.Cleanup(cancel)
				in = &tab{t: p.t, ctx: ctx, base: p.base}
				return true
			}
		}
		return false
	}, browserLimit, 50*time.Millisecond)
	return in
}

// complained reports whether the browser's console has the text.
func (p *tab) complained(text string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.complaints {
		if strings.Contains(c, text) {
			return true
		}
	}
	return false
}

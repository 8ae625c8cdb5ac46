package surface

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"
)

// Mounted serves the surfaces of a core.
type Mounted struct {
	http.Handler
	core *Core
}

// Surfaces returns the mounted surfaces that have a contract, the canonical one first: pages have none.
func (m *Mounted) Surfaces() []Surface {
	return slices.DeleteFunc(slices.Clone(m.core.surfaces), func(s Surface) bool { return s.Name == "" })
}

// Pages returns the routes of pages, which have no contract.
func (m *Mounted) Pages() (routes []Route) {
	for _, s := range m.core.surfaces {
		if s.Name == "" {
			routes = append(routes, s.Routes...)
		}
	}
	return routes
}

// Of returns the surface that answers the path.
func (m *Mounted) Of(path string) *Surface { return m.core.surfaceOf(path) }

// Mount serves the surfaces; call it once per core. The first surface is the canonical one: it answers all paths
// outside the other surfaces' prefixes.
func (s *Core) Mount(surfaces ...Surface) (*Mounted, error) {
	gin.SetMode(gin.ReleaseMode)
	e := gin.New()
	// A redirect would lose the body or the method of a request.
	e.RedirectTrailingSlash, e.RedirectFixedPath = false, false
	e.HandleMethodNotAllowed = true
	e.RemoteIPHeaders = []string{forwardedFor} // gin's default includes X-Real-IP, which proxies may pass through
	if err := e.SetTrustedProxies(s.TrustedProxies); err != nil {
		return nil, fmt.Errorf("trusted proxies: %w", err)
	}
	s.surfaces = surfaces
	e.Use(s.observe, noStore, outlive, s.recoverPanic, s.warnOfProxy)
	e.NoRoute(s.wrap(func(*gin.Context) error { return errUnknownPath }))
	e.NoMethod(s.wrap(func(*gin.Context) error { return errMethod }))
	for _, surface := range surfaces {
		for _, r := range surface.Routes {
			for _, path := range surface.Addresses(r) {
				e.Handle(r.Method, path, s.chain(r)...)
				if r.Method == http.MethodGet && !surface.hasHead(r.Path) { // net/http omits the body (RFC 9110 §9.1)
					e.Handle(http.MethodHead, path, s.chain(r)...)
				}
			}
		}
	}
	s.handler = e
	return &Mounted{e, s}, nil
}

// chain returns the handlers of a route.
func (s *Core) chain(r Route) []gin.HandlerFunc {
	plain, length := s.wrap(refuseEncoding), s.wrap(r.checkLength)
	if r.Scope == Public {
		handlers := []gin.HandlerFunc{plain, length, s.wrap(s.hold(r, r.Handle))}
		if r.byNetwork {
			handlers = slices.Insert(handlers, 0, s.wrap(s.limitNetwork))
		}
		return handlers
	}
	authenticate := s.Authenticate
	if r.recognizing {
		authenticate = s.recognize
	}
	handle := s.hold(r, func(c *gin.Context) error {
		err := admitted(c, r)
		if err != nil {
			if changed := s.Confirm(c, r.Scope); changed != nil {
				return changed
			}
		}
		return err
	})
	return []gin.HandlerFunc{plain, s.wrap(authenticate), s.wrap(s.limitRate), length, s.wrap(handle)}
}

// Admit applies the key checks of a route with that scope. It is for the handler of a [Public] route that accepts a key
// as one of several credentials.
func (s *Core) Admit(c *gin.Context, scope string) error {
	if err := s.Authenticate(c); err != nil {
		return err
	}
	if err := s.limitRate(c); err != nil {
		return err
	}
	return RequireScope(c, scope)
}

// refuseEncoding refuses a compressed body: decompression is not supported.
func refuseEncoding(c *gin.Context) error {
	for _, encoding := range c.Request.Header.Values("Content-Encoding") {
		if encoding != "" && !strings.EqualFold(encoding, "identity") {
			c.Header("Accept-Encoding", "identity") // RFC 9110 §15.5.16
			return unsupported("The body must not have a Content-Encoding")
		}
	}
	return nil
}

// admitted handles a request of an authenticated caller.
func admitted(c *gin.Context, r Route) error {
	if err := RequireScope(c, r.Scope); err != nil {
		return err
	}
	if err := checkIdempotencyKey(c.Request); err != nil {
		return err
	}
	if err := r.checkQuery(c.Request.URL.RawQuery); err != nil {
		return err
	}
	return r.Handle(c)
}

// wrap answers a handler's error and aborts the chain.
func (s *Core) wrap(h Handler) gin.HandlerFunc {
	return func(c *gin.Context) {
		if err := h(c); err != nil {
			s.fail(c, err)
			c.Abort()
		}
	}
}

// unavailableFor is the Retry-After of a 503, in seconds: about the time that a database takes to restart.
const unavailableFor = "5"

// fail answers an error in the style of the called surface.
func (s *Core) fail(c *gin.Context, err error) {
	e := s.ToError(c, err)
	style := s.surfaceOf(c.Request.URL.Path).Style
	if e.Status == http.StatusUnauthorized && style.Challenge != "" {
		c.Header("WWW-Authenticate", style.Challenge)
	}
	if e.Limited != nil {
		e.Limited.show(c)
	}
	if e.Status == http.StatusServiceUnavailable {
		c.Header("Retry-After", unavailableFor)
	}
	style.Fail(c, e)
}

// surfaceOf returns the surface whose prefix the path has, or the canonical one.
func (s *Core) surfaceOf(path string) *Surface {
	for i := range s.surfaces {
		for _, p := range s.surfaces[i].Prefixes {
			if _, is := below(path, p); is {
				return &s.surfaces[i]
			}
		}
	}
	return &s.surfaces[0]
}

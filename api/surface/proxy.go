package surface

import (
	"log/slog"
	"net/netip"
	"slices"

	"github.com/gin-gonic/gin"

	"greenroom/db"
)

const forwardedFor = "X-Forwarded-For"

// warnOfProxy logs once that a peer which is not a trusted proxy sent X-Forwarded-For. It may be a proxy that the
// setting lacks: then all callers behind it have one address, for the allowed addresses of keys and for the limits of
// log-ins.
func (s *Core) warnOfProxy(c *gin.Context) {
	if c.GetHeader(forwardedFor) == "" || s.warned.Load() {
		return
	}
	peer, err := netip.ParseAddr(c.RemoteIP())
	trusted := err == nil && slices.ContainsFunc(s.TrustedProxies, func(text string) bool {
		network, ok := db.ParseNetwork(text)
		return ok && network.Contains(peer.Unmap())
	})
	if !trusted && s.warned.CompareAndSwap(false, true) {
		s.Logger.LogAttrs(c.Request.Context(), slog.LevelWarn,
			"X-Forwarded-For of a peer that is not in http.trusted_proxies is ignored; if the peer is a proxy, add it: "+
				"its callers share one address for the allowed addresses of keys and for the limits of log-ins",
			slog.String("peer", c.RemoteIP()))
	}
}

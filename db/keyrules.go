package db

import (
	"net/netip"
	"slices"
)

// AllScopes is the scope that includes all others.
const AllScopes = "*"

// scopes are reference §2.8; events, deliveries, api-keys, audit and console are this product's own.
var scopes = []string{
	"read:jobs", "write:jobs", "delete:jobs",
	"read:candidates", "write:candidates", "delete:candidates",
	"read:agents", "write:agents", "delete:agents",
	"read:interviews", "write:interviews", "delete:interviews",
	"read:companies", "write:companies", "delete:companies",
	"read:webhooks", "write:webhooks",
	"sourcing:write", "sourcing:read", "enrich:write", "read:billing",
	"read:events", "write:events",
	"read:deliveries", "write:deliveries",
	"read:api-keys", "write:api-keys", "read:audit",
	"console",
}

// Scopes lists every scope that a key can hold, AllScopes first.
func Scopes() []string { return append([]string{AllScopes}, scopes...) }

// KnownScope reports whether a key can hold that scope.
func KnownScope(scope string) bool { return scope == AllScopes || slices.Contains(scopes, scope) }

// ParseNetwork parses an allowed address: an IP address or a CIDR range. It refuses an address with a zone, which only
// has a meaning on one machine.
func ParseNetwork(s string) (netip.Prefix, bool) {
	if p, err := netip.ParsePrefix(s); err == nil {
		return p, true
	}
	ip, err := netip.ParseAddr(s)
	if err != nil || ip.Zone() != "" {
		return netip.Prefix{}, false
	}
	ip = ip.Unmap()
	return netip.PrefixFrom(ip, ip.BitLen()), true
}

package surface

import "net/netip"

// Network returns the network that requests without a key and log-ins are counted by: an IPv4 address, or the /64 of an
// IPv6 address, because a single customer of a provider has a whole /64 (RFC 6177).
func Network(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	if ip = ip.Unmap().WithZone(""); ip.Is4() {
		return ip.String()
	}
	network, err := ip.Prefix(64)
	if err != nil {
		return address
	}
	return network.String()
}

package webhook

import (
	"net/netip"
	"testing"

	"code.dny.dev/ssrf"
	"github.com/stretchr/testify/require"
)

// special holds the blocks of IANA's special-purpose address registries and the multicast blocks.
// https://www.iana.org/assignments/iana-ipv4-special-registry
// https://www.iana.org/assignments/iana-ipv6-special-registry
var special = []string{
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
	"192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24",
	"198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
	"::/128", "::1/128", "::ffff:0:0/96", "64:ff9b:1::/48", "100::/64", "100:0:0:1::/64", "2001::/23", "2001:db8::/32",
	"2002::/16", "2620:4f:8000::/48", "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10", "ff00::/8",
}

// TestGuardBlocksSpecialAddresses: the ends of each block are blocked in every form, as a URL and when dialled. The
// addresses next to a block are allowed if they are public.
func TestGuardBlocksSpecialAddresses(t *testing.T) {
	t.Parallel()
	client := NewClient(ClientOptions{AllowHTTP: true})
	blocked := func(ip netip.Addr, why string) {
		t.Helper()
		require.ErrorIs(t, client.guard.control("tcp", netip.AddrPortFrom(ip, 443).String(), nil),
			ssrf.ErrProhibitedIP, "%s %s", why, ip)
		require.Error(t, client.CheckURL("https://"+literal(ip)+"/"), "%s %s", why, ip)
	}
	for _, text := range special {
		block := netip.MustParsePrefix(text)
		first, last := block.Addr(), lastOf(block)
		for _, ip := range []netip.Addr{first, first.Next(), last.Prev(), last} {
			if !block.Contains(ip) {
				continue
			}
			blocked(ip, text)
			if ip.Is4() {
				for form, translated := range embedded(ip) {
					blocked(translated, form+" "+text)
				}
			}
		}
		for _, ip := range []netip.Addr{first.Prev(), last.Next()} {
			if ip.IsValid() && public(ip) {
				require.NoError(t, client.guard.check(ip), "next to %s: %s", text, ip)
				require.NoError(t, client.CheckURL("https://"+literal(ip)+"/"), "next to %s: %s", text, ip)
			}
		}
	}
}

// public reports whether an address is global unicast and in no special block.
func public(ip netip.Addr) bool {
	if ip.Is6() && !netip.MustParsePrefix("2000::/3").Contains(ip) {
		return false
	}
	for _, text := range special {
		if netip.MustParsePrefix(text).Contains(ip) {
			return false
		}
	}
	return true
}

// embedded returns the IPv6 forms that carry an IPv4 address.
func embedded(ip netip.Addr) map[string]netip.Addr {
	v4 := ip.As4()
	at := func(prefix string, offset int) netip.Addr {
		b := netip.MustParseAddr(prefix).As16()
		copy(b[offset:], v4[:])
		return netip.AddrFrom16(b)
	}
	return map[string]netip.Addr{
		"mapped": at("::ffff:0:0", 12), "compatible": at("::", 12), "translated": at("::ffff:0:0:0", 12),
		"NAT64": at("64:ff9b::", 12), "local NAT64": at("64:ff9b:1::", 12), "6to4": at("2002::", 2),
		"Teredo server": at("2001::", 4), "Teredo client": at("2001::", 12),
	}
}

func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for bit := p.Bits(); bit < len(b)*8; bit++ {
		b[bit/8] |= 1 << (7 - bit%8)
	}
	ip, _ := netip.AddrFromSlice(b)
	return ip
}

func literal(ip netip.Addr) string {
	if ip.Is6() {
		return "[" + ip.String() + "]"
	}
	return ip.String()
}

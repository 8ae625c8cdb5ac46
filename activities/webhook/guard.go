package webhook

import (
	"fmt"
	"net/netip"
	"slices"
	"syscall"

	"code.dny.dev/ssrf"
)

// metadata are addresses of cloud metadata services, which hand out credentials, outside the ranges that are always
// blocked: on Azure a public address; on Alibaba Cloud, AWS and Google Cloud addresses in ranges that AllowPrivate
// opens.
var metadata = []netip.Addr{
	netip.MustParseAddr("168.63.129.16"),
	netip.MustParseAddr("100.100.100.200"),
	netip.MustParseAddr("fd00:ec2::254"),
	netip.MustParseAddr("fd20:ce::254"),
}

var (
	loopback4 = netip.MustParsePrefix("127.0.0.0/8")
	loopback6 = netip.MustParsePrefix("::1/128")

	// RFC 1918, RFC 6598 (shared space, used by container networks) and their IPv6 counterpart RFC 4193. Link-local
	// addresses, where most metadata services are, stay blocked.
	private4 = []netip.Prefix{
		netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"),
		netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("100.64.0.0/10"),
	}
	private6 = []netip.Prefix{netip.MustParsePrefix("fc00::/7")}
)

// guard decides which addresses may be dialled. It runs as the dialer's Control function, so it checks the address that
// the kernel is about to connect to: a name that resolves differently after a check (DNS rebinding) is blocked too.
type guard struct{ inner *ssrf.Guardian }

func newGuard(allowLoopback, allowPrivate bool) guard {
	var v4, v6 []netip.Prefix
	if allowLoopback {
		v4, v6 = append(v4, loopback4), append(v6, loopback6)
	}
	if allowPrivate {
		v4, v6 = append(v4, private4...), append(v6, private6...)
	}
	// Any port: the contracts do not restrict it.
	return guard{ssrf.New(ssrf.WithAnyPort(), ssrf.WithAllowedV4Prefixes(v4...), ssrf.WithAllowedV6Prefixes(v6...))}
}

// check returns an error that wraps ssrf.ErrProhibitedIP for an address that may not be called.
func (g guard) check(ip netip.Addr) error {
	ip = ip.Unmap()
	if slices.Contains(metadata, ip) {
		return fmt.Errorf("%w: instance metadata service", ssrf.ErrProhibitedIP)
	}
	return g.inner.SafeAddr(ip)
}

// control has the signature of net.Dialer.Control.
func (g guard) control(network, address string, raw syscall.RawConn) error {
	addr, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: %w", ssrf.ErrInvalidHostPort, err)
	}
	if err := g.check(addr.Addr()); err != nil {
		return err
	}
	return g.inner.Safe(network, address, raw)
}

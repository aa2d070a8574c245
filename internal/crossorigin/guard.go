// Package crossorigin keeps pages in browsers away from the coordinator. Its caller is
// internal/server, which puts the Guard in front of every path. It depends on nothing that can
// fail.
package crossorigin

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/httpapi"
)

// Guard keeps pages in browsers away from every path of next; it goes outermost. A page can make a
// browser send requests to any address, and by DNS rebinding it can make its own name point to this
// server, so neither the firewall nor the loopback address keeps it out. But it cannot choose the
// Host, Origin and Sec-Fetch-Site headers. A request is refused with status 403 unless its Host is
// a name of this server, its Origin, if it has one, is that same host, and its Sec-Fetch-Site, if
// it has one, is not that of another site.
//
// listen is the address the server is bound to, as the listener gives it ("127.0.0.1:3000",
// "[::]:3000"). What it decides:
//
//   - loopback: localhost, 127.0.0.1, [::1] and the bound address, with the server's own port;
//   - another single address, or a name: that address or name, with the server's own port;
//   - every address ("0.0.0.0", "[::]", ""), with any port, because containers map ports: IP addresses, names of one label (localhost,
//     or "coordinator" in a compose network), names under .localhost, .local and .internal, and the machine's own name.
//     Public DNS has none of these, so whoever can make them point here is inside the network already.
//
// hosts are further names, as "name" for any port or "name:port", say of a proxy in front; with
// these an https Origin passes though the server itself has no TLS. No wildcards. An error says
// which address or host cannot be read.
func Guard(next http.Handler, listen string, hosts ...string) (http.Handler, error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return nil, fmt.Errorf("read listen address %q: %w", listen, err)
	}
	g := &guard{next: next, own: map[authority]bool{}, extra: map[authority]bool{}}
	host = plainHost(host)
	addr, err := netip.ParseAddr(host)
	switch {
	case host == "" || err == nil && addr.IsUnspecified():
		g.wildcard = true
		// Without a name of its own the machine still has the others.
		name, _ := os.Hostname()
		g.own[authority{plainHost(name), ""}] = name != ""
	case host == "localhost" || err == nil && addr.IsLoopback():
		for _, name := range []string{"localhost", "127.0.0.1", "::1", host} {
			g.own[authority{name, port}] = true
		}
	default:
		g.own[authority{host, port}] = true
	}
	for _, extra := range hosts {
		if err := CheckHost(extra); err != nil {
			return nil, err
		}
		name, _ := splitAuthority(extra)
		g.extra[name] = true
	}
	return g, nil
}

// CheckHost says what is wrong with one of Guard's hosts.
func CheckHost(host string) error {
	if _, ok := splitAuthority(host); !ok {
		return fmt.Errorf("host %q must be a name or name:port, without a scheme, a path or wildcards", host)
	}
	return nil
}

// authority is a host in its plain form and a port, "" where none is written.
type authority struct{ host, port string }

type guard struct {
	next     http.Handler
	wildcard bool
	own      map[authority]bool
	extra    map[authority]bool
}

func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if why := g.foreign(r); why != "" {
		httpapi.WriteError(w, http.StatusForbidden, &api.Error{Code: api.CodeUnauthorized, Message: "Unauthorized", Data: why})
		return
	}
	if r.Method != http.MethodPost {
		// A page can embed what GET gives with no Origin sent; this keeps the browser from handing
		// it over.
		w.Header().Set("Cross-Origin-Resource-Policy", "same-origin")
		w.Header().Set("X-Content-Type-Options", "nosniff")
	}
	g.next.ServeHTTP(w, r)
}

// foreign says why a request is refused, "" if it is not.
func (g *guard) foreign(r *http.Request) string {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	host, ok := splitAuthority(r.Host)
	if !ok || !g.serves(host, scheme) {
		return fmt.Sprintf("Host %.100q is not a name this server listens on; the operator allows more names with --allowed-hosts", r.Host)
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
	default:
		return "a page of another site may not call this server (Sec-Fetch-Site)"
	}
	if origins, ok := r.Header["Origin"]; ok && (len(origins) != 1 || !g.sameOrigin(origins[0], host, scheme)) {
		return fmt.Sprintf("Origin %.100q is not this server's own", strings.Join(origins, ", "))
	}
	return ""
}

func (g *guard) serves(name authority, scheme string) bool {
	if g.named(name) {
		return true
	}
	full := authority{name.host, portOr(name.port, scheme)}
	return g.own[full] || g.own[authority{name.host, ""}] || g.wildcard && private(name.host)
}

// named: the operator has allowed it.
func (g *guard) named(name authority) bool { return g.extra[name] || g.extra[authority{name.host, ""}] }

func (g *guard) sameOrigin(origin string, host authority, scheme string) bool {
	u, err := url.Parse(origin)
	if err != nil || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.Opaque != "" {
		return false
	}
	if u.Scheme != scheme && (u.Scheme != "https" || !g.named(host)) {
		return false
	}
	name, ok := splitAuthority(u.Host)
	return ok && name.host == host.host && portOr(name.port, u.Scheme) == portOr(host.port, u.Scheme)
}

func portOr(port, scheme string) string {
	switch {
	case port != "":
		return port
	case scheme == "https":
		return "443"
	}
	return "80"
}

// private: nobody outside this machine and its network can make the name point anywhere.
func private(host string) bool {
	if _, ok := ipAddress(host); ok {
		return true
	}
	if !strings.Contains(host, ".") {
		return true
	}
	for _, zone := range []string{".localhost", ".local", ".internal"} {
		if strings.HasSuffix(host, zone) {
			return true
		}
	}
	return false
}

// splitAuthority reads "host", "host:port", "[v6]" and "[v6]:port".
func splitAuthority(s string) (authority, bool) {
	host, port := s, ""
	bracketed := strings.HasPrefix(s, "[")
	if bracketed {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return authority{}, false
		}
		host, port = s[1:end], s[end+1:]
		if addr, err := netip.ParseAddr(host); err != nil || !addr.Is6() || addr.Zone() != "" {
			return authority{}, false
		}
	} else if colon := strings.IndexByte(s, ':'); colon >= 0 {
		host, port = s[:colon], s[colon:]
	}
	if port != "" {
		if port[0] != ':' || !digits(port[1:]) {
			return authority{}, false
		}
		port = port[1:]
	}
	host = plainHost(host)
	return authority{host, port}, host != "" && (bracketed || hostname(host))
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return len(s) > 0 && len(s) <= 5
}

// hostname: letters, digits, '-', '_' and single dots inside; a name in another script comes here
// as punycode.
func hostname(s string) bool {
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_':
		case c == '.' && i > 0 && i < len(s)-1 && s[i-1] != '.':
		default:
			return false
		}
	}
	return true
}

// plainHost writes a host in lower case, and an address in its one shortest form.
func plainHost(host string) string {
	if addr, ok := ipAddress(host); ok {
		return addr.Unmap().WithZone("").String()
	}
	return strings.ToLower(host)
}

// ipAddress parses a host that is an address. Every request comes by here, and that a name is none
// is seen at its first byte.
func ipAddress(host string) (netip.Addr, bool) {
	if host == "" || host[0] > '9' && !strings.Contains(host, ":") {
		return netip.Addr{}, false
	}
	addr, err := netip.ParseAddr(host)
	return addr, err == nil
}

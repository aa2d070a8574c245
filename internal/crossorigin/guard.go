// Package crossorigin rejects requests of web pages from other sites. internal/server puts the
// Guard in front of all paths. It depends on nothing that can fail.
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
	"github.com/claudebench/claudebench/internal/ui"
)

// Guard protects all paths of next from web pages of other sites. It must be the outermost handler.
// A page can make a browser send requests to any address, and with DNS rebinding it can make its
// own name resolve to this server, so neither a firewall nor a loopback address keeps it out. But
// it cannot choose the Host, Origin and Sec-Fetch-Site headers. A request is rejected with status
// 403 unless its Host is a name of this server, its Origin, if present, is that same host, and its
// Sec-Fetch-Site, if present, does not name another site. A link on another site may open a page
// of the dashboard in a tab (ui.Page), and nothing else.
//
// listen is the address that the server is bound to, as the listener returns it ("127.0.0.1:3000",
// "[::]:3000"). It determines the accepted hosts:
//
//   - loopback: localhost, 127.0.0.1, [::1] and the bound address, with the server's own port;
//   - another single address, or a name: that address or name, with the server's own port;
//   - every address ("0.0.0.0", "[::]", ""), with any port, because containers map ports: IP
//     addresses, names of one label (localhost, or "coordinator" in a compose network), names under
//     .localhost, .local and .internal, and the machine's own name. Public DNS has none of these,
//     so an attacker who can make them resolve to this server is already in its network.
//
// hosts are additional names, as "name" for any port or "name:port", for example those of a proxy
// in front. For these an https Origin is accepted even if the server itself has no TLS. There are
// no wildcards. An error names the address or the host that is invalid.
func Guard(next http.Handler, listen string, hosts ...string) (http.Handler, error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return nil, fmt.Errorf("parse the listen address %q: %w", listen, err)
	}
	g := &guard{next: next, own: map[authority]bool{}, extra: map[authority]bool{}}
	host = plainHost(host)
	addr, err := netip.ParseAddr(host)
	switch {
	case host == "" || err == nil && addr.IsUnspecified():
		g.wildcard = true
		// Without it the machine still has its other names.
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

// CheckHost returns an error if host is not valid in Guard's hosts.
func CheckHost(host string) error {
	if _, ok := splitAuthority(host); !ok {
		return fmt.Errorf("host %q must be a name or name:port, without a scheme, a path or wildcards", host)
	}
	return nil
}

// authority is a normalised host and a port, which is "" if none was given.
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
		// Another site's page can embed the response to a GET, for which browsers send no Origin.
		// This header makes the browser withhold it.
		w.Header().Set("Cross-Origin-Resource-Policy", "same-origin")
		w.Header().Set("X-Content-Type-Options", "nosniff")
	}
	g.next.ServeHTTP(w, r)
}

// foreign returns why a request is rejected, or "" if it is not.
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
		if !followsLink(r) {
			return "a page of another site must not call this server (Sec-Fetch-Site)"
		}
	}
	if origins, ok := r.Header["Origin"]; ok && (len(origins) != 1 || !g.sameOrigin(origins[0], host, scheme)) {
		return fmt.Sprintf("Origin %.100q is not this server's own", strings.Join(origins, ", "))
	}
	return ""
}

// followsLink reports whether the browser opens a page of the dashboard in a tab, as it does for a
// link on another site. Such a page can neither read the tab nor frame it.
func followsLink(r *http.Request) bool {
	return r.Method == http.MethodGet && ui.Page(r.URL.Path) &&
		r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document"
}

func (g *guard) serves(name authority, scheme string) bool {
	if g.named(name) {
		return true
	}
	full := authority{name.host, portOr(name.port, scheme)}
	return g.own[full] || g.own[authority{name.host, ""}] || g.wildcard && private(name.host)
}

// named reports whether the operator has allowed a host.
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

// private reports whether only this machine and its network can decide where a name resolves to.
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

// splitAuthority parses "host", "host:port", "[v6]" and "[v6]:port".
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

// hostname reports whether s is a valid host name: letters, digits, '-', '_' and single dots
// inside. A name in another script arrives as punycode.
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

// plainHost normalises a host: lower case, and an address in its shortest form.
func plainHost(host string) string {
	if addr, ok := ipAddress(host); ok {
		return addr.Unmap().WithZone("").String()
	}
	return strings.ToLower(host)
}

// ipAddress parses a host that is an address. It runs for every request, so it recognises a name by
// its first byte.
func ipAddress(host string) (netip.Addr, bool) {
	if host == "" || host[0] > '9' && !strings.Contains(host, ":") {
		return netip.Addr{}, false
	}
	addr, err := netip.ParseAddr(host)
	return addr, err == nil
}

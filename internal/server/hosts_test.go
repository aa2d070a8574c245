package server

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"

	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/crossorigin"
)

const healthCall = `{"jsonrpc":"2.0","id":1,"method":"system.health"}`

// A name in --listen is accepted as a host name, although the listener knows only the address.
func TestTheNameInListenIsServed(t *testing.T) {
	t.Parallel()
	bound := &net.TCPAddr{IP: net.ParseIP("192.0.2.1"), Port: 3000}
	for listen, hosts := range map[string]map[string]int{
		"myhost:3000":      {"myhost:3000": 200, "MyHost:3000": 200, "192.0.2.1:3000": 200, "myhost:80": 403, "myhost": 403, "other:3000": 403},
		"cb.example.:3000": {"cb.example:3000": 200, "x.cb.example:3000": 403},
		"cb.example:0":     {"cb.example:3000": 200},
		"192.0.2.1:3000":   {"192.0.2.1:3000": 200, "myhost:3000": 403},
	} {
		handler := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
		guard, err := crossorigin.Guard(handler, bound.String(), (&Server{}).hosts(&config.Config{Listen: listen}, bound)...)
		if err != nil {
			t.Errorf("--listen %s: %v", listen, err)
			continue
		}
		for host, want := range hosts {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/healthz", nil)
			r.Host = host
			w := httptest.NewRecorder()
			if guard.ServeHTTP(w, r); w.Code != want {
				t.Errorf("--listen %s, Host %s: status %d, want %d", listen, host, w.Code, want)
			}
		}
	}
}

// Behind a proxy that keeps Host, configured as in docs/security.md, the names in --allowed-hosts
// are accepted and no others.
func TestAllowedHostsBehindAProxyThatKeepsHost(t *testing.T) {
	t.Parallel()
	c := start(t, settings(t, func(cfg *config.Config) { cfg.AllowedHosts = []string{"cb.example", "ops.example:8443"} }))
	target, err := url.Parse(c.url)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host
		r.SetXForwarded()
	}})
	defer proxy.Close()
	through := &client{url: proxy.URL, http: proxy.Client()}
	for _, request := range []struct {
		host, origin string
		want         int
	}{
		{"cb.example", "", 200},
		{"cb.example", "https://cb.example", 200}, // TLS ends at the proxy
		{"cb.example:444", "", 200},
		{"ops.example:8443", "https://ops.example:8443", 200},
		{"ops.example", "", 403},
		{"x.cb.example", "", 403},
		{"evil.example", "", 403},
		{"cb.example", "https://evil.example", 403},
	} {
		status, answer := through.post(t, "/rpc", healthCall, func(r *http.Request) {
			r.Host = request.host
			if request.origin != "" {
				r.Header.Set("Origin", request.origin)
			}
		})
		if status != request.want {
			t.Errorf("Host %s, Origin %q: status %d, want %d: %s", request.host, request.origin, status, request.want, answer)
		}
	}
	// The sender chooses X-Forwarded-Host, so it must not allow anything.
	if status, _ := through.post(t, "/rpc", healthCall, func(r *http.Request) {
		r.Host = "evil.example"
		r.Header.Set("X-Forwarded-Host", "cb.example")
	}); status != http.StatusForbidden {
		t.Errorf("X-Forwarded-Host is believed: status %d", status)
	}
}

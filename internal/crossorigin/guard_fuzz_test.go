package crossorigin_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/claudebench/claudebench/internal/crossorigin"
)

// FuzzGuard sends hosts and origins to a server on loopback. In an accepted request, both headers
// name this machine and this port, as net and net/netip parse them.
func FuzzGuard(f *testing.F) {
	for _, seed := range [][2]string{
		{"localhost:3000", ""},
		{"127.0.0.1:3000", "http://127.0.0.1:3000"},
		{"[::1]:3000", "http://[::1]:3000"},
		{"[::ffff:127.0.0.1]:3000", ""},
		{"localhost:3000", "http://localhost:3000/"},
		{"localhost:3000", "null"},
		{"localhost:3000@evil", "http://localhost:3000@evil"},
		{"LOCALHOST:03000", ""},
		{"localhost\x00:3000", "\x00"},
		{"", "http://"},
		{"[::1%25lo]:3000", ""},
		{"0x7f.1:3000", ""},
		{"localhost.:3000", "http://LocalHost:3000"},
	} {
		f.Add(seed[0], seed[1])
	}
	passed := false
	guard, err := crossorigin.Guard(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { passed = true }), "127.0.0.1:3000")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, host, origin string) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil)
		r.Host = host
		if origin != "" {
			r.Header["Origin"] = []string{origin}
		}
		passed = false
		w := httptest.NewRecorder()
		guard.ServeHTTP(w, r)
		if !passed {
			if w.Code != http.StatusForbidden {
				t.Fatalf("host %q, origin %q: status %d", host, origin, w.Code)
			}
			return
		}
		own(t, host)
		if origin != "" {
			scheme, rest, _ := strings.Cut(origin, "://")
			if !strings.EqualFold(scheme, "http") {
				t.Fatalf("the origin %q passed", origin)
			}
			own(t, rest)
		}
	})
}

func own(t *testing.T, authority string) {
	name, port, err := net.SplitHostPort(authority)
	if err != nil || port != "3000" {
		t.Fatalf("%q passed", authority)
	}
	if addr, err := netip.ParseAddr(name); !strings.EqualFold(name, "localhost") && (err != nil || !addr.Unmap().IsLoopback()) {
		t.Fatalf("%q passed", authority)
	}
}

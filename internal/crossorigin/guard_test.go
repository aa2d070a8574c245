package crossorigin_test

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/claudebench/claudebench/internal/crossorigin"
)

// answering accepts every request that reaches it.
var answering = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })

func TestGuard(t *testing.T) {
	machine, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	const loopback, everywhere, one = "127.0.0.1:3000", "[::]:3000", "192.0.2.1:3000"
	for _, tc := range []struct {
		listen, extra, host, origin string
		secure, pass                bool
	}{
		// Bound to loopback: its own names, with its port.
		{listen: loopback, host: "localhost:3000", pass: true},
		{listen: loopback, host: "LocalHost:3000", pass: true},
		{listen: loopback, host: "127.0.0.1:3000", pass: true},
		{listen: loopback, host: "[::1]:3000", pass: true},
		{listen: loopback, host: "[0:0::1]:3000", pass: true},
		{listen: loopback, host: "[::ffff:127.0.0.1]:3000", pass: true},
		{listen: "127.0.0.2:3000", host: "127.0.0.2:3000", pass: true},
		{listen: "localhost:3000", host: "127.0.0.1:3000", pass: true},
		{listen: "[::1]:80", host: "localhost", pass: true},
		{listen: "[::1]:443", host: "localhost", secure: true, pass: true},
		{listen: "[::1]:443", host: "localhost"},
		{listen: loopback, host: "localhost:3001"},
		{listen: loopback, host: "localhost"},
		{listen: loopback, host: ""},
		{listen: loopback, host: ":3000"},
		{listen: loopback, host: "127.0.0.3:3000"},
		{listen: loopback, host: "192.0.2.1:3000"},
		{listen: loopback, host: "evil.example:3000"},
		{listen: loopback, host: "localhost.evil.example:3000"},
		{listen: loopback, host: "localhost.:3000"},
		{listen: loopback, host: "coordinator:3000"},
		{listen: loopback, host: "127.0.0.1.nip.io:3000"},
		{listen: loopback, host: "user@localhost:3000"},
		{listen: loopback, host: "localhost:3000:3000"},
		{listen: loopback, host: "localhost:"},
		{listen: loopback, host: "[::1"},
		{listen: loopback, host: "[localhost]:3000"},

		// Origins: the same host, or none.
		{listen: loopback, host: "localhost:3000", origin: "http://localhost:3000", pass: true},
		{listen: loopback, host: "localhost:3000", origin: "HTTP://LOCALHOST:3000", pass: true},
		{listen: loopback, host: "[::1]:3000", origin: "http://[::1]:3000", pass: true},
		{listen: "[::1]:80", host: "localhost", origin: "http://localhost", pass: true},
		{listen: "[::1]:80", host: "localhost:80", origin: "http://localhost", pass: true},
		{listen: "[::1]:443", host: "localhost", origin: "https://localhost", secure: true, pass: true},
		{listen: "[::1]:443", host: "localhost", origin: "http://localhost", secure: true},
		{listen: loopback, host: "localhost:3000", origin: "https://localhost:3000"},
		{listen: loopback, host: "localhost:3000", origin: "http://localhost:3001"},
		{listen: loopback, host: "localhost:3000", origin: "http://localhost"},
		{listen: loopback, host: "localhost:3000", origin: "http://127.0.0.1:3000"},
		{listen: loopback, host: "localhost:3000", origin: "http://evil.example"},
		{listen: loopback, host: "localhost:3000", origin: "http://evil.example:3000"},
		{listen: loopback, host: "localhost:3000", origin: "null"},
		{listen: loopback, host: "localhost:3000", origin: "-"},
		{listen: loopback, host: "localhost:3000", origin: "http://localhost:3000/"},
		{listen: loopback, host: "localhost:3000", origin: "http://x@localhost:3000"},
		{listen: loopback, host: "localhost:3000", origin: "http://localhost:3000, http://evil.example"},
		{listen: loopback, host: "localhost:3000", origin: "chrome-extension://localhost:3000"},

		// Bound to every address: names that public DNS does not have, with any port.
		{listen: everywhere, host: "localhost:3000", pass: true},
		{listen: everywhere, host: "localhost:8080", origin: "http://localhost:8080", pass: true},
		{listen: "0.0.0.0:3000", host: "coordinator:3000", pass: true},
		{listen: ":3000", host: "coordinator", pass: true},
		{listen: everywhere, host: "192.0.2.55:3000", pass: true},
		{listen: everywhere, host: "[2001:db8::1]:3000", pass: true},
		{listen: everywhere, host: machine + ":3000", pass: true},
		{listen: everywhere, host: "host.docker.internal:3000", pass: true},
		{listen: everywhere, host: "coordinator.agents.svc.cluster.local:3000", pass: true},
		{listen: everywhere, host: "x.localhost:3000", pass: true},
		{listen: everywhere, host: "evil.example:3000"},
		{listen: everywhere, host: "evil-internal.example:3000"},
		{listen: everywhere, host: "evilinternal.com:3000"},
		{listen: everywhere, host: "1.2.3:3000"},
		{listen: everywhere, host: "ai.:3000"},
		{listen: everywhere, host: "a..local:3000"},
		{listen: everywhere, host: "coordinator:3000", origin: "http://other:3000"},

		// Bound to one other address, and names that the operator added.
		{listen: one, host: "192.0.2.1:3000", pass: true},
		{listen: one, host: "192.0.2.2:3000"},
		{listen: one, host: "localhost:3000"},
		{listen: one, host: "coordinator:3000"},
		{listen: "cb.example:3000", host: "cb.example:3000", pass: true},
		{listen: one, extra: "cb.example", host: "cb.example", pass: true},
		{listen: one, extra: "CB.example", host: "cb.example:8443", origin: "https://cb.example:8443", pass: true},
		{listen: one, extra: "cb.example", host: "cb.example", origin: "https://cb.example", pass: true},
		{listen: one, extra: "cb.example:8443", host: "cb.example:8443", pass: true},
		{listen: one, extra: "cb.example:8443", host: "cb.example:8444"},
		{listen: one, extra: "cb.example", host: "x.cb.example"},
		{listen: loopback, extra: "cb.example", host: "cb.example", origin: "http://localhost:3000"},
	} {
		name := strings.Join([]string{tc.listen, tc.extra, tc.host, tc.origin}, " ")
		t.Run(name, func(t *testing.T) {
			var extra []string
			if tc.extra != "" {
				extra = []string{tc.extra}
			}
			g, err := crossorigin.Guard(answering, tc.listen, extra...)
			if err != nil {
				t.Fatal(err)
			}
			r := httptest.NewRequestWithContext(context.Background(), "POST", "/rpc", strings.NewReader("{}"))
			r.Host = tc.host
			r.Header.Set("Content-Type", "application/json")
			switch tc.origin {
			case "":
			case "-":
				r.Header["Origin"] = []string{""}
			default:
				r.Header["Origin"] = strings.Split(tc.origin, ", ")
			}
			if tc.secure {
				r.TLS = &tls.ConnectionState{}
			}
			w := httptest.NewRecorder()
			g.ServeHTTP(w, r)
			if pass := w.Code == http.StatusOK; pass != tc.pass {
				t.Fatalf("status %d: %s", w.Code, w.Body)
			}
			if !tc.pass && (w.Code != http.StatusForbidden || !strings.HasPrefix(w.Body.String(), `{"error":{"code":-32002,"message":"Unauthorized","data":"`)) {
				t.Errorf("status %d: %s", w.Code, w.Body)
			}
		})
	}
}

func TestGuardHeedsFetchMetadata(t *testing.T) {
	g, err := crossorigin.Guard(answering, "127.0.0.1:3000")
	if err != nil {
		t.Fatal(err)
	}
	for site, status := range map[string]int{"same-origin": 200, "none": 200, "same-site": 403, "cross-site": 403} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/rpc", strings.NewReader("{}"))
		r.Host = "localhost:3000"
		r.Header.Set("Sec-Fetch-Site", site)
		w := httptest.NewRecorder()
		if g.ServeHTTP(w, r); w.Code != status {
			t.Errorf("%s: status %d, want %d", site, w.Code, status)
		}
	}
}

// A link on another site may open a page of the dashboard in a tab. Nothing else passes that a page of
// another site can make a browser send.
func TestGuardLetsLinksOpenTheDashboard(t *testing.T) {
	g, err := crossorigin.Guard(answering, "127.0.0.1:3000")
	if err != nil {
		t.Fatal(err)
	}
	const get, post = http.MethodGet, http.MethodPost
	for _, tc := range []struct {
		method, path, mode, dest, origin string
		pass                             bool
	}{
		{get, "/ui/", "navigate", "document", "", true},
		{get, "/ui", "navigate", "document", "", true},
		{get, "/ui/tasks?status=failed", "navigate", "document", "", true},
		{get, "/ui/tasks/t-6", "navigate", "document", "", true},
		{get, "/", "navigate", "document", "", true},
		{get, "/ui/", "navigate", "iframe", "", false},
		{get, "/ui/", "navigate", "frame", "", false},
		{get, "/ui/", "navigate", "object", "", false},
		{get, "/ui/", "navigate", "embed", "", false},
		{get, "/ui/", "nested-navigate", "document", "", false},
		{get, "/ui/", "navigate", "", "", false},
		{get, "/ui/", "", "document", "", false},
		{get, "/ui/", "", "", "", false},
		{get, "/ui/", "cors", "empty", "", false},
		{get, "/ui/", "no-cors", "empty", "", false},
		{get, "/ui/app.js", "no-cors", "script", "", false},
		{get, "/ui/app.js", "cors", "script", "http://evil.example", false},
		{get, "/ui/app.css", "no-cors", "style", "", false},
		{get, "/ui/icon.svg", "no-cors", "image", "", false},
		{get, "/ui/", "navigate", "document", "http://evil.example", false},
		{get, "/ui/", "navigate", "document", "null", false},
		{post, "/ui/", "navigate", "document", "http://evil.example", false},
		{post, "/ui/", "navigate", "document", "", false},
		{http.MethodHead, "/ui/", "navigate", "document", "", false},
		{get, "/rpc", "navigate", "document", "", false},
		{get, "/events", "navigate", "document", "", false},
		{get, "/metrics", "navigate", "document", "", false},
		{get, "/healthz", "navigate", "document", "", false},
		{get, "/api/task/list", "navigate", "document", "", false},
		{get, "/asyncapi.json", "navigate", "document", "", false},
		{get, "/uix", "navigate", "document", "", false},
		{get, "/uix/", "navigate", "document", "", false},
		{get, "//ui/", "navigate", "document", "", false},
	} {
		for _, site := range []string{"cross-site", "same-site"} {
			r := httptest.NewRequestWithContext(t.Context(), tc.method, tc.path, nil)
			r.Host = "localhost:3000"
			for name, value := range map[string]string{"Sec-Fetch-Site": site, "Sec-Fetch-Mode": tc.mode, "Sec-Fetch-Dest": tc.dest, "Origin": tc.origin} {
				if value != "" {
					r.Header.Set(name, value)
				}
			}
			w := httptest.NewRecorder()
			if g.ServeHTTP(w, r); (w.Code == http.StatusOK) != tc.pass {
				t.Errorf("%s %s %+v: status %d", site, tc.path, tc, w.Code)
			}
		}
	}
	// A link does not make a foreign name for this server good.
	r := httptest.NewRequestWithContext(t.Context(), get, "/ui/", nil)
	r.Host = "evil.example:3000"
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	r.Header.Set("Sec-Fetch-Dest", "document")
	w := httptest.NewRecorder()
	if g.ServeHTTP(w, r); w.Code != http.StatusForbidden {
		t.Errorf("a foreign Host: status %d", w.Code)
	}
}

func TestGuardKeepsPagesFromEmbedding(t *testing.T) {
	g, err := crossorigin.Guard(http.NotFoundHandler(), "127.0.0.1:3000")
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	g.ServeHTTP(w, httptest.NewRequestWithContext(context.Background(), "GET", "http://localhost:3000/metrics", nil))
	if w.Code != http.StatusNotFound || w.Header().Get("Cross-Origin-Resource-Policy") != "same-origin" || w.Header().Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("status %d, %v", w.Code, w.Header())
	}
}

func TestGuardRefusesWhatItCannotRead(t *testing.T) {
	for _, tc := range [][]string{{"127.0.0.1"}, {"127.0.0.1:3000", "*.example"}, {"127.0.0.1:3000", "https://cb.example"}, {"127.0.0.1:3000", ""}, {"127.0.0.1:3000", "::1"}} {
		if _, err := crossorigin.Guard(answering, tc[0], tc[1:]...); err == nil {
			t.Errorf("%q was taken", tc)
		}
	}
}

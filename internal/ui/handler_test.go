package ui_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
)

// answer is a response whose body has been read.
type answer struct {
	StatusCode    int
	Header        http.Header
	ContentLength int64
}

// get sends a request without following redirects, and returns the response and its body.
func (f *fleet) get(t *testing.T, method, path string, header map[string]string) (answer, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, f.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range header {
		r.Header.Set(name, value)
	}
	response, err := f.http.Transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, response.ContentLength}, string(body)
}

func TestTheFilesAreServed(t *testing.T) {
	t.Parallel()
	f, all := start(t, nil), files(t)
	for path, want := range map[string]struct{ contentType, file string }{
		"/ui/":                      {"text/html; charset=utf-8", "index.html"},
		"/ui/index.html":            {"text/html; charset=utf-8", "index.html"},
		"/ui/app.css":               {"text/css; charset=utf-8", "app.css"},
		"/ui/app.js":                {"text/javascript; charset=utf-8", "app.js"},
		"/ui/lib/json.js":           {"text/javascript; charset=utf-8", "lib/json.js"},
		"/ui/icon.svg":              {"image/svg+xml", "icon.svg"},
		"/ui/tasks":                 {"text/html; charset=utf-8", "index.html"},
		"/ui/tasks/t-6":             {"text/html; charset=utf-8", "index.html"},
		"/ui/tasks?status=failed":   {"text/html; charset=utf-8", "index.html"},
		"/ui/fleet/host.example.js": {"text/html; charset=utf-8", "index.html"},
		"/ui/fleet/a/b.css":         {"text/html; charset=utf-8", "index.html"},
		"/ui/fleet/agent.2":         {"text/html; charset=utf-8", "index.html"},
		"/ui/nothing":               {"text/html; charset=utf-8", "index.html"},
	} {
		response, body := f.get(t, http.MethodGet, path, nil)
		tag := response.Header.Get("ETag")
		if response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != want.contentType || body != all[want.file] || tag == "" {
			t.Errorf("GET %s: %d, %v, %d bytes", path, response.StatusCode, response.Header, len(body))
		}
		// The page lets the browser load at once what the overview needs.
		for name, first := range map[string]bool{
			"app.js": true, "lib/json.js": true, "pages/overview.js": true, "parts/chart.js": true, "pages/tasks.js": false, "parts/dialog.js": false,
		} {
			if strings.Contains(response.Header.Get("Link"), "</ui/"+name+">; rel=modulepreload") != (first && want.file == "index.html") {
				t.Errorf("GET %s: the header Link and %s: %s", path, name, response.Header.Get("Link"))
			}
		}
		head, none := f.get(t, http.MethodHead, path, nil)
		if head.StatusCode != http.StatusOK || none != "" || head.Header.Get("ETag") != tag || head.ContentLength != int64(len(body)) || head.Header.Get("Content-Type") != want.contentType {
			t.Errorf("HEAD %s: %d, %v, %d bytes", path, head.StatusCode, head.Header, head.ContentLength)
		}
		for _, known := range []string{tag, "W/" + tag, `"other", ` + tag, "*"} {
			if same, none := f.get(t, http.MethodGet, path, map[string]string{"If-None-Match": known}); same.StatusCode != http.StatusNotModified || none != "" || same.Header.Get("ETag") != tag {
				t.Errorf("GET %s with If-None-Match %s: %d, %d bytes", path, known, same.StatusCode, len(none))
			}
		}
		if other, again := f.get(t, http.MethodGet, path, map[string]string{"If-None-Match": `"older"`}); other.StatusCode != http.StatusOK || again != body {
			t.Errorf("GET %s with another tag: %d", path, other.StatusCode)
		}
	}
}

func TestTheFilesAreProtected(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	for _, path := range []string{"/ui/", "/ui/app.js", "/ui/app.css", "/ui/icon.svg", "/ui/tasks/t-1"} {
		response, _ := f.get(t, http.MethodGet, path, nil)
		for name, parts := range map[string][]string{
			"Content-Security-Policy": {
				"default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self'", "connect-src 'self'", "base-uri 'none'", "form-action 'none'",
				"frame-ancestors 'none'", "require-trusted-types-for 'script'", "trusted-types 'none'",
			},
			"X-Content-Type-Options":       {"nosniff"},
			"Referrer-Policy":              {"no-referrer"},
			"Cross-Origin-Opener-Policy":   {"same-origin"},
			"Cross-Origin-Resource-Policy": {"same-origin"},
			"Cache-Control":                {"no-cache"},
		} {
			for _, part := range parts {
				if !strings.Contains(response.Header.Get(name), part) {
					t.Errorf("%s has %s %q, want %s", path, name, response.Header.Get(name), part)
				}
			}
		}
		if policy := response.Header.Get("Content-Security-Policy"); strings.Contains(policy, "unsafe") || strings.Contains(policy, "http") || strings.Contains(policy, "*") || strings.Contains(policy, "data:") {
			t.Errorf("%s has the policy %s", path, policy)
		}
	}
}

func TestWhatTheDashboardRefuses(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	for _, path := range []string{"/ui/nothing.js", "/ui/lib/nothing.css", "/ui/fleet.js", "/ui/static/app.js", "/ui/x.svg"} {
		if response, body := f.get(t, http.MethodGet, path, nil); response.StatusCode != http.StatusNotFound || !json.Valid([]byte(body)) || strings.Contains(body, "<html") {
			t.Errorf("GET %s: %d %s", path, response.StatusCode, body)
		}
	}
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions, http.MethodPatch} {
		for _, path := range []string{"/ui/", "/ui/app.js", "/ui/tasks/t-1"} {
			if response, body := f.get(t, method, path, nil); response.StatusCode != http.StatusMethodNotAllowed || response.Header.Get("Allow") != "GET, HEAD" || !json.Valid([]byte(body)) {
				t.Errorf("%s %s: %d %v %s", method, path, response.StatusCode, response.Header, body)
			}
		}
	}
}

const browserAccepts = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"

func TestTheRootLeadsBrowsersToTheDashboard(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	if response, _ := f.get(t, http.MethodGet, "/", map[string]string{"Accept": browserAccepts}); response.StatusCode != http.StatusFound || response.Header.Get("Location") != "/ui/" {
		t.Errorf("a browser: %d %v", response.StatusCode, response.Header)
	}
	if response, _ := f.get(t, http.MethodGet, "/ui", map[string]string{"Accept": browserAccepts}); response.StatusCode/100 != 3 || response.Header.Get("Location") != "/ui/" {
		t.Errorf("/ui: %d %v", response.StatusCode, response.Header)
	}
	for _, tc := range []struct{ method, path, accept string }{
		{http.MethodGet, "/", ""},
		{http.MethodGet, "/", "*/*"},
		{http.MethodGet, "/", "application/json"},
		{http.MethodPost, "/", browserAccepts},
		{http.MethodGet, "/nothing", browserAccepts},
		{http.MethodGet, "/uix", browserAccepts},
		{http.MethodGet, "/uix/", browserAccepts},
	} {
		if response, body := f.get(t, tc.method, tc.path, map[string]string{"Accept": tc.accept}); response.StatusCode != http.StatusNotFound || !json.Valid([]byte(body)) {
			t.Errorf("%s %s with Accept %s: %d %s", tc.method, tc.path, tc.accept, response.StatusCode, body)
		}
	}
}

// With tokens, the files need none, and everything that has data needs one.
func TestFilesNeedNoToken(t *testing.T) {
	t.Parallel()
	f := startWithTokens(t)
	for path, want := range map[string]int{
		"/": http.StatusFound, "/ui": http.StatusTemporaryRedirect, "/ui/": http.StatusOK, "/ui/tasks/t-1": http.StatusOK, "/ui/app.js": http.StatusOK, "/ui/nothing.js": http.StatusNotFound,
		"/rpc": http.StatusUnauthorized, "/events": http.StatusUnauthorized, "/ws": http.StatusUnauthorized, "/metrics": http.StatusUnauthorized, "/asyncapi.json": http.StatusUnauthorized,
		"/uix": http.StatusUnauthorized,
		// A redirect cleans the path, and the clean one needs a token. An escaped dot is a part of the name.
		"/ui/../rpc": http.StatusTemporaryRedirect, "/ui/%2e%2e/rpc": http.StatusOK, "//ui/": http.StatusUnauthorized, "/api/task/list": http.StatusUnauthorized,
	} {
		response, body := f.get(t, http.MethodGet, path, map[string]string{"Accept": browserAccepts})
		if response.StatusCode != want {
			t.Errorf("GET %s: %d %s, want %d", path, response.StatusCode, body, want)
		}
	}
	if response, _ := f.get(t, http.MethodPost, "/ui/", nil); response.StatusCode != http.StatusUnauthorized {
		t.Errorf("POST /ui/: %d", response.StatusCode)
	}
}

package rest_test

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/rest"
)

// FuzzHandler posts bodies to paths. Every response is JSON with a documented status. A method is
// called only by its own path and with params that are JSON.
func FuzzHandler(f *testing.F) {
	for _, path := range []string{"/api/task/create", "/api/task/create/", "/api/task.create", "/api/", "/api//task/create", "/api/%74ask/create", "/api/task/../x"} {
		for _, body := range []string{``, ` `, `{}`, `{"text":"a"}`, `[]`, `null`, `{"a":1e999}`, `{`, "\xff", `{} {}`, strings.Repeat("[", 65), strings.Repeat("[", 64) + strings.Repeat("]", 64)} {
			f.Add(path, "", []byte(body))
		}
	}
	f.Add("/api/task/create", "a cause", []byte(`{}`))
	f.Add("/api/task/create", strings.Repeat("x", 257), []byte(`{}`))
	f.Add("/api/task/create", "\xff", []byte(`{}`))
	names, err := commands.MethodNames()
	if err != nil {
		f.Fatal(err)
	}
	var called *api.Request
	h := rest.NewHandler(dispatch(func(r api.Request) (json.RawMessage, *api.Error) {
		called = &r
		if string(r.Params) == "null" {
			return nil, api.InvalidParams("params must be an object")
		}
		return r.Params, nil
	}), names, rest.Options{Log: slog.New(slog.DiscardHandler)})
	statuses := []int{http.StatusOK, http.StatusBadRequest, http.StatusNotFound}
	f.Fuzz(func(t *testing.T, path, cause string, body []byte) {
		u, err := url.ParseRequestURI(path)
		if err != nil || u.Host != "" {
			return // net/http does not pass it on
		}
		called = nil
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(string(body)))
		r.URL = u
		r.Header.Set("Content-Type", "application/json")
		if cause != "" {
			r.Header["X-Correlation-Id"] = []string{cause}
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if !slices.Contains(statuses, w.Code) || !json.Valid(w.Body.Bytes()) {
			t.Fatalf("%q to %q: status %d: %s", body, path, w.Code, w.Body)
		}
		if called == nil {
			if w.Code == http.StatusOK {
				t.Fatalf("%q to %q: nothing was called, and answered %s", body, path, w.Body)
			}
			return
		}
		if rest.Path(called.Method) != u.Path || len(called.Params) > 0 && !json.Valid(called.Params) || !utf8.Valid(called.Params) {
			t.Fatalf("%q to %q called %s with %q", body, path, called.Method, called.Params)
		}
		if called.Cause == "" || len(called.Cause) > 256 || !utf8.ValidString(called.Cause) {
			t.Fatalf("the cause %q became %q", cause, called.Cause)
		}
	})
}

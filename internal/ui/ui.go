// Package ui contains the dashboard: the files below static, and the handler that serves them.
// internal/server serves it at /ui/, and sends browsers there from /.
//
// The files are what the browser gets: ES modules, one style sheet and one page, without a build
// step. They contain no data. The page reads everything through the API, with the token of the
// person in front of it. docs/dashboard.md describes it, and decision 0048 says why it is built so.
package ui

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/httpapi"
)

// Path is where the server serves the handler.
const Path = "/ui/"

//go:embed static
var static embed.FS

// types are the content types of the files.
var types = map[string]string{
	".css":  "text/css; charset=utf-8",
	".html": "text/html; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

// policy lets the page run its own modules and call its own server, and nothing else. Trusted Types
// without a policy make every sink that would parse text as HTML or as a script throw.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// file is a file as it is served.
type file struct {
	contentType, tag string
	body             []byte
}

type handler struct {
	files map[string]file // by path below Path
	// first is the header Link of the page. It makes the browser load what the first view needs at once,
	// and not one after the other as the modules import each other.
	first string
}

// NewHandler serves the dashboard by GET below Path. A path that names no file is an address inside
// the dashboard, such as /ui/tasks/t-6, and gets the page.
func NewHandler() (http.Handler, error) {
	h := &handler{files: map[string]file{}}
	err := fs.WalkDir(static, "static", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		contentType, ok := types[path.Ext(name)]
		if !ok {
			return fmt.Errorf("internal/ui/%s: a file of the dashboard ends in .css, .html, .js or .svg", name)
		}
		body, err := static.ReadFile(name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(body)
		h.files[strings.TrimPrefix(name, "static/")] = file{contentType, `"` + hex.EncodeToString(sum[:8]) + `"`, body}
		return nil
	})
	links := []string{"<" + Path + "app.css>; rel=preload; as=style", "<" + Path + "theme.js>; rel=preload; as=script"}
	for _, name := range h.imports("app.js", "pages/overview.js") {
		links = append(links, "<"+Path+name+">; rel=modulepreload")
	}
	h.first = strings.Join(links, ", ")
	return h, err
}

var imported = regexp.MustCompile(`(?m)^import .* from "(.+)";$`)

// imports returns modules and all that they import, directly or not.
func (h *handler) imports(modules ...string) []string {
	for i := 0; i < len(modules); i++ {
		for _, found := range imported.FindAllSubmatch(h.files[modules[i]].body, -1) {
			if name := path.Join(path.Dir(modules[i]), string(found[1])); !slices.Contains(modules, name) {
				modules = append(modules, name)
			}
		}
	}
	return modules
}

// Page reports whether a person's browser may open a path without a token, and by a link on another
// site: the dashboard's files, and the redirect to them.
func Page(path string) bool {
	return path == "/" || path == "/ui" || strings.HasPrefix(path, Path)
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		httpapi.WriteError(w, http.StatusMethodNotAllowed, api.InvalidRequest("%s accepts GET, not %s", r.URL.Path, r.Method))
		return
	}
	name := strings.TrimPrefix(r.URL.Path, Path)
	f, ok := h.files[name]
	section, id, _ := strings.Cut(name, "/")
	if !ok && (types[path.Ext(name)] == "" || id != "" && (section == "tasks" || section == "fleet")) { // an id may end like a file
		name = "index.html"
		f, ok = h.files[name]
	}
	if !ok {
		httpapi.WriteError(w, http.StatusNotFound, &api.Error{
			Code: api.CodeNotFound, Message: "Not found", Data: "there is no " + r.URL.Path + "; the dashboard is at " + Path,
		})
		return
	}
	head := w.Header()
	head.Set("Content-Security-Policy", policy)
	head.Set("Referrer-Policy", "no-referrer")
	head.Set("Cross-Origin-Opener-Policy", "same-origin")
	// The browser keeps the files and asks whether they have changed.
	head.Set("Cache-Control", "no-cache")
	head.Set("ETag", f.tag)
	head.Set("Content-Type", f.contentType)
	if name == "index.html" {
		head.Set("Link", h.first)
	}
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(f.body)) // also what the request is conditional on
}

// Redirect sends a browser from / to the dashboard, and other callers to next.
func Redirect(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" && r.Method == http.MethodGet && strings.Contains(r.Header.Get("Accept"), "text/html") {
			http.Redirect(w, r, Path, http.StatusFound)
			return
		}
		next(w, r)
	}
}

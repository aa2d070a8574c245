package ui_test

import (
	"context"
	"embed"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/claudebench/claudebench/internal/testenv"
)

// atMost is the size that all files of the dashboard may have together, in bytes.
const atMost = 120_000

//go:embed package.json package-lock.json
var pinned embed.FS

// files returns the dashboard's files as text.
func files(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	static := os.DirFS("static")
	if err := fs.WalkDir(static, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := fs.ReadFile(static, name)
		all[name] = string(text)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestTheFilesAreSmall(t *testing.T) {
	t.Parallel()
	size := 0
	for _, text := range files(t) {
		size += len(text)
	}
	t.Logf("the dashboard has %d bytes", size)
	if size > atMost {
		t.Errorf("the dashboard has %d bytes, %d at most are allowed", size, atMost)
	}
}

// patterns of what no file may contain.
var (
	elsewhere = regexp.MustCompile("(?i)(https?:|wss?:)?//[a-z0-9\\[$][^\\s\"'`)]*")
	comment   = regexp.MustCompile(`(?m)^\s*//.*$|\s// .*$`)
	sinks     = regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|setHTMLUnsafe|createContextualFragment|parseFromString|document\.write|\beval\b|new Function|import\(|srcdoc|javascript:|createPolicy|\.cssText|setAttribute\("style|set(Timeout|Interval)\(["` + "`" + `]`)
	inline    = regexp.MustCompile(`(?i)<style|<script(?:[^>]*)>[^<]|\son[a-z]+=|\sstyle=`)
)

// pageImport is the one import by a name that is made: app.js takes it from a list of its own.
const pageImport = "import(`./pages/${name}.js`)"

// namespaces look like addresses and are none.
var namespaces = []string{"http://www.w3.org/2000/svg"}

// Nothing is loaded from another server, and nothing parses a text as HTML or as a script. The
// policy of the page forbids both; this says where it would be tried.
func TestTheFilesContainNeitherAddressesNorSinks(t *testing.T) {
	t.Parallel()
	for name, text := range files(t) {
		if path.Ext(name) == ".js" {
			text = strings.Replace(comment.ReplaceAllString(text, ""), pageImport, "", 1)
		}
		for _, address := range elsewhere.FindAllString(text, -1) {
			if !slices.Contains(namespaces, address) {
				t.Errorf("%s contains the address %s", name, address)
			}
		}
		if found := sinks.FindAllString(text, -1); found != nil {
			t.Errorf("%s contains %q", name, found)
		}
		if path.Ext(name) == ".html" || path.Ext(name) == ".svg" {
			if found := inline.FindAllString(text, -1); found != nil {
				t.Errorf("%s contains %q, which the policy forbids", name, found)
			}
		}
	}
}

var (
	imported = regexp.MustCompile(`(?m)^(?:import|export) (?:[^;"]* from )?"([^"]+)"`)
	loaded   = regexp.MustCompile(`(?:src|href)="([^"#]+)"`)
)

// Each file that another one loads is there, and each file is loaded.
func TestEachFileIsLoaded(t *testing.T) {
	t.Parallel()
	all, seen := files(t), map[string]bool{}
	var visit func(name, from string)
	visit = func(name, from string) {
		text, ok := all[name]
		if !ok {
			t.Errorf("%s loads %s, which does not exist", from, name)
		}
		if seen[name] || !ok {
			return
		}
		seen[name] = true
		for _, m := range imported.FindAllStringSubmatch(text, -1) {
			if path.Ext(name) == ".js" {
				visit(path.Join(path.Dir(name), m[1]), name)
			}
		}
		if strings.Contains(text, pageImport) {
			for page := range all {
				if path.Dir(page) == "pages" && strings.Contains(text, `"`+strings.TrimSuffix(path.Base(page), ".js")+`"`) {
					visit(page, name)
				}
			}
		}
		for _, m := range loaded.FindAllStringSubmatch(text, -1) {
			if path.Ext(name) == ".html" {
				visit(strings.TrimPrefix(m[1], "/ui/"), name)
			}
		}
	}
	visit("index.html", "the handler")
	for name := range all {
		if !seen[name] {
			t.Errorf("no file loads %s", name)
		}
	}
}

// The modules have the types that their comments say.
func TestTypes(t *testing.T) {
	t.Parallel()
	folder := testenv.NPM(t, "dashboard", pinned, "node_modules/typescript/bin/tsc")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "node", filepath.Join(folder, "node_modules", "typescript", "bin", "tsc"), "--noEmit", "--project", "tsconfig.json").CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

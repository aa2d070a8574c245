package browsertest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/claudebench/claudebench/internal/browsertest"
	"github.com/claudebench/claudebench/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// recorder is a test that records its errors and runs what it has to clean up.
type recorder struct {
	testing.TB
	cleanup []func()
	errors  []string
}

func (r *recorder) Cleanup(f func()) { r.cleanup = append(r.cleanup, f) }
func (r *recorder) Errorf(format string, args ...any) {
	r.errors = append(r.errors, fmt.Sprintf(format, args...))
}

func (r *recorder) end() {
	for _, f := range slices.Backward(r.cleanup) {
		f()
	}
}

// serve serves one page with a policy that forbids scripts inside it.
func serve(t *testing.T, page string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/missing.png":
			http.NotFound(w, r)
			return
		case "/page.js":
			w.Header().Set("Content-Type", "text/javascript")
			fmt.Fprint(w, `document.querySelector("button").onclick = (e) => { e.target.after(document.createTextNode("clicked " + document.querySelector("input").value)); };`)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'self'; img-src 'self' data:")
		fmt.Fprint(w, `<!doctype html><link rel="icon" href="data:,">`+page)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func TestATabFindsAndClicks(t *testing.T) {
	t.Parallel()
	tab := browsertest.Open(t, serve(t, `<title>t</title><label for="n">Your name</label><input id="n"><button>Greet</button><ul><li>one<li>two</ul><script src="/page.js"></script>`))
	tab.Go("/")
	tab.Find("textbox", "Your name").Fill("Ada")
	tab.Find("button", "Greet").Click()
	tab.Sees("clicked Ada")
	if got := tab.FindLike("listitem", "two").Text(); got != "two" {
		t.Errorf("the item is %q", got)
	}
	if n := tab.Find("button", "Gre").Count(); n != 0 {
		t.Errorf("%d buttons have a part of the name", n)
	}
	if !strings.HasPrefix(string(tab.Shot()), "\x89PNG") {
		t.Error("the picture is no PNG")
	}
}

// Whatever the browser complains about fails the test, and what a test expects does not.
func TestATabReportsWhatIsWrong(t *testing.T) {
	t.Parallel()
	for problem, page := range map[string]string{
		"violates the policy: script-src": `<script>alert(1)</script>`,
		"violates the policy: img-src":    `<img src="//127.0.0.1:1/x.png">`,
		"404":                             `<img src="/missing.png">`,
	} {
		r := &recorder{TB: t}
		tab := browsertest.Open(r, serve(t, page))
		tab.Go("/")
		tab.Until("reports "+problem, func() bool { return strings.Contains(strings.Join(tab.Problems(), "\n"), problem) })
		r.end()
		if !strings.Contains(strings.Join(r.errors, "\n"), problem) {
			t.Errorf("the test has failed with %q, want %s", r.errors, problem)
		}
	}
	r := &recorder{TB: t}
	tab := browsertest.Open(r, serve(t, `<p>still`))
	tab.Expect("boom")
	tab.Go("/")
	browsertest.Eval[any](tab, `setTimeout(() => { throw new Error("boom") }), setTimeout(() => { throw new Error("bang") })`)
	tab.Until("reports bang", func() bool { return strings.Contains(strings.Join(tab.Problems(), "\n"), "bang") })
	r.end()
	if all := strings.Join(r.errors, "\n"); len(r.errors) != 1 || !strings.Contains(all, "bang") {
		t.Errorf("the test has failed with %q, want the error that it does not expect", all)
	}
}

// What a modal dialog covers is not there for a person, and the dialog is.
func TestATabLooksIntoDialogs(t *testing.T) {
	t.Parallel()
	tab := browsertest.Open(t, serve(t, `<button>Greet</button><dialog aria-labelledby="x"><h2 id="x">Sure?</h2><button>Yes</button></dialog>`))
	tab.Go("/")
	dialog := tab.Find("dialog", "Sure?")
	if dialog.Count() != 0 || tab.Find("button", "Greet").Count() != 1 {
		t.Error("a closed dialog is there")
	}
	browsertest.Eval[any](tab, `document.querySelector("dialog").showModal()`)
	dialog.Find("button", "Yes").Click()
	if tab.Find("button", "Greet").Count() != 0 || dialog.Find("button", "Greet").Count() != 0 {
		t.Error("a button below the dialog is there")
	}
}

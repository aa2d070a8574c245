package browsertest

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/tracing"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/claudebench/claudebench/internal/testenv"
)

// Patience is how long a tab waits for what it was asked for, on a busy machine.
const Patience = 30 * time.Second

// watch reports violations of the policy, which fail the test as errors of the console do.
const watch = `addEventListener("securitypolicyviolation", (e) => console.error("violates the policy: " + e.violatedDirective + " " + e.blockedURI + " " + e.sample));`

// Tab is a tab with a profile of its own. It is closed when the test ends.
type Tab struct {
	t   testing.TB
	ctx context.Context
	url string

	mu       sync.Mutex
	problems []string
	expected []*regexp.Regexp
	trace    *trace // the one that runs, nil if none does
}

// Open opens an empty tab for the pages of a server, whose address is url.
func Open(t testing.TB, url string) *Tab {
	t.Helper()
	chromium, err := shared()
	if err != nil {
		t.Fatalf("start Chromium for the tests: %v", err)
	}
	tab := &Tab{t: t, url: strings.TrimSuffix(url, "/")}
	ctx, cancel := chromedp.NewContext(chromium, chromedp.WithNewBrowserContext(), chromedp.WithListener(tab.listen))
	tab.ctx = ctx
	t.Cleanup(func() {
		tab.mu.Lock()
		problems := tab.problems
		tab.mu.Unlock()
		for _, problem := range problems {
			t.Errorf("the browser reports: %s", problem)
		}
		cancel()
	})
	if err := chromedp.Do(ctx); err != nil { // opens it, and would end it with a context that has a deadline
		t.Fatalf("open a tab: %v", err)
	}
	tab.do(chromedp.Steps(
		run(log.Enable, cdp.Empty{}), run(page.Enable, page.EnableParams{}), run(runtime.Enable, cdp.Empty{}),
		run(emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true}),
		run(page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: watch}),
	))
	for _, name := range []string{"clipboard-read", "clipboard-write"} {
		if _, err := chromedp.CallBrowser(ctx, browser.SetPermission, browser.SetPermissionParams{
			Permission: &browser.PermissionDescriptor{Name: name}, Setting: browser.PermissionSettingGranted,
			BrowserContextID: chromedp.FromContext(ctx).BrowserContextID,
		}); err != nil {
			t.Fatalf("let pages use the clipboard: %v", err)
		}
	}
	tab.Size(1280, 800)
	tab.Theme("light")
	return tab
}

// run is an action that calls a command of the protocol.
func run[P, R any](command cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, command, params)
		return err
	})
}

// do runs an action that must succeed within Patience.
func (b *Tab) do(action chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, Patience)
	defer cancel()
	if err := chromedp.Do(ctx, action); err != nil {
		b.t.Fatalf("the browser: %v", err)
	}
}

// listen collects what is wrong. It runs on the goroutine that receives the events, so it calls
// nothing.
func (b *Tab) listen(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	problem := ""
	switch e := event.(type) {
	case *tracing.EventDataCollected:
		if b.trace != nil {
			b.trace.add(e)
		}
	case *tracing.EventTracingComplete:
		if b.trace != nil {
			b.trace.lost = e.DataLossOccurred
			close(b.trace.done)
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
			problem = fmt.Sprintf("%s: %s %s", e.Entry.Source, e.Entry.Text, e.Entry.URL)
		}
	case *runtime.EventExceptionThrown:
		problem = "an exception: " + e.ExceptionDetails.Text
		if e.ExceptionDetails.Exception != nil {
			problem += " " + e.ExceptionDetails.Exception.Description
		}
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning || e.Type == runtime.ConsoleAPICalledTypeAssert {
			var said []string
			for _, arg := range e.Args {
				said = append(said, string(arg.Value), arg.Description)
			}
			problem = "on the console: " + strings.Join(said, " ")
		}
	case *page.EventJavascriptDialogOpening:
		problem = "a dialog of the browser: " + e.Message
	}
	if problem == "" {
		return
	}
	for _, expected := range b.expected {
		if expected.MatchString(problem) {
			return
		}
	}
	b.problems = append(b.problems, problem)
}

// Expect lets problems that match the pattern pass from now on, such as the failed requests of a test
// that stops the server.
func (b *Tab) Expect(pattern string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expected = append(b.expected, regexp.MustCompile(pattern))
}

// Problems returns what was wrong until now.
func (b *Tab) Problems() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.problems...)
}

// Size sets the size of the window's content.
func (b *Tab) Size(width, height int64) {
	b.t.Helper()
	b.do(run(emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: height, DeviceScaleFactor: 1}))
}

// Theme sets the system's theme, light or dark.
func (b *Tab) Theme(theme string) {
	b.t.Helper()
	b.do(run(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}}}))
}

// Go opens an address, such as "/ui/tasks" of the server or "about:blank", as if it were typed.
func (b *Tab) Go(path string) {
	b.t.Helper()
	if strings.HasPrefix(path, "/") {
		path = b.url + path
	}
	b.do(chromedp.Navigate(path))
}

// Reload loads the page again.
func (b *Tab) Reload() {
	b.t.Helper()
	b.do(chromedp.Reload())
}

// Back goes back, as the browser's button does.
func (b *Tab) Back() {
	b.t.Helper()
	Eval[any](b, "history.back()")
}

// Path returns the address without the server's.
func (b *Tab) Path() string {
	b.t.Helper()
	return Eval[string](b, "location.pathname + location.search")
}

// Press presses a key, such as "j" or kb.Enter.
func (b *Tab) Press(key string) {
	b.t.Helper()
	for _, r := range key {
		// One event, as a keyboard causes it. chromedp.KeyEvent types the character even if the page
		// has prevented it.
		all := kb.Encode(r)
		down, up := all[0], all[len(all)-1]
		if len(all) > 2 {
			down.Text, down.UnmodifiedText = all[1].Text, all[1].UnmodifiedText
		}
		b.do(chromedp.Steps(run(input.DispatchKeyEvent, *down), run(input.DispatchKeyEvent, *up)))
	}
}

// Text returns the text of the page that is shown, header included.
func (b *Tab) Text() string {
	b.t.Helper()
	return Eval[string](b, "document.body?.innerText ?? ''")
}

// Sees waits until the page has shown each of the texts, though not all at one time: a message may
// be gone before the data that it speaks of has come.
func (b *Tab) Sees(texts ...string) {
	b.t.Helper()
	missing := slices.Clone(texts)
	testenv.Eventually(b.t, Patience, func() (bool, string) {
		shown := b.Text()
		missing = slices.DeleteFunc(missing, func(text string) bool { return strings.Contains(shown, text) })
		if len(missing) == 0 {
			return true, ""
		}
		return false, b.lacks("shows " + strings.Join(missing, ", "))
	})
}

// SeesNot waits until the page shows none of the texts.
func (b *Tab) SeesNot(texts ...string) {
	b.t.Helper()
	b.Until("does not show "+strings.Join(texts, ", "), func() bool {
		shown := b.Text()
		for _, text := range texts {
			if strings.Contains(shown, text) {
				return false
			}
		}
		return true
	})
}

// Until waits until the condition holds. what says it for the message of a failure, which has the
// text of the page.
func (b *Tab) Until(what string, holds func() bool) {
	b.t.Helper()
	testenv.Eventually(b.t, Patience, func() (bool, string) {
		if holds() {
			return true, ""
		}
		return false, b.lacks(what)
	})
}

// lacks says that something does not hold, with the text of the page.
func (b *Tab) lacks(what string) string {
	return fmt.Sprintf("%s: it does not hold that the page %s. It shows:\n%s\n%s", b.Path(), what, b.Text(), strings.Join(b.Problems(), "\n"))
}

// Eval evaluates an expression in the page; of a promise, its value.
func Eval[T any](b *Tab, expression string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, Patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("evaluate %.200s: %v", expression, err)
	}
	return v
}

// Shot returns a picture of the whole page, as PNG.
func (b *Tab) Shot() []byte {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, Patience)
	defer cancel()
	picture, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		b.t.Fatalf("take a picture: %v", err)
	}
	return picture
}

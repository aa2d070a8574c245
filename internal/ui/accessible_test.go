package ui_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/browsertest"
	"github.com/claudebench/claudebench/internal/testenv"
)

// axe returns the program that checks accessibility, for the page that is shown.
func axe(t *testing.T) string {
	t.Helper()
	folder := testenv.NPM(t, "dashboard", pinned, "node_modules/axe-core/axe.min.js")
	source, err := os.ReadFile(filepath.Join(folder, "node_modules", "axe-core", "axe.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	return string(source)
}

// accessible fails the test if what the page shows violates WCAG 2.2 AA, as far as axe can tell, or if
// the page scrolls sideways.
func accessible(t *testing.T, tab *browsertest.Tab, axe, what string) {
	t.Helper()
	violations := browsertest.Eval[[]struct {
		ID, Help string
		Nodes    []struct {
			HTML           string
			FailureSummary string
		}
	}](tab, `(async () => {
		if (!window.axe) { `+axe+`; }
		const r = await window.axe.run(document, { runOnly: { type: "tag", values: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"] }, resultTypes: ["violations"] });
		if (r.passes.length < 5) throw new Error("axe has looked at nothing");
		return r.violations;
	})()`)
	for _, v := range violations {
		for i, node := range v.Nodes {
			if i == 3 {
				t.Errorf("%s: and %d more", what, len(v.Nodes)-i)
				break
			}
			t.Errorf("%s: %s, %s: %s\n%s", what, v.ID, v.Help, node.HTML, node.FailureSummary)
		}
	}
	if wide := browsertest.Eval[int](tab, "document.documentElement.scrollWidth - innerWidth"); wide > 0 {
		t.Errorf("%s: the page is %d px wider than the window", what, wide)
	}
}

// everywhere runs a check in both themes, on a desktop and on a phone.
func everywhere(tab *browsertest.Tab, check func(where string)) { at(tab, []int64{1280, 375}, check) }

func at(tab *browsertest.Tab, widths []int64, check func(where string)) {
	for _, width := range widths {
		for _, theme := range []string{"light", "dark"} {
			tab.Size(width, 812)
			tab.Theme(theme)
			check(fmt.Sprintf("%s at %d px", theme, width))
		}
	}
}

func TestEachPageIsAccessible(t *testing.T) {
	t.Parallel()
	program := axe(t)
	f := start(t, nil).live().repeating()
	more := append([]struct{ path, name string }{
		{"/ui/tasks?status=failed&text=no+such", "tasks"},
		{"/ui/tasks/t-2", "task"},
		{"/ui/tasks/t-15", "task"},
		{"/ui/tasks/t-98765", "task"},
		{"/ui/fleet/build-3", "instance"},
		{"/ui/events?seq=8", "events"},
		{"/ui/nothing", "notfound"},
	}, pages...)
	for i := range 2 { // two tabs share the work
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			tab := f.open(t)
			for n, page := range more {
				if n%2 != i {
					continue
				}
				tab.Go(page.path)
				ready(tab, page.name)
				tab.SeesNot("Loading…")
				widths := []int64{1280, 375}
				if n < len(more)-len(pages) { // another state of a page that is looked at in both
					widths = widths[1:]
				}
				at(tab, widths, func(where string) { accessible(t, tab, program, page.path+", "+where) })
			}
		})
	}
}

// What a click opens is accessible too.
func TestWhatOpensIsAccessible(t *testing.T) {
	t.Parallel()
	program := axe(t)
	f := start(t, nil).live()
	tab := f.at(t, "/ui/tasks", "tasks")
	check := func(what string) {
		t.Helper()
		everywhere(tab, func(where string) { accessible(t, tab, program, what+", "+where) })
	}
	tab.Find("button", "Create a task").Click()
	dialog := tab.Find("dialog", "Create a task")
	dialog.Find("button", "Create").Click()
	dialog.Says("a value is needed")
	check("the dialog of a new task, with an error")
	dialog.Find("button", "Cancel").Click()
	choose(tab, "t-42", "t-41")
	tab.Find("button", "Delete…").Click()
	check("the confirmation of a deletion")
	tab.Find("button", "Delete 2 tasks").Click()
	tab.Sees("2 tasks deleted.")
	check("the report of a deletion")
	tab.Go("/ui/schedules")
	ready(tab, "schedules")
	tab.Find("button", "Set a limit…").Click()
	check("the dialog of a limit")
	tab.Go("/ui/events")
	ready(tab, "events")
	tab.Find("button", "Payload of event 8").Click()
	check("the payload of an event")
	tab.Go("/ui/fleet")
	ready(tab, "fleet")
	tab.Find("button", "What became of them").Click()
	tab.Sees("t-15 In progress")
	check("the tasks of the dead")
	tab.Expect(offline)
	f.stop()
	status(tab, "Offline")
	check("offline")
}

func TestTheSignInIsAccessible(t *testing.T) {
	t.Parallel()
	program := axe(t)
	f := startWithTokens(t)
	tab := f.open(t)
	tab.Expect("401")
	tab.Go("/ui/")
	signIn(tab, "wrong")
	tab.Sees("The token is not valid")
	everywhere(tab, func(where string) { accessible(t, tab, program, "the sign-in, "+where) })
	signIn(tab, f.tokens[api.RoleAuditor])
	ready(tab, "overview")
	everywhere(tab, func(where string) { accessible(t, tab, program, "an auditor's overview, "+where) })
}

// The theme follows the system until a person chooses one, which stays.
func TestThemes(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	tab := f.at(t, "/ui/fleet", "fleet")
	back := func(dark bool) {
		t.Helper()
		tab.Until(fmt.Sprintf("is dark: %t", dark), func() bool {
			return browsertest.Eval[bool](tab, `(() => { const [r] = getComputedStyle(document.body).backgroundColor.match(/[0-9.]+/g).map(Number); return r < 100; })()`) == dark
		})
	}
	back(false)
	tab.Theme("dark")
	back(true)
	tab.Reload()
	ready(tab, "fleet")
	tab.Find("button", "Use the light theme").Click()
	back(false)
	tab.Reload()
	back(false)
	tab.Theme("light")
	tab.Find("button", "Use the dark theme").Click()
	back(true)
	tab.Reload()
	back(true)
	if !strings.HasPrefix(browsertest.Eval[string](tab, "localStorage.theme"), "dark") {
		t.Error("the theme is not kept")
	}
}

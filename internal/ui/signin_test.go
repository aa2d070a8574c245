package ui_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/browsertest"
)

// signIn types a token into the sign-in.
func signIn(tab *browsertest.Tab, secret string) {
	ready(tab, "signin")
	tab.Find("textbox", "Token").Fill(secret)
	tab.Find("button", "Sign in").Click()
}

// Where tokens are on, the dashboard asks for one, keeps it for the tab, and forgets it on demand.
func TestSignIn(t *testing.T) {
	t.Parallel()
	f := startWithTokens(t).live()
	tab := f.open(t)
	tab.Expect("401")
	tab.Go("/ui/tasks?status=failed")
	ready(tab, "signin")
	tab.SeesNot("Upgrade the Postgres driver")
	if kind := browsertest.Eval[string](tab, "document.activeElement.type"); kind != "password" {
		t.Errorf("the focus is in a field of the type %s", kind)
	}
	signIn(tab, "not-a-token")
	tab.Sees("The token is not valid, or no longer.")
	signIn(tab, "with a space")
	tab.Sees("without spaces")
	tab.Find("textbox", "Token").Fill(" " + f.tokens[api.RoleOperator] + "\n")
	tab.Press(kb.Enter)

	// The page that was asked for.
	rows(tab, "t-2")
	status(tab, "Live")
	tab.Sees("the-operator", "operator")
	if path := tab.Path(); path != "/ui/tasks?status=failed" {
		t.Errorf("the address is %s", path)
	}
	tab.Reload()
	rows(tab, "t-2")

	// Only in this tab: not in cookies, not in what other tabs see, not in the address.
	if kept := browsertest.Eval[string](tab, "JSON.stringify(localStorage) + document.cookie + location.href"); strings.Contains(kept, f.tokens[api.RoleOperator]) {
		t.Errorf("the token is in %s", kept)
	}
	other := f.open(t)
	other.Expect("401")
	other.Go("/ui/tasks")
	ready(other, "signin")
	if asked := browsertest.Eval[[]string](other, `(() => { const asked = [], before = fetch; window.fetch = (path, init) => { asked.push(path); return before(path, init); }; document.dispatchEvent(new Event("visibilitychange")); return asked; })()`); len(asked) > 0 {
		t.Errorf("without a session the page asks for %q", asked)
	}

	tab.Find("button", "Sign out").Click()
	ready(tab, "signin")
	tab.SeesNot("the-operator", "Upgrade the Postgres driver")
	if kept := browsertest.Eval[int](tab, "sessionStorage.length"); kept != 0 {
		t.Errorf("after the sign-out %d values are kept", kept)
	}
	tab.Reload()
	ready(tab, "signin")
}

// A token that is withdrawn stops working in the page, and the page says so.
func TestATokenIsWithdrawn(t *testing.T) {
	t.Parallel()
	f := startWithTokens(t)
	tab := f.open(t)
	tab.Expect("401")
	tab.Go("/ui/tasks")
	signIn(tab, f.tokens[api.RoleAuditor])
	ready(tab, "tasks")
	status(tab, "Live")
	text, err := os.ReadFile(f.cfg.AuthFile)
	if err != nil {
		t.Fatal(err)
	}
	var kept []string // the auth file without the auditor's entry, which begins with its name
	for _, entry := range strings.SplitAfter("\n"+string(text), "\n- ") {
		if !strings.Contains(entry, "the-auditor") {
			kept = append(kept, entry)
		}
	}
	if err := os.WriteFile(f.cfg.AuthFile, []byte(strings.TrimSuffix(strings.Join(kept, ""), "\n- ")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.server.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	ready(tab, "signin")
	tab.Sees("The token is not valid, or no longer.")
	if kept := browsertest.Eval[int](tab, "sessionStorage.length"); kept != 0 {
		t.Errorf("%d values are kept", kept)
	}
}

// Each role sees what it may do, and nothing else.
func TestRolesSeeWhatTheyMayDo(t *testing.T) {
	t.Parallel()
	f := startWithTokens(t).live()
	open := f.create("still open", object{"metadata": object{"roles": list{"nobody"}}})
	f.repeating().caughtUp()
	const create, choose, remove, assign, unregister, verify, flush = "Create a task", "Choose all tasks on this page", "Delete…", "Assign…", "Unregister build-1", "Verify now", "Flush everything…"
	const cancel, pause, resume, setLimit, deleteLimit = "Cancel…", "Pause nightly", "Resume reports", "Set a limit…", "Delete gpu"
	for role, may := range map[string][]string{
		api.RoleAuditor:  {verify},
		api.RoleAgent:    {create, choose, remove, assign, cancel},
		api.RoleOperator: {create, choose, remove, assign, cancel, unregister, verify, pause, resume, setLimit, deleteLimit},
		api.RoleAdmin:    {create, choose, remove, assign, cancel, unregister, verify, pause, resume, setLimit, deleteLimit, flush},
	} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			tab := f.open(t)
			tab.Expect("401")
			tab.Go("/ui/")
			signIn(tab, f.tokens[role])
			ready(tab, "overview")
			tab.Sees("the-"+role, "build-1")
			seen := map[string]bool{}
			look := func(path, page, role, name string) {
				t.Helper()
				if tab.Path() != path {
					tab.Go(path)
					ready(tab, page)
					tab.SeesNot("Loading…")
				}
				seen[name] = tab.Find(role, name).Count() > 0
			}
			look("/ui/tasks", "tasks", "button", create)
			look("/ui/tasks", "tasks", "checkbox", choose)
			look("/ui/tasks/"+open, "task", "button", remove)
			look("/ui/tasks/"+open, "task", "button", assign)
			look("/ui/tasks/"+open, "task", "button", cancel)
			look("/ui/fleet", "fleet", "button", unregister)
			for _, name := range []string{pause, resume, setLimit, deleteLimit} {
				look("/ui/schedules", "schedules", "button", name)
			}
			look("/ui/audit", "audit", "button", verify)
			look("/ui/system", "system", "button", flush)
			for name, there := range seen {
				if there != slices.Contains(may, name) {
					t.Errorf("%s: %s is there: %t", role, name, there)
				}
			}
			// Everybody may read each page.
			for _, page := range pages {
				tab.Go(page.path)
				ready(tab, page.name)
				tab.SeesNot("Loading…", "You may not see", "cannot be read")
			}
		})
	}
}

// What the server refuses is told, and changes nothing on the page.
func TestARefusalIsTold(t *testing.T) {
	t.Parallel()
	f := startWithTokens(t)
	f.register("foreign", "worker")
	id := f.create("of another", nil)
	f.claim("foreign")
	f.caughtUp()
	tab := f.open(t)
	tab.Expect("401")
	tab.Go("/ui/tasks/" + id)
	signIn(tab, f.tokens[api.RoleAgent])
	ready(tab, "task")
	if tab.Find("button", "Complete…").Count() == 0 {
		return // an agent is offered nothing that it may not do
	}
	tab.Find("button", "Complete…").Click()
	dialog := tab.Find("dialog", "Complete task "+id)
	dialog.Find("button", "Complete the task").Click()
	dialog.Says("Unauthorized")
	dialog.Find("button", "Cancel").Click()
	tab.Sees("In progress")
}

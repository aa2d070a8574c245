package hookpolicy

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
)

// policyOf parses a policy that must be valid.
func policyOf(t testing.TB, rules string) *Policy {
	t.Helper()
	p, line, err := parse([]byte("rules:\n" + rules))
	if err != nil {
		t.Fatalf("line %d: %v", line, err)
	}
	return p
}

func TestDecide(t *testing.T) {
	t.Parallel()
	p := policyOf(t, `
- {tool: Bash, field: command, match: '\brm\s+-rf\b', decision: deny, reason: "no rm -rf"}
- {tool: Bash, field: command, match: '^git (status|diff)$', decision: allow}
- {tool: 'mcp__*__delete_?', decision: ask, reason: "deletes"}
- {tool: 'mcp__files__*', field: force, match: '^true$', decision: deny, reason: "no force"}
- {tool: Edit, field: edits, match: '"new":"rm"', decision: deny, reason: "no rm"}
- {tool: Edit, field: a.b, match: '', decision: ask, reason: "dotted"}
- {tool: Write, field: file_path, match: '/secrets/', decision: deny, reason: "secrets"}
- {tool: Write, decision: allow, reason: "fine"}
`)
	for _, c := range []struct {
		tool, input string
		rule        int // 0: no opinion
		decision    string
	}{
		{"Bash", `{"command":"sudo rm  -rf /"}`, 1, Deny},
		{"Bash", `{"command":"echo\nrm -rf /"}`, 1, Deny},
		{"Bash", `{"command":"r\u006d -rf /"}`, 1, Deny}, // an escape is the letter
		{"Bash", `{"command":"x","command":"rm -rf /"}`, 1, Deny},
		{"Bash", `{"command":"git status"}`, 2, Allow},
		{"Bash", `{"command":"git status; rm -rf /"}`, 1, Deny}, // the first rule that matches
		{"Bash", `{"command":"git status; ls"}`, 0, ""},
		{"Bash", `{"Command":"rm -rf /"}`, 0, ""}, // another member
		{"bash", `{"command":"rm -rf /"}`, 0, ""}, // another tool
		{"BashOutput", `{"command":"rm -rf /"}`, 0, ""},
		{"Bash", `{}`, 0, ""},
		{"Bash", `["rm -rf /"]`, 0, ""},
		{"Bash", `null`, 0, ""},
		{"Bash", ``, 0, ""},
		{"mcp__s3__delete_x", `{}`, 3, Ask},
		{"mcp__a/b__delete_x", `null`, 3, Ask}, // a slash is no separator
		{"mcp__s3__delete_xy", `{}`, 0, ""},
		{"mcp__files__put", `{"force": true}`, 4, Deny}, // not a string: its JSON text
		{"mcp__files__put", `{"force": "true"}`, 4, Deny},
		{"mcp__files__put", `{"force": false}`, 0, ""},
		{"mcp__files__", `{"force": true}`, 4, Deny}, // * is also no text
		{"Edit", `{"edits": [ {"old" : "a", "new" : "\u0072m"} ]}`, 5, Deny},
		{"Edit", `{"a.b": null}`, 6, Ask},
		{"Edit", `{"a": {"b": 1}}`, 0, ""}, // a member's name, not a path
		{"Write", `{"file_path":"/home/secrets/x"}`, 7, Deny},
		{"Write", `{"file_path":"/home/x"}`, 8, Allow},
		{"", `{}`, 0, ""},
	} {
		d, ok := p.Decide(c.tool, json.RawMessage(c.input))
		if ok != (c.rule > 0) || d.Rule != c.rule || d.Decision != c.decision {
			t.Errorf("%s %s: %+v, %t; want rule %d, %s", c.tool, c.input, d, ok, c.rule, c.decision)
		}
	}
	if d, _ := p.Decide("Bash", json.RawMessage(`{"command":"rm -rf ."}`)); d.Reason != "no rm -rf" {
		t.Errorf("the reason is %q", d.Reason)
	}
}

// Where a rule would look at an input that cannot be read, the user decides.
func TestDecideUnread(t *testing.T) {
	t.Parallel()
	p := policyOf(t, `
- {tool: Bash, field: command, match: '\brm\b', decision: deny, reason: "no rm"}
- {tool: Bash, decision: allow}
- {tool: WebFetch, decision: deny, reason: "no network"}
- {tool: 'mcp__*', field: x, match: 'y', decision: allow}
`)
	for _, c := range []struct {
		tool     string
		rule     int // 0: no opinion
		decision string
	}{{"Bash", 1, Ask}, {"WebFetch", 3, Deny}, {"mcp__a__b", 4, Ask}, {"Read", 0, ""}, {"", 1, Ask}} {
		d, ok := p.DecideUnread(c.tool)
		if ok != (c.rule > 0) || d.Rule != c.rule || d.Decision != c.decision || d.Decision == Ask && d.Reason == "" {
			t.Errorf("%s: %+v %v", c.tool, d, ok)
		}
	}
	var none *Store
	if d, ok := none.DecideUnread("Bash"); ok {
		t.Errorf("no policy: %+v", d)
	}
}

func TestGlob(t *testing.T) {
	t.Parallel()
	for pattern, names := range map[string]struct{ yes, no string }{
		"*":      {"Bash,x", ""},
		"Bash":   {"Bash", "bash,Bas,Bashx,xBash"},
		"Ba*":    {"Ba,Bash,BaBa", "B,aBa"},
		"*sh":    {"sh,Bash,shsh", "shs,s"},
		"a*b*c":  {"abc,axxbxxc,abbcc,abcbc", "acb,ab,bc"},
		"?":      {"a", "ab"},
		"a?c*":   {"abc,abcd", "ac,abd"},
		"**a**":  {"a,bab", "b"},
		"mcp__*": {"mcp__a/b", "mcp_a"},
	} {
		g, err := newGlob(pattern)
		if err != nil {
			t.Errorf("%s: %v", pattern, err)
		}
		for list, want := range map[string]bool{names.yes: true, names.no: false} {
			for name := range strings.SplitSeq(list, ",") {
				if name != "" && g.matches(name) != want {
					t.Errorf("%s matches %s: %t", pattern, name, !want)
				}
			}
		}
		if pattern != "*" && g.matches("") {
			t.Errorf("%s matches an empty name", pattern)
		}
	}
}

// A long input does not take long, and it evades no rule.
func TestTheWorkOfADecisionIsBounded(t *testing.T) {
	t.Parallel()
	rules := strings.Repeat("- {tool: Bash, field: command, match: '[xyz]\\s+[uvw]', decision: allow}\n", 99) +
		"- {tool: Bash, field: command, match: '\\brm\\b', decision: deny, reason: no}\n"
	p := policyOf(t, rules)
	long := func(n int) json.RawMessage {
		return json.RawMessage(`{"command":"` + strings.Repeat("a ", n/2) + `rm x"}`)
	}
	if d, ok := p.Decide("Bash", long(32<<10)); !ok || d.Decision != Deny || d.Rule != 100 {
		t.Errorf("32 KiB: %+v, %t", d, ok)
	}
	if d, ok := p.Decide("Bash", long(1<<20)); !ok || d.Decision != Ask || d.Rule < 2 || d.Rule >= 100 || !strings.Contains(d.Reason, "too long") {
		t.Errorf("1 MiB: %+v, %t", d, ok)
	}
	wide := policyOf(t, "- {tool: Bash, field: command, match: '.{0,1000}x', decision: deny, reason: no}\n")
	if d, ok := wide.Decide("Bash", long(1<<20)); !ok || d.Decision != Ask || d.Rule != 1 {
		t.Errorf("a large expression: %+v, %t", d, ok)
	}
	name := strings.Repeat("a", 1<<20)
	slow := policyOf(t, "- {tool: '"+strings.Repeat("*a", 100)+"*b', decision: deny, reason: no}\n")
	if d, ok := slow.Decide(name, nil); !ok || d.Decision != Ask {
		t.Errorf("a long name: %+v, %t", d, ok)
	}
}

// Decisions and reloads at the same time: each decision is that of one whole policy.
func TestDecideWhileReloading(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/policy.yaml"
	write := func(decision string) {
		writePolicy(t, path, fmt.Sprintf("rules:\n- {tool: Bash, decision: %s, reason: %s}\n", decision, decision))
	}
	write(Ask)
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	var deciding sync.WaitGroup
	for range 4 {
		deciding.Go(func() {
			for range 1000 {
				if d, ok := s.Decide("Bash", nil); !ok || d.Decision != d.Reason {
					t.Errorf("%+v, %t", d, ok)
					return
				}
			}
		})
	}
	for i := range 20 {
		write([]string{Allow, Ask, Deny}[i%3])
		if err := s.Reload(); err != nil {
			t.Error(err)
		}
	}
	deciding.Wait()
	if _, ok := (*Store)(nil).Decide("Bash", nil); ok {
		t.Error("without a policy there is a decision")
	}
}

// BenchmarkDecide is a decision that checks 100 rules, of which none matches.
func BenchmarkDecide(b *testing.B) {
	var rules strings.Builder
	for i := range 100 {
		fmt.Fprintf(&rules, "- {tool: Bash, field: command, match: '\\bforbidden%d\\s+-rf\\b', decision: deny, reason: no}\n", i)
	}
	p := policyOf(b, rules.String())
	input := json.RawMessage(`{"command":"go test -race ./internal/... && git status","description":"Run the tests"}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := p.Decide("Bash", input); ok {
			b.Fatal("a rule matched")
		}
	}
}

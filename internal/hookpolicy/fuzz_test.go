package hookpolicy

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const fuzzedRules = `rules:
- {tool: Bash, field: command, match: '\brm\s+-rf\b', decision: deny, reason: "no"}
- {tool: 'mcp__*', field: n, match: '^-?[0-9]+$', decision: ask, reason: "a number"}
- {tool: '*', field: x, match: '', decision: allow}
- {tool: 'R??d', decision: ask, reason: "reads"}
`

// FuzzParse parses policies. An accepted policy has rules, each of which can decide.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		fuzzedRules, "", "rules: []", "rules:\n- {tool: Bash, decision: allow}", "rules: &a [*a]", "rules:\n- &a {<<: *a}", "- 1", "rules: !!binary aGVsbG8=",
		"rules:\n- {tool: !!str 1, decision: allow}", "? [rules]\n: []", "a: &a [x,x]\nb: &b [*a,*a]\n", strings.Repeat("[", 2000), strings.Repeat("- ", 2000),
		"\xff\xfe-\x00", "%YAML 9.9\n---\n" + fuzzedRules, fuzzedRules + "---\n" + fuzzedRules, strings.Replace(fuzzedRules, `\brm`, `(((x{9}){9}){9}){9}`, 1),
		"rules:\n- tool: |\n   Bash\n  decision: allow\n", "rules:\n- {tool: *, decision: allow}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		p, line, err := parse(file)
		if err != nil {
			if p != nil || line < 0 {
				t.Fatalf("refused in line %d, and yet gave %v", line, p)
			}
			return
		}
		if p.Len() == 0 || p.Len() > maxRules {
			t.Fatalf("took %d rules", p.Len())
		}
		for _, r := range p.rules {
			if r.tool == "" || !slices.Contains([]string{Allow, Ask, Deny}, r.decision) || (r.match == nil) != (r.field == "") || r.decision != Allow && r.reason == "" {
				t.Fatalf("took %+v", r)
			}
		}
		if d, ok := p.Decide("Bash", json.RawMessage(`{"command":"x"}`)); ok != (d.Rule > 0) {
			t.Fatalf("%+v, %t", d, ok)
		}
	})
}

// FuzzDecide decides about any input. A decision is that of its rule, and encodes as an answer. The
// input's spelling makes no difference.
func FuzzDecide(f *testing.F) {
	p, _, err := parse([]byte(fuzzedRules))
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range [][2]string{
		{"Bash", `{"command":"rm -rf /"}`},
		{"Bash", `{"command":["rm -rf /"]}`},
		{"Bash", `{"command":"\u0072m -rf /"}`},
		{"mcp__a__b", `{"n":1e999}`},
		{"mcp__a__b", `{"n":12345678901234567890}`},
		{"Read", ``},
		{"Read", `{`},
		{"", `{"x":null}`},
		{"é", `{"x":"\ud800"}`},
		{"Bash", `{"command":{"a":{"b":[1,{}]}}}`},
		{"Bash", strings.Repeat(`{"command":`, 2000)},
		{"Bash", "{\"command\":\"\xff rm -rf\"}"},
	} {
		f.Add(seed[0], []byte(seed[1]))
	}
	f.Fuzz(func(t *testing.T, tool string, input []byte) {
		d, ok := p.Decide(tool, input)
		if ok != (d.Rule > 0) || ok && d.Rule > p.Len() {
			t.Fatalf("%+v, %t", d, ok)
		}
		var decoded map[string]any
		if json.Unmarshal(input, &decoded) != nil {
			return
		}
		other, err := json.Marshal(decoded)
		if err != nil {
			return
		}
		if strings.ContainsAny(string(input), "0123456789") {
			return // encoding/json writes numbers in another form
		}
		if again, _ := p.Decide(tool, other); again != d {
			t.Fatalf("%s: %+v, but %s: %+v", input, d, other, again)
		}
	})
}

// FuzzExpression compares an expression with regexp: what must be in a match is in every match.
func FuzzExpression(f *testing.F) {
	for _, seed := range [][2]string{
		{`\brm\s+-rf\b`, "rm -rf"},
		{`(ab)+c`, "ababc"},
		{`(?i)drop table`, "DROP TABLE"},
		{`(?i)drop table`, "drop table"},
		{`(?i:a)bc`, "Abc"},
		{`a|b`, "b"},
		{`(foo|food)x`, "foodx"},
		{`a{2,3}b`, "aab"},
		{`(abc){0,2}`, ""},
		{`(abc)?d`, "d"},
		{`^$`, ""},
		{``, "x"},
		{`\x{FFFD}`, "\xff"},
		{`\Qa.b\E`, "a.b"},
		{`é+`, "éé"},
		{`(?:)x(?:)`, "x"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, expr, text string) {
		e, err := newExpression(expr)
		if err != nil {
			return
		}
		text = strings.ToValidUTF8(text, "\uFFFD") // as decoded JSON is
		if want := regexp.MustCompile(expr).MatchString(text); want && !e.may([]byte(text)) {
			t.Fatalf("%q matches %q, but %q is not in it", expr, text, e.literal)
		}
	})
}

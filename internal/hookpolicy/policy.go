package hookpolicy

import (
	"encoding/json"
	"fmt"

	"github.com/claudebench/claudebench/internal/jsontext"
)

// What a rule can decide.
const (
	Allow = "allow" // the tool runs without asking the user
	Ask   = "ask"   // the user decides
	Deny  = "deny"  // the tool does not run
)

// maxWork bounds the work of a decision, in bytes of text times instructions of the expression that
// is matched against them. RE2 takes 2 to 15 ns for each, so the bound is a second at most. An
// ordinary expression has 10 to 20 instructions.
const maxWork = 64 << 20

// Policy is a list of rules. It is immutable, and so safe for concurrent use.
type Policy struct{ rules []rule }

// rule is a rule of the policy.
type rule struct {
	tool     glob
	field    string
	match    *expression // nil if the rule is about every input
	decision string
	reason   string
}

// Decision is what a rule decided about a use of a tool.
type Decision struct {
	Decision string // Allow, Ask or Deny
	Reason   string // may be empty if the decision is Allow
	Rule     int    // place of the rule in the file; the first is 1
}

// Len returns the number of rules.
func (p *Policy) Len() int { return len(p.rules) }

// Decide returns the decision of the first rule that matches the use of a tool, and reports whether
// there is one. input is the tool's input as JSON. A rule with a field never matches an input that
// is not an object with that member.
func (p *Policy) Decide(tool string, input json.RawMessage) (Decision, bool) {
	in := members{input: input}
	work := 0
	for i, r := range p.rules {
		if work += len(tool) * len(r.tool); work > maxWork {
			return tooLong(i + 1), true
		}
		if !r.tool.matches(tool) {
			continue
		}
		if r.match != nil {
			text, ok := in.text(r.field)
			if !ok || !r.match.may(text) {
				continue
			}
			if work += len(text) * r.match.size; work > maxWork {
				return tooLong(i + 1), true
			}
			if !r.match.match.Match(text) {
				continue
			}
		}
		return Decision{r.decision, r.reason, i + 1}, true
	}
	return Decision{}, false
}

// DecideUnread decides about a use of a tool whose input could not be read. A rule that would look
// at the input decides to ask. tool is "" if the name is unknown too: then the first rule does.
func (p *Policy) DecideUnread(tool string) (Decision, bool) {
	for i, r := range p.rules {
		if tool != "" && !r.tool.matches(tool) {
			continue
		}
		if tool == "" || r.match != nil {
			return Decision{Ask, fmt.Sprintf("the input is too long or too deep to check it by rule %d of the policy", i+1), i + 1}, true
		}
		return Decision{r.decision, r.reason, i + 1}, true
	}
	return Decision{}, false
}

// tooLong is the decision if a rule would take too long.
func tooLong(rule int) Decision {
	return Decision{Ask, fmt.Sprintf("the input is too long to check it by rule %d of the policy", rule), rule}
}

// members finds the members of a tool's input. It decodes the input when it is first asked.
type members struct {
	input json.RawMessage
	raw   map[string]json.RawMessage // nil before the first question
	texts map[string][]byte
}

// text returns the text that rules match: of a string the string, of any other value its JSON text
// in canonical form.
func (m *members) text(name string) ([]byte, bool) {
	if m.raw == nil {
		m.raw, m.texts = map[string]json.RawMessage{}, map[string][]byte{}
		if json.Unmarshal(m.input, &m.raw) != nil || m.raw == nil {
			m.raw = map[string]json.RawMessage{}
		}
	}
	if text, ok := m.texts[name]; ok {
		return text, true
	}
	value, ok := m.raw[name]
	if !ok {
		return nil, false
	}
	var s string
	if value[0] == '"' && json.Unmarshal(value, &s) == nil {
		m.texts[name] = []byte(s)
		return m.texts[name], true
	}
	// An escaped letter must not evade an expression that has the letter itself.
	text, err := jsontext.Canonical(value)
	m.texts[name] = text
	return text, err == nil
}

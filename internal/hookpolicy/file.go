package hookpolicy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/claudebench/claudebench/internal/textfile"
)

const (
	maxFile   = 1 << 20 // bytes
	maxRules  = 1000
	maxReason = 1000 // bytes; every event of a decision contains the reason
)

// FileError says what is wrong with a policy's file.
type FileError struct {
	Path string
	Line int // 0 if the error concerns the whole file
	Err  error
}

func (e *FileError) Error() string {
	if e.Line > 0 {
		return fmt.Sprintf("policy %s:%d: %v", e.Path, e.Line, e.Err)
	}
	return fmt.Sprintf("policy %s: %v", e.Path, e.Err)
}

func (e *FileError) Unwrap() error { return e.Err }

// Load reads a policy from a file. Its errors are of type *FileError.
func Load(path string) (*Policy, error) {
	text, err := textfile.Read(path, maxFile, "change what agents may do")
	if err != nil {
		return nil, &FileError{Path: path, Err: err}
	}
	p, line, err := parse(text)
	if err != nil {
		return nil, &FileError{path, line, err}
	}
	return p, nil
}

// yamlLine is the beginning of yaml's errors.
var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// parse parses a policy. It rejects everything that it does not understand, because a rule with a
// misspelt member would guard nothing. It walks the nodes itself, so that each error has its line.
func parse(text []byte) (_ *Policy, line int, err error) {
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var document yaml.Node
	err = decoder.Decode(&document)
	if err == nil || errors.Is(err, io.EOF) {
		if err = decoder.Decode(new(yaml.Node)); errors.Is(err, io.EOF) {
			err = nil
		} else if err == nil {
			return nil, 0, errors.New("it must be one YAML document")
		}
	}
	if err != nil {
		at := yamlLine.FindStringSubmatch(err.Error())
		if at != nil {
			line, _ = strconv.Atoi(at[1]) // 0 without a line
		}
		return nil, line, fmt.Errorf("it is not YAML: %s; put values with special characters, such as tool: '*', in quotes", yamlLine.ReplaceAllString(err.Error(), ""))
	}
	if len(document.Content) != 1 || document.Content[0].Kind != yaml.MappingNode {
		return nil, 0, errors.New("it must be a map with the member rules; docs/agents.md shows one")
	}
	rules, line, err := rulesOf(document.Content[0])
	if err != nil {
		return nil, line, err
	}
	p := &Policy{}
	for i, node := range rules.Content {
		r, line, err := parseRule(node)
		if err != nil {
			return nil, line, fmt.Errorf("rule %d: %w", i+1, err)
		}
		p.rules = append(p.rules, r)
	}
	return p, 0, nil
}

// rulesOf returns the list of rules in the file's map.
func rulesOf(file *yaml.Node) (rules *yaml.Node, line int, err error) {
	for i := 0; i+1 < len(file.Content); i += 2 {
		name, value := file.Content[i], file.Content[i+1]
		switch {
		case name.Value != "rules":
			return nil, name.Line, fmt.Errorf("unknown member %q; the only one is rules", name.Value)
		case rules != nil:
			return nil, name.Line, errors.New("the member rules is repeated")
		case value.Kind != yaml.SequenceNode:
			return nil, name.Line, errors.New("rules must be a list")
		case len(value.Content) == 0:
			return nil, name.Line, errors.New("rules is empty; for no policy, leave out --hook-policy")
		case len(value.Content) > maxRules:
			return nil, name.Line, fmt.Errorf("there are %d rules; at most %d are allowed", len(value.Content), maxRules)
		}
		rules = value
	}
	if rules == nil {
		return nil, file.Line, errors.New("the member rules is missing")
	}
	return rules, 0, nil
}

// parseRule parses a rule. If it fails, it returns the line of the error.
func parseRule(node *yaml.Node) (r rule, line int, err error) {
	if node.Kind != yaml.MappingNode {
		return r, node.Line, errors.New("it must be a map with the members tool, field, match, decision and reason")
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		name, value := node.Content[i], node.Content[i+1]
		if seen[name.Value] {
			return r, name.Line, fmt.Errorf("the member %s is repeated", name.Value)
		}
		seen[name.Value] = true
		if err := r.set(name.Value, value); err != nil {
			return r, name.Line, err
		}
	}
	switch {
	case !seen["tool"]:
		err = errors.New("tool is missing; '*' means every tool")
	case !seen["decision"]:
		err = errors.New("decision is missing; it is allow, ask or deny")
	case seen["field"] && !seen["match"]:
		err = errors.New("field needs match, the expression that the member must match; '' matches every value")
	case seen["match"] && !seen["field"]:
		err = errors.New("match needs field, the name of the member of the tool's input that it is matched with")
	case r.decision != Allow && !seen["reason"]:
		err = fmt.Errorf("reason is missing; the agent or its user reads it with the decision %s", r.decision)
	}
	return r, node.Line, err
}

// set sets a member of a rule.
func (r *rule) set(name string, value *yaml.Node) error {
	if !slices.Contains([]string{"tool", "field", "match", "decision", "reason"}, name) {
		return fmt.Errorf("unknown member %q; the members are tool, field, match, decision and reason", name)
	}
	if value.Kind != yaml.ScalarNode || value.Tag != "!!str" {
		return fmt.Errorf("%s must be a string; put a value that looks like a number in quotes", name)
	}
	var err error
	switch text := value.Value; name {
	case "tool":
		r.tool, err = newGlob(text)
	case "field":
		if r.field = text; text == "" {
			err = errors.New("field is empty; it is the name of a member of the tool's input")
		}
	case "match":
		r.match, err = newExpression(text)
	case "decision":
		if r.decision = text; text != Allow && text != Ask && text != Deny {
			err = fmt.Errorf("unknown decision %q; it is allow, ask or deny", text)
		}
	case "reason":
		if r.reason = text; strings.TrimSpace(text) == "" || len(text) > maxReason {
			err = fmt.Errorf("reason must be 1 to %d bytes of text", maxReason)
		}
	}
	return err
}

package hookpolicy

import (
	"bytes"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
)

// maxMatch is the maximum length of an expression in bytes.
const maxMatch = 1000

// expression is a compiled RE2 expression.
type expression struct {
	match *regexp.Regexp
	// literal is text that every match contains, or empty. Looking for it takes a fraction of the
	// time of matching, and most expressions of a policy have one that most inputs do not contain.
	literal []byte
	size    int // instructions
}

func newExpression(text string) (*expression, error) {
	if len(text) > maxMatch {
		return nil, fmt.Errorf("match is longer than %d bytes; make several rules of it", maxMatch)
	}
	tree, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, fmt.Errorf("match is not an RE2 expression: %s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	tree = tree.Simplify()
	program, err := syntax.Compile(tree)
	if err != nil {
		return nil, fmt.Errorf("match: %w", err)
	}
	match, err := regexp.Compile(text)
	if err != nil {
		return nil, fmt.Errorf("match: %w", err)
	}
	return &expression{match, []byte(required(tree)), len(program.Inst)}, nil
}

// required returns the longest text that it finds in every match of an expression.
func required(tree *syntax.Regexp) (longest string) {
	switch tree.Op {
	case syntax.OpLiteral:
		if tree.Flags&syntax.FoldCase == 0 {
			return string(tree.Rune)
		}
	case syntax.OpCapture, syntax.OpPlus:
		return required(tree.Sub[0])
	case syntax.OpConcat:
		for _, sub := range tree.Sub {
			if text := required(sub); len(text) > len(longest) {
				longest = text
			}
		}
	}
	return longest
}

// may reports whether text can match.
func (e *expression) may(text []byte) bool { return bytes.Contains(text, e.literal) }

package hookpolicy

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// maxTool is the maximum length of a pattern in bytes.
const maxTool = 256

// glob is a pattern of tool names: * is any text, also none, and ? is any one byte. path.Match is
// not used, because its * does not match a slash, and a name with a slash would evade the rule.
type glob string

// newGlob checks a pattern. It rejects what looks like another kind of pattern, because that would
// never match.
func newGlob(pattern string) (glob, error) {
	if pattern == "" || len(pattern) > maxTool {
		return "", fmt.Errorf("tool must be 1 to %d bytes; '*' means every tool", maxTool)
	}
	for _, c := range pattern {
		if c > unicode.MaxASCII {
			return "", errors.New("tool must be ASCII, as the names of tools are")
		}
		if !unicode.IsLetter(c) && !unicode.IsDigit(c) && !strings.ContainsRune("*?_-.:/@", c) {
			return "", fmt.Errorf("tool %q: %q is not part of a tool's name; a pattern is a name with * and ?, and two tools need two rules", pattern, c)
		}
	}
	return glob(pattern), nil
}

// matches reports whether the pattern matches all of name. Its time is at most the product of the
// two lengths.
func (g glob) matches(name string) bool {
	p, n := 0, 0
	star, from := -1, 0 // the last * and where the text that it stands for ends
	for n < len(name) {
		switch {
		case p < len(g) && g[p] == '*':
			star, from = p, n
			p++
		case p < len(g) && (g[p] == '?' || g[p] == name[n]):
			p++
			n++
		case star >= 0:
			from++
			p, n = star+1, from
		default:
			return false
		}
	}
	for p < len(g) && g[p] == '*' {
		p++
	}
	return p == len(g)
}

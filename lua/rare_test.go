package lua

import (
	"regexp"
	"strings"
	"testing"
)

var (
	rareBody    = regexp.MustCompile(`(?s)\nrare = function\(\)\n.*?\nreturn rare_functions\nend\n`)
	defined     = regexp.MustCompile(`(?m)^ *local function ([a-z_]+)\(`)
	calledFree  = regexp.MustCompile(`(?:^|[^.:\w])([a-z_]+)\(`)
	rareCall    = regexp.MustCompile(`rare\(\)\.([a-z_]+)\(`)
	rareMembers = regexp.MustCompile(`(?m)^([a-z_]+) = ([a-z_]+),$`)
)

// A call of a function that the script does not have would fail only when it is made: each function of
// a library that a script calls is one of its own libraries' or, behind rare(), one of the lazy ones'.
func TestFunctionsAreThere(t *testing.T) {
	t.Parallel()
	ofLibraries := map[string]bool{}
	for _, name := range Names() {
		for _, m := range defined.FindAllStringSubmatch(Named(name).Source, -1) {
			ofLibraries[m[1]] = true
		}
	}
	for _, name := range Names() {
		source := comment.ReplaceAllString(Named(name).Source, "")
		lazy := rareBody.FindString(source)
		eager := strings.Replace(source, lazy, "\n", 1)
		own, members := map[string]bool{}, map[string]bool{}
		for _, m := range defined.FindAllStringSubmatch(eager, -1) {
			own[m[1]] = true
		}
		for _, m := range rareMembers.FindAllStringSubmatch(lazy, -1) {
			members[m[1]] = true
		}
		check := func(where, code string, known map[string]bool) {
			for _, m := range calledFree.FindAllStringSubmatch(code, -1) {
				if ofLibraries[m[1]] && !known[m[1]] {
					t.Errorf("%s calls %s %s, and has no such function", name, m[1], where)
				}
			}
			for _, m := range rareCall.FindAllStringSubmatch(code, -1) {
				if !members[m[1]] {
					t.Errorf("%s calls rare().%s, which is not there", name, m[1])
				}
			}
		}
		check("itself", eager, own)
		for _, m := range defined.FindAllStringSubmatch(lazy, -1) {
			own[m[1]] = true
		}
		check("in a lazy library", lazy, own)
	}
}

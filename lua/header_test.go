package lua

import (
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// declared is a script's header as the tests read it.
type declared struct {
	args   []string
	rest   string   // the last slot, if it stands for any number of arguments
	errors []string // codes, and reasons of conflicts
	emits  []string // event types
	code   string   // the file without its comments
}

var (
	upperWord  = regexp.MustCompile(`[A-Z][A-Z]+(?:_[A-Z]+)*`)
	eventType  = regexp.MustCompile(`[a-z]+(?:\.[a-z_]+)+`)
	parenthese = regexp.MustCompile(`\([^)]*\)`)
	comment    = regexp.MustCompile(`(?m)--.*$`)
)

func readDeclared(t *testing.T, file string) declared {
	t.Helper()
	source, err := fs.ReadFile(files, file)
	if err != nil {
		t.Fatal(err)
	}
	h, err := readHeader(string(source))
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	d := declared{
		args: h.args, code: comment.ReplaceAllString(string(source), ""),
		errors: upperWord.FindAllString(h.parts["Errors"], -1),
		emits:  eventType.FindAllString(parenthese.ReplaceAllString(h.parts["Emits"], ""), -1),
	}
	if h.rest {
		d.rest = h.args[len(h.args)-1]
	}
	return d
}

func scriptFiles(t *testing.T) []string {
	t.Helper()
	list, err := fs.Glob(files, "*.lua")
	if err != nil || len(list) != len(scripts) {
		t.Fatalf("%v, %v", list, err)
	}
	return list
}

// A script binds each slot to a local, in order and under the name in the header.
func TestHeadersNameTheSlots(t *testing.T) {
	t.Parallel()
	binding := regexp.MustCompile(`(?m)^local ([a-z_, ]+) = (.*ARGV\[.*)$`)
	slot := regexp.MustCompile(`ARGV\[(\d+)\]`)
	for _, file := range scriptFiles(t) {
		h := readDeclared(t, file)
		bound := map[int]string{}
		last := 0
		for _, m := range binding.FindAllStringSubmatch(h.code, -1) {
			names, slots := strings.Split(m[1], ", "), slot.FindAllStringSubmatch(m[2], -1)
			if len(names) != len(slots) {
				t.Errorf("%s: %q does not bind a slot to each name", file, m[0])
				continue
			}
			for i, name := range names {
				n, _ := strconv.Atoi(slots[i][1])
				if n <= last {
					t.Errorf("%s: %q is out of order", file, m[0])
				}
				last, bound[n] = n, name
			}
		}
		for i, name := range h.args {
			n := i + 1
			if name == "context" && n == 1 && bound[n] == "" {
				continue // lib/log reads the context
			}
			if name == h.rest && n == len(h.args) {
				// The script reads the remaining arguments by their numbers.
				all := n == 1 && strings.Contains(h.code, "ipairs(ARGV)")
				if !all && !regexp.MustCompile(`(?:local first_[a-z]+|for i) = `+strconv.Itoa(n)+`\b`).MatchString(h.code) {
					t.Errorf("%s: nothing reads ARGV from %d on", file, n)
				}
				continue
			}
			if bound[n] != name {
				t.Errorf("%s: ARGV[%d] is %s in the header and %q in the code", file, n, name, bound[n])
			}
			delete(bound, n)
		}
		for n, name := range bound {
			if n > len(h.args) || h.args[n-1] != name {
				t.Errorf("%s: ARGV[%d], %s, is not in the header", file, n, name)
			}
		}
	}
}

// Patterns for the error codes, the reasons of conflicts and the events of a script, and for the
// functions that it defines and calls.
var (
	returnedCode   = regexp.MustCompile(`error_reply\((?:string\.format\()?'([A-Z_]+) `)
	returnedReason = regexp.MustCompile(`(?:conflict\('|"reason":")([A-Z_]+)`)
	emitted        = regexp.MustCompile(`emit\('([a-z._]+)'`)
	functionStart  = regexp.MustCompile(`(?m)^local function ([a-z_]+)\(.*\n(?:(?:[ \t].*)?\n)*?end$`)
	called         = regexp.MustCompile(`\b([a-z_]+)\(`)
)

// reached returns the code that a script can run: its own, and the library functions that it calls.
func reached(t *testing.T, name string) string {
	t.Helper()
	source := comment.ReplaceAllString(Named(name).Source, "")
	functions := map[string]string{}
	rest := functionStart.ReplaceAllStringFunc(source, func(f string) string {
		functions[functionStart.FindStringSubmatch(f)[1]] = f
		return ""
	})
	code := rest
	seen := map[string]bool{}
	for todo := []string{rest}; len(todo) > 0; todo = todo[1:] {
		for _, m := range called.FindAllStringSubmatch(todo[0], -1) {
			if f := functions[m[1]]; f != "" && !seen[m[1]] {
				seen[m[1]] = true
				code += "\n" + f
				todo = append(todo, f)
			}
		}
	}
	return code
}

func TestHeadersNameTheErrors(t *testing.T) {
	t.Parallel()
	for _, file := range scriptFiles(t) {
		name := strings.TrimSuffix(file, ".lua")
		h, code := readDeclared(t, file), reached(t, name)
		var can []string
		for _, pattern := range []*regexp.Regexp{returnedCode, returnedReason} {
			for _, m := range pattern.FindAllStringSubmatch(code, -1) {
				can = append(can, m[1])
			}
		}
		if strings.Contains(code, "conflict(") {
			can = append(can, "CONFLICT")
		}
		compareSets(t, file, "error", h.errors, can)
	}
}

func TestHeadersNameTheEvents(t *testing.T) {
	t.Parallel()
	for _, file := range scriptFiles(t) {
		name := strings.TrimSuffix(file, ".lua")
		h, code := readDeclared(t, file), reached(t, name)
		var can []string
		for _, m := range emitted.FindAllStringSubmatch(code, -1) {
			can = append(can, m[1])
		}
		compareSets(t, file, "event", h.emits, can)
	}
}

func compareSets(t *testing.T, file, what string, says, can []string) {
	t.Helper()
	for _, one := range says {
		if !slices.Contains(can, one) {
			t.Errorf("%s: the header names the %s %s, and nothing in the script gives it", file, what, one)
		}
	}
	for _, one := range can {
		if !slices.Contains(says, one) {
			t.Errorf("%s: the script can give the %s %s, and the header does not say so", file, what, one)
		}
	}
}

// Only lib/log adds events to the log; wake-ups are no events, and lib/group only copies events. Only two scripts scan the keys: the one that deletes them
// all, and the one for audits, which no command runs.
func TestScriptsKeepOff(t *testing.T) {
	t.Parallel()
	all, err := fs.Glob(files, "*/*.lua")
	if err != nil {
		t.Fatal(err)
	}
	forbidden := regexp.MustCompile(`(?i)'(KEYS|SCAN|FLUSHALL|FLUSHDB|RANDOMKEY)'`)
	for _, file := range append(all, scriptFiles(t)...) {
		source, err := fs.ReadFile(files, file)
		if err != nil {
			t.Fatal(err)
		}
		code := comment.ReplaceAllString(string(source), "")
		if file == "probe_write.lua" {
			code = strings.Replace(code, "'XADD', prefix .. 'service:probe', 'NOMKSTREAM'", "", 1)
		}
		if file == "lib/wakeups.lua" {
			code = strings.Replace(code, "'XADD', prefix .. 'queue:wakeups'", "", 1)
		}
		if file == "lib/group.lua" {
			code = strings.Replace(code, "'XADD', own_of(type, group)", "", 1)
			code = strings.Replace(code, "'XADD', parked_stream", "", 1)
		}
		if strings.Contains(code, "'XADD'") != (file == "lib/log.lua") {
			t.Errorf("%s: XADD belongs to lib/log.lua alone", file)
		}
		if file == "delete_flushed_keys.lua" || file == "read_keys.lua" {
			code = strings.Replace(code, "'SCAN'", "", 1)
		}
		if m := forbidden.FindString(code); m != "" {
			t.Errorf("%s uses %s", file, m)
		}
		if strings.HasPrefix(string(source), "#!") {
			t.Errorf("%s begins with a #! line, which the embedded Redis does not know", file)
		}
	}
}

// A script that only reads may run again after a lost reply, so it writes nothing except the
// counters of rate limits.
func TestReadOnlyScriptsOnlyRead(t *testing.T) {
	t.Parallel()
	write := regexp.MustCompile(`'(SET|HSET|HDEL|HINCRBY|ZADD|ZREM|DEL|UNLINK|RENAME|XADD|XTRIM|PEXPIRE|HSETNX)'`)
	for _, name := range Names() {
		code := reached(t, name)
		code = regexp.MustCompile(`(?s)local function count_calls\(.*?\nend\n`).ReplaceAllString(code+"\n", "")
		if writes := write.MatchString(code); writes == Named(name).ReadOnly {
			t.Errorf("%s is marked as reading only: %t; it writes: %t", name, Named(name).ReadOnly, writes)
		}
	}
}

// Package lua holds the scripts that change state, and runs them.
//
// A script is a file of this folder; what several share lies in lib/ and is taken in by a line
//
//	--- @include "lib/name"
//
// each library once, in the order of the first mention, its own includes before it. A library is
// kept small, because Redis builds the functions of a script's libraries anew at every call.
//
// Scripts take the key of the log's hash as KEYS[1] and build every other key from its prefix,
// since most keys are only known once the script has read others; all lie in one slot of a cluster.
// An error that a script returns is `CODE detail`, the detail being JSON.
//
// A script opens with a header that names its arguments. Bind ties them to a struct when the
// program starts.
package lua

import (
	"crypto/sha1" //nolint:gosec // Redis names scripts by SHA-1
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strconv"
	"strings"
)

//go:embed *.lua lib/*.lua
var files embed.FS

// Script is a script with its includes resolved.
type Script struct {
	Name   string
	Source string
	// SHA is what EVALSHA calls it by.
	SHA string
	// ReadOnly reports that it writes nothing, so that a lost reply has lost nothing. Its header
	// says so in a line of its own: `--- @readonly`.
	ReadOnly bool
	// Counts reports that a call of it counts for a rate limit, so that it is not asked again when
	// its reply was lost.
	Counts bool
	// LotSize is how many calls of it may be run by one EVALSHA, 0 when each is run by its own. The
	// header says so in a line of its own: `--- @lot 16`. Commands that come often have one.
	LotSize int
	// Args names the arguments that it takes, from its header. With Rest, any number of arguments
	// may stand in the last one's place.
	Args []string
	Rest bool
	// Lot is the script that runs a lot: ARGV[1] calls, ARGV[2] arguments of each, then the
	// arguments.
	Lot *Script
}

var lotLine = regexp.MustCompile(`(?m)^--- @lot (\d+)$`)

// closingLine stands above a function of a library that writes what the commands left to the
// script's end. The functions of all libraries are called there in the order of the libraries, once
// for a lot, also after a command that failed.
var closingLine = regexp.MustCompile(`(?m)^--- @closing ([a-z_]+)$`)

var includeLine = regexp.MustCompile(`(?m)^--- @include "(lib/[a-z_]+)"$`)

var scripts = mustLoad(files)

// Named returns a script by its file's name without the ending. It panics on a name that is not
// there: names are constants of the program, looked up when it starts.
func Named(name string) *Script {
	s, ok := scripts[name]
	if !ok {
		panic("lua: no script named " + name)
	}
	return s
}

// Names lists the scripts.
func Names() []string {
	names := make([]string, 0, len(scripts))
	for name := range scripts {
		names = append(names, name)
	}
	return names
}

func mustLoad(fsys fs.FS) map[string]*Script {
	entries, err := fs.Glob(fsys, "*.lua")
	if err != nil {
		panic(err)
	}
	loaded := make(map[string]*Script, len(entries))
	for _, file := range entries {
		name := strings.TrimSuffix(path.Base(file), ".lua")
		s, err := load(fsys, name, file)
		if err != nil {
			panic(fmt.Sprintf("lua: %s: %v", file, err))
		}
		loaded[name] = s
	}
	return loaded
}

func load(fsys fs.FS, name, file string) (*Script, error) {
	source, err := fs.ReadFile(fsys, file)
	if err != nil {
		return nil, err
	}
	var libraries strings.Builder
	libraries.WriteString(shortcuts)
	seen := map[string]bool{}
	if err := include(fsys, string(source), seen, &libraries); err != nil {
		return nil, err
	}
	body := includeLine.ReplaceAllString(string(source), "") + "\n"
	command := libraries.String() + "local function command()\n" + body + "end\n"
	var closing strings.Builder
	for _, match := range closingLine.FindAllStringSubmatch(libraries.String(), -1) {
		closing.WriteString(match[1] + "()\n")
	}
	s := newScript(name, libraries.String()+body)
	if closing.Len() > 0 {
		s = newScript(name, command+attempt+closing.String()+"return reply\n")
	}
	h, err := readHeader(string(source))
	if err != nil {
		return nil, err
	}
	s.Args, s.Rest = h.args, h.rest
	s.Counts = seen["lib/guard.lua"]
	if match := lotLine.FindStringSubmatch(body); match != nil {
		if s.LotSize, err = strconv.Atoi(match[1]); err != nil {
			return nil, err
		}
		s.Lot = newScript(name, lotArguments+command+eachOfLot+attempt+endOfLot+closing.String()+"return replies\n")
	}
	return s, nil
}

func newScript(name, source string) *Script {
	sum := sha1.Sum([]byte(source)) //nolint:gosec // see above
	return &Script{
		Name: name, Source: source, SHA: hex.EncodeToString(sum[:]),
		ReadOnly: strings.Contains(source, "\n--- @readonly\n"),
	}
}

// shortcuts spare the scripts a lookup among the global names at each use.
const shortcuts = "local redis, string, math = redis, string, math\n"

// attempt runs the command. What goes wrong in it is its reply, under the code that Redis gave it:
// the client leaves a master that says READONLY.
const attempt = `
local ok, reply = pcall(command)
if not ok and type(reply) ~= 'table' then
reply = tostring(reply)
reply = { err = string.find(reply, '^%u+ ') and reply or 'ERR ' .. reply }
end
`

// A lot runs a command for each of its calls, with ARGV as the call alone would have it.
const (
	lotArguments = "local given, ARGV = ARGV, {}\n"
	eachOfLot    = `
local calls, width = tonumber(given[1]), tonumber(given[2])
local replies = {}
for call = 0, calls - 1 do
for i = 1, width do ARGV[i] = given[2 + call * width + i] end
`
	endOfLot = `
replies[call + 1] = reply or false
end
`
)

// include writes the libraries that a source asks for, each of them once.
func include(fsys fs.FS, source string, seen map[string]bool, out *strings.Builder) error {
	for _, match := range includeLine.FindAllStringSubmatch(source, -1) {
		lib := match[1] + ".lua"
		if seen[lib] {
			continue
		}
		seen[lib] = true
		library, err := fs.ReadFile(fsys, lib)
		if err != nil {
			return err
		}
		if err := include(fsys, string(library), seen, out); err != nil {
			return err
		}
		out.WriteString(includeLine.ReplaceAllString(string(library), ""))
		out.WriteByte('\n')
	}
	return nil
}

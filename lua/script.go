// Package lua holds the scripts that read and change the state in Redis, and runs them.
//
// A script is a file of this folder. It includes a library of the folder lib with a line
//
//	--- @include "lib/name"
//
// The loader puts the libraries before the script, each of them once. They are in the order of the
// first mention, and a library's own includes come before it. Libraries are small, because Redis
// creates the functions of all included libraries at every call.
//
// A script takes the key of the log's hash as KEYS[1] and derives all other keys from its prefix. A
// caller could not pass them, because most keys are known only after the script has read others. On
// a cluster, all keys of a namespace are in one slot. A script returns errors as `CODE detail`,
// where detail is JSON.
//
// A script's header names its arguments. Bind compares them with the fields of a struct when the
// program starts.
//
// Calls that wait at the same time share a round trip. Calls of one script can also share an
// EVALSHA, called a lot. When Redis is unavailable, calls fail with ErrUnavailable or
// ErrOutcomeUnknown.
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
	// SHA is the SHA-1 of Source, by which EVALSHA names the script.
	SHA string
	// ReadOnly reports whether the script writes nothing except counters of rate limits, so that
	// a lost reply hides no change. The line `--- @readonly` sets it.
	ReadOnly bool
	// Counts reports whether a call counts for a rate limit. Such a call is not repeated after a
	// lost reply, because it would count twice.
	Counts bool
	// LotSize is the maximum number of calls in one EVALSHA. 0 means that each call has its own
	// EVALSHA. The line `--- @lot 16` sets it in the scripts of frequent commands.
	LotSize int
	// Args holds the names of the arguments, from the header. With Rest, the last name stands for
	// any number of arguments.
	Args []string
	Rest bool
	// Lot is the script that runs a lot: ARGV[1] is the number of calls, ARGV[2] the number of
	// arguments of each call, and ARGV[3] how many of them, from the first, are the same in all
	// calls. These follow, then the other arguments of each call.
	Lot *Script
}

var lotLine = regexp.MustCompile(`(?m)^--- @lot (\d+)$`)

// closingLine marks a function of a library that must run at the end of an EVALSHA. The function
// writes the changes that the calls have only collected in memory. Each such function runs once, in
// the order of the libraries, also after a call that failed.
var closingLine = regexp.MustCompile(`(?m)^--- @closing ([a-z_]+)$`)

var includeLine = regexp.MustCompile(`(?m)^--- @include "(lib/[a-z_]+)"$`)

var scripts = mustLoad(files)

// Named returns the script with a name, which is its file's name without the extension. It panics
// if there is no such script, because names are constants that the program looks up when it starts.
func Named(name string) *Script {
	s, ok := scripts[name]
	if !ok {
		panic("lua: no script named " + name)
	}
	return s
}

// Names returns the names of all scripts, in no particular order.
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
		s = newScript(name, command+callCommand+closing.String()+"return reply\n")
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
		s.Lot = newScript(name, lotArguments+command+eachOfLot+callCommand+endOfLot+closing.String()+"return replies\n")
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

// shortcuts makes global names local, because Lua looks up a global name at each use.
const shortcuts = "local redis, string, math = redis, string, math\n"

// callCommand calls the command and turns an error in it into its reply. The reply keeps the error
// code of Redis, because the client must see READONLY to leave a master that became a replica.
const callCommand = `
local ok, reply = pcall(command)
if not ok and type(reply) ~= 'table' then
reply = tostring(reply)
reply = { err = string.find(reply, '^%u+ ') and reply or 'ERR ' .. reply }
end
`

// The script of a lot runs the command once for each call, with the ARGV of that call alone.
const (
	lotArguments = "local given, ARGV = ARGV, {}\n"
	eachOfLot    = `
local calls, width, shared = tonumber(given[1]), tonumber(given[2]), tonumber(given[3])
local replies = {}
for i = 1, shared do ARGV[i] = given[3 + i] end
for call = 0, calls - 1 do
local offset = 3 + call * (width - shared)
for i = shared + 1, width do ARGV[i] = given[offset + i] end
`
	endOfLot = `
replies[call + 1] = reply or false
end
`
)

// include writes the libraries that a source includes, each of them once.
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

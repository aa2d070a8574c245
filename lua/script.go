// Package lua holds the scripts that read and change the state in Redis, and runs them.
//
// A script is a file of this folder. It includes a library of the folder lib with a line
//
//	--- @include "lib/name"
//
// A library that few calls need is named by a line
//
//	--- @lazy "lib/name"
//
// instead. Its functions, and the libraries that it includes, are then created only when a call needs
// one of them: rare().name(…) calls a function of such a library.
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
	"slices"
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
	read := reader{fsys, map[string]*file{}}
	for _, entry := range entries {
		name := strings.TrimSuffix(path.Base(entry), ".lua")
		s, err := read.script(name)
		if err != nil {
			panic(fmt.Sprintf("lua: %s: %v", entry, err))
		}
		loaded[name] = s
	}
	return loaded
}

// file is a file of scripts.
type file struct {
	whole    string
	text     string   // without the lines that begin with `--- @include`
	includes []string // names of libraries, from the lines `--- @include "lib/name"`
	lazy     []string // names of libraries, from the lines `--- @lazy "lib/name"`
	// closing are the functions that must run at the end of an EVALSHA, from the lines `--- @closing
	// name` of a library. They write the changes that the calls have only collected in memory. Each
	// runs once, in the order of the libraries, also after a call that failed; those of lazy libraries
	// run last, and only if the libraries' functions were created.
	closing []string
	lot     int // from the line `--- @lot 16`, 0 without it
}

// reader reads files, each of them once.
type reader struct {
	fsys  fs.FS
	files map[string]*file
}

func (r reader) file(name string) (*file, error) {
	if f := r.files[name]; f != nil {
		return f, nil
	}
	source, err := fs.ReadFile(r.fsys, name+".lua")
	if err != nil {
		return nil, err
	}
	f := &file{whole: string(source)}
	var text strings.Builder
	for line := range strings.Lines(f.whole) {
		directive, found := strings.CutPrefix(line, "--- @")
		word, value, _ := strings.Cut(strings.TrimSuffix(directive, "\n"), " ")
		switch {
		case !found:
		case word == "include":
			f.includes = append(f.includes, strings.Trim(value, `"`))
			line = "\n" // the other lines keep their numbers
		case word == "lazy":
			f.lazy = append(f.lazy, strings.Trim(value, `"`))
			line = "\n"
		case word == "closing":
			f.closing = append(f.closing, value)
		case word == "lot":
			if f.lot, err = strconv.Atoi(value); err != nil {
				return nil, err
			}
		}
		text.WriteString(line)
	}
	f.text = text.String()
	r.files[name] = f
	return f, nil
}

// libraries appends the libraries that a file includes to a list, each after those that it includes.
func (r reader) libraries(f *file, list []string) ([]string, error) {
	for _, name := range f.includes {
		if slices.Contains(list, name) {
			continue
		}
		library, err := r.file(name)
		if err != nil {
			return nil, err
		}
		if list, err = r.libraries(library, list); err != nil {
			return nil, err
		}
		list = append(list, name)
	}
	return list, nil
}

// rare returns the libraries that a file and the libraries in names name as lazy, and all libraries
// that only they include or name, each after those that it includes.
func (r reader) rare(f *file, names []string) (lazy, all []string, err error) {
	lazy = slices.Clone(f.lazy)
	for n := -1; n != len(lazy)+len(all); { // a lazy library may name further ones
		n = len(lazy) + len(all)
		for _, name := range slices.Concat(names, all) {
			for _, library := range r.files[name].lazy {
				if !slices.Contains(lazy, library) {
					lazy = append(lazy, library)
				}
			}
		}
		if all, err = r.libraries(&file{includes: lazy}, nil); err != nil {
			return nil, nil, err
		}
	}
	all = slices.DeleteFunc(all, func(name string) bool { return slices.Contains(names, name) })
	return lazy, all, nil
}

var libraryFunction = regexp.MustCompile(`(?m)^local function ([a-z_]+)\(`)

// rareFunctions returns the definition of the function rare. lazy are the libraries whose functions it
// returns; all are those that it has to create first.
func (r reader) rareFunctions(lazy, all []string) string {
	var text strings.Builder
	text.WriteString("local rare_functions, close_rare\nrare = function()\nif rare_functions then return rare_functions end\n")
	for _, name := range all {
		text.WriteString(r.files[name].text + "\n")
	}
	text.WriteString("rare_functions = {\n")
	for _, name := range lazy {
		for _, function := range libraryFunction.FindAllStringSubmatch(r.files[name].text, -1) {
			fmt.Fprintf(&text, "%[1]s = %[1]s,\n", function[1])
		}
	}
	text.WriteString("}\nclose_rare = function()\n")
	for _, name := range all {
		for _, function := range r.files[name].closing {
			text.WriteString(function + "()\n")
		}
	}
	text.WriteString("end\nreturn rare_functions\nend\n")
	return text.String()
}

func (r reader) script(name string) (*Script, error) {
	f, err := r.file(name)
	if err != nil {
		return nil, err
	}
	names, err := r.libraries(f, nil)
	if err != nil {
		return nil, err
	}
	lazy, all, err := r.rare(f, names)
	if err != nil {
		return nil, err
	}
	var libraries, closing strings.Builder
	end := ""
	libraries.WriteString(shortcuts)
	if len(lazy) > 0 {
		libraries.WriteString("local rare\n")
	}
	for _, name := range names {
		library := r.files[name]
		libraries.WriteString(library.text + "\n")
		if name == outermost {
			libraries.WriteString("return (function()\n")
			end = "end)()\n"
		}
		for _, function := range library.closing {
			closing.WriteString(function + "()\n")
		}
	}
	if len(lazy) > 0 {
		libraries.WriteString(r.rareFunctions(lazy, all))
		closing.WriteString("if close_rare then close_rare() end\n")
	}
	body := f.text + "\n"
	command := libraries.String() + "local function command()\n" + body + "end\n"
	s := newScript(name, libraries.String()+body+end)
	if closing.Len() > 0 {
		s = newScript(name, command+callCommand+closing.String()+"return reply\n"+end)
	}
	h, err := readHeader(f.whole)
	if err != nil {
		return nil, err
	}
	s.Args, s.Rest = h.args, h.rest
	s.Counts = slices.Contains(names, "lib/guard")
	if f.lot > 0 {
		s.LotSize = f.lot
		s.Lot = newScript(name, lotArguments+command+eachOfLot+callCommand+endOfLot+closing.String()+"return replies\n"+end)
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

// outermost is the last library whose variables are those of an outer function, in which the rest of the
// script is a function. For each variable that a new function refers to, Lua searches the variables of
// the enclosing function to which functions refer already, but has those of outer functions at hand.
// Nearly all functions refer to some of the log's.
const outermost = "lib/log"

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

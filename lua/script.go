// Package lua holds the scripts that change state, and runs them.
//
// A script is a file of this folder; what several share lies in lib/ and is taken in by a line
//
//	--- @include "lib/name"
//
// each library once, in the order of the first mention, its own includes before it. A library is kept
// small, because Redis builds the functions of a script's libraries anew at every call.
//
// Scripts take the key of the log's hash as KEYS[1] and build every other key from its prefix, since
// most keys are only known once the script has read others; all lie in one slot of a cluster. An error
// that a script returns is `CODE detail`, the detail being JSON.
package lua

import (
	"crypto/sha1" //nolint:gosec // Redis names scripts by SHA-1
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path"
	"regexp"
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
	// ReadOnly says that it writes nothing, so that a lost reply has lost nothing. Its header says so in
	// a line of its own: `--- @readonly`.
	ReadOnly bool
}

var includeLine = regexp.MustCompile(`(?m)^--- @include "(lib/[a-z_]+)"$`)

var scripts = mustLoad(files)

// Named returns a script by its file's name without the ending. It panics on a name that is not there:
// names are constants of the program, looked up when it starts.
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
		var out strings.Builder
		if err := include(fsys, file, map[string]bool{}, &out); err != nil {
			panic(fmt.Sprintf("lua: %s: %v", file, err))
		}
		source := out.String()
		sum := sha1.Sum([]byte(source)) //nolint:gosec // see above
		name := strings.TrimSuffix(path.Base(file), ".lua")
		loaded[name] = &Script{
			Name: name, Source: source, SHA: hex.EncodeToString(sum[:]),
			ReadOnly: strings.Contains(source, "\n--- @readonly\n"),
		}
	}
	return loaded
}

// include writes a file behind the libraries it asks for, each of them once.
func include(fsys fs.FS, file string, seen map[string]bool, out *strings.Builder) error {
	source, err := fs.ReadFile(fsys, file)
	if err != nil {
		return err
	}
	for _, match := range includeLine.FindAllStringSubmatch(string(source), -1) {
		lib := match[1] + ".lua"
		if seen[lib] {
			continue
		}
		seen[lib] = true
		if err := include(fsys, lib, seen, out); err != nil {
			return err
		}
	}
	out.WriteString(includeLine.ReplaceAllString(string(source), ""))
	out.WriteByte('\n')
	return nil
}

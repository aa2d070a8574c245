package lua

import (
	"crypto/sha1" //nolint:gosec // Redis names scripts by SHA-1
	"encoding/hex"
	"strings"
	"testing"
	"testing/fstest"
)

func TestIncludesResolve(t *testing.T) {
	t.Parallel()
	for _, name := range Names() {
		s := Named(name)
		if strings.Contains(s.Source, "@include") {
			t.Errorf("%s still holds an include", name)
		}
		sum := sha1.Sum([]byte(s.Source)) //nolint:gosec // see above
		if s.SHA != hex.EncodeToString(sum[:]) || s.Name != name {
			t.Errorf("%s is %s with the SHA %s", name, s.Name, s.SHA)
		}
		// Each library is there once, even if several files include it.
		if n := strings.Count(s.Source, "\nlocal prefix ="); n > 1 {
			t.Errorf("%s holds lib/space %d times", name, n)
		}
	}
}

func TestIncludeOrder(t *testing.T) {
	t.Parallel()
	loaded := mustLoad(fstest.MapFS{
		"a.lua":       {Data: []byte(anyArgs + "--- @include \"lib/one\"\n--- @include \"lib/two\"\nreturn 1\n")},
		"b.lua":       {Data: []byte(anyArgs + "--- @readonly\nreturn 2\n")},
		"lib/one.lua": {Data: []byte("--- @include \"lib/two\"\nlocal one\n")},
		"lib/two.lua": {Data: []byte("local two\n")},
	})
	if got := strings.Fields(comment.ReplaceAllString(strings.TrimPrefix(loaded["a"].Source, shortcuts), "")); strings.Join(got, " ") != "local two local one return 1" {
		t.Errorf("a is %q", loaded["a"].Source)
	}
	if loaded["a"].ReadOnly || !loaded["b"].ReadOnly {
		t.Error("the mark of reading only was not seen")
	}
}

func TestLoadRefuses(t *testing.T) {
	t.Parallel()
	panics := func(f func()) (message any) {
		defer func() { message = recover() }()
		f()
		return nil
	}
	if got := panics(func() { mustLoad(fstest.MapFS{"a.lua": {Data: []byte(anyArgs + "--- @include \"lib/nothing\"\n")}}) }); got == nil {
		t.Error("an include of nothing was taken")
	}
	for what, source := range map[string]string{
		"no header":         "return 1\n",
		"no Returns":        "-- KEYS[1] log\n-- Errors  none\n-- Emits   nothing\n",
		"order":             strings.Replace(anyArgs, "ARGV[1…]", "ARGV[2]", 1),
		"other keys":        strings.Replace(anyArgs, "log", "task", 1),
		"behind the rest":   strings.Replace(anyArgs, "values\n", "values\n-- ARGV[2] more\n", 1),
		"a slot of no name": strings.Replace(anyArgs, " values", "", 1),
	} {
		if got := panics(func() { mustLoad(fstest.MapFS{"a.lua": {Data: []byte(source)}}) }); got == nil {
			t.Errorf("%s: loaded", what)
		}
	}
	if got := panics(func() { Named("nothing") }); got == nil {
		t.Error("a name of nothing was taken")
	}
}

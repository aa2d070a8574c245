package events

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
)

// TestGolden compares every event with its golden file. The files are never removed, because every
// later build must decode what is in somebody's log.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	name := regexp.MustCompile(`^(.+)\.v(\d+)\.json$`)
	for _, file := range files {
		parts := name.FindStringSubmatch(filepath.Base(file))
		if parts == nil {
			t.Errorf("%s: not named <type>.v<version>.json", file)
			continue
		}
		have[filepath.Base(file)] = true
		version, _ := strconv.Atoi(parts[2])
		current, known := Version(Type(parts[1]))
		if !known || version > current {
			t.Errorf("%s: no event is registered for it", file)
			continue
		}
		t.Run(filepath.Base(file), func(t *testing.T) { checkGolden(t, file, Type(parts[1]), version, current) })
	}
	for _, typ := range Types() {
		current, _ := Version(typ)
		for v := 1; v <= current; v++ {
			if file := fmt.Sprintf("%s.v%d.json", typ, v); !have[file] {
				t.Errorf("testdata/%s is missing", file)
			}
		}
	}
}

func checkGolden(t *testing.T, file string, typ Type, version, current int) {
	line, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := string(line[:len(line)-1])
	e, err := Decode([]byte(want))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := scan([]byte(want)); !ok {
		t.Error("the file is not spelled as the log spells events")
	}
	if e.Type != typ || e.V != version {
		t.Errorf("holds %s v%d", e.Type, e.V)
	}
	encoded, err := e.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if string(encoded) != want {
		t.Errorf("encoded again:\n%s\nwant:\n%s", encoded, want)
	}
	payload, err := e.Decoded()
	if err != nil {
		t.Fatal(err)
	}
	if version != current {
		return // the up-caster has its own test
	}
	again, err := EncodePayload(payload)
	if err != nil {
		t.Fatal(err)
	}
	if string(again) != string(e.Payload) {
		t.Errorf("payload encoded again:\n%s\nwant:\n%s", again, e.Payload)
	}
}

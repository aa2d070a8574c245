package events

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/claudebench/claudebench/internal/keys"
	"github.com/claudebench/claudebench/internal/testenv"
)

// testdata records what Format stands for: a new type or version needs a new number, or older
// programs believe that they know the log.
func TestFormatNamesTheTypesAndTheirVersions(t *testing.T) {
	t.Parallel()
	var list strings.Builder
	for _, typ := range Types() {
		version, _ := Version(typ)
		fmt.Fprintf(&list, "%s %d\n", typ, version)
	}
	file := fmt.Sprintf("testdata/format-%d.txt", Format)
	want, err := os.ReadFile(file)
	if err != nil || string(want) != list.String() {
		t.Errorf("the types and versions are not those of %s (%v): raise Format, and write them into the file of the new one:\n%s", file, err, &list)
	}
	if _, err := os.Stat(fmt.Sprintf("testdata/format-%d.txt", Format+1)); err == nil {
		t.Error("there is a file of a higher format")
	}
}

func TestCheckFormat(t *testing.T) {
	t.Parallel()
	namespace := testenv.Namespace(t)
	space, err := keys.New(namespace)
	if err != nil {
		t.Fatal(err)
	}
	client := testenv.Client(t)
	reader, err := NewReader(client, ReaderConfig{Namespace: namespace})
	if err != nil {
		t.Fatal(err)
	}
	check := func(fields ...any) error {
		t.Helper()
		if len(fields) > 0 {
			if err := client.HSet(t.Context(), space.Log(), fields...).Err(); err != nil {
				t.Fatal(err)
			}
		}
		return reader.CheckFormat(t.Context())
	}
	for _, fields := range [][]any{nil, {"seq", 5}, {"format", 1}, {"format", Format, "program", "v1"}} {
		if err := check(fields...); err != nil {
			t.Errorf("%v: %v", fields, err)
		}
	}
	var newer *NewerLogError
	if err := check("format", Format+1, "program", "v9.1.0"); !errors.As(err, &newer) || newer.Format != Format+1 || newer.Program != "v9.1.0" {
		t.Errorf("a higher format: %v", err)
	}
	if err := check("format", "x"); err == nil || errors.As(err, &newer) {
		t.Errorf("a format that is no number: %v", err)
	}
}

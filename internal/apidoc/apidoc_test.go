package apidoc

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/events"
)

var update = flag.Bool("update", false, "write the pages")

func TestTheAPIsPageIsCurrent(t *testing.T) {
	t.Parallel()
	methods, err := commands.Methods()
	if err != nil {
		t.Fatal(err)
	}
	current(t, "../../docs/api.md", Render(methods))
}

func TestTheEventsPageIsCurrent(t *testing.T) {
	t.Parallel()
	page, err := RenderEvents(events.Types(), func(typ events.Type) (events.Envelope, error) {
		v, _ := events.Version(typ)
		golden, err := os.ReadFile(fmt.Sprintf("../../events/testdata/%s.v%d.json", typ, v))
		if err != nil {
			return events.Envelope{}, err
		}
		return events.Decode(bytes.TrimSpace(golden))
	})
	if err != nil {
		t.Fatal(err)
	}
	current(t, "../../docs/events.md", page)
}

// current fails the test when a page is not what it should be.
func current(t *testing.T, path, want string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil { //nolint:gosec // a page for everybody
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("%s is not what the code says; run `make generate`:\n%s", path, diff)
	}
}

package apidoc

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/eventschema"
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

// README's table of methods has each method once.
func TestTheReadmeListsTheMethods(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(string(readme), "\n| to | methods |\n|---|---|\n")
	table, _, ends := strings.Cut(after, "\n\n")
	if !found || !ends {
		t.Fatal("README.md has no table of methods")
	}
	var listed []string
	for _, match := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(table, -1) {
		listed = append(listed, match[1])
	}
	methods, err := commands.Methods()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, m := range methods {
		all = append(all, m.Name)
	}
	slices.Sort(listed)
	slices.Sort(all)
	if diff := cmp.Diff(all, listed); diff != "" {
		t.Errorf("README.md: -methods +table\n%s", diff)
	}
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

func TestTheAsyncAPIDocumentIsCurrent(t *testing.T) {
	t.Parallel()
	document, err := eventschema.AsyncAPI()
	if err != nil {
		t.Fatal(err)
	}
	text, err := eventschema.YAML(document)
	if err != nil {
		t.Fatal(err)
	}
	current(t, "../../docs/asyncapi.yaml", "# Written by `make generate` from the Go types of the events; change those, or internal/eventschema.\n"+string(text))
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

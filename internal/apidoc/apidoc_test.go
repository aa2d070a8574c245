package apidoc

import (
	"flag"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/claudebench/claudebench/commands"
)

var update = flag.Bool("update", false, "write docs/api.md")

const page = "../../docs/api.md"

func TestThePageIsCurrent(t *testing.T) {
	t.Parallel()
	methods, err := commands.Methods()
	if err != nil {
		t.Fatal(err)
	}
	want := Render(methods)
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil { //nolint:gosec // a page for everybody
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("docs/api.md is not what the list of commands says; run `make generate`:\n%s", diff)
	}
}

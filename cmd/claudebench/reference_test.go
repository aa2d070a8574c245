package main

import (
	"flag"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/claudebench/claudebench/internal/apidoc"
	"github.com/claudebench/claudebench/internal/config"
)

var update = flag.Bool("update", false, "write docs/reference.md")

func TestTheReferenceIsCurrent(t *testing.T) {
	t.Parallel()
	const path = "../../docs/reference.md"
	want := apidoc.RenderReference(newRoot(), config.Variable)
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil { //nolint:gosec // a public page
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("%s differs from the program's help; run `make generate`:\n%s", path, diff)
	}
}

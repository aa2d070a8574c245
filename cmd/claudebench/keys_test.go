package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claudebench/claudebench/internal/sealtree"
)

func TestKeysNew(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "fleet.key")
	made := execute(t, nil, "keys", "new", "example.com/fleet", "--out", file)
	if made.code != 0 || !strings.HasPrefix(made.out, "example.com/fleet+") || strings.Contains(made.out+made.log, "PRIVATE") {
		t.Fatalf("%+v", made)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
	signer, err := sealtree.ReadSigner(file)
	if err != nil || signer.Verifier != strings.TrimSpace(made.out) {
		t.Errorf("the signer's verifier is %q, %v; printed was %q", signer.Verifier, err, made.out)
	}
	public, err := os.ReadFile(strings.TrimSuffix(file, ".key") + ".pub")
	if err != nil || string(public) != made.out {
		t.Errorf("%q, %v", public, err)
	}
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if again := execute(t, nil, "keys", "new", "example.com/fleet", "--out", file); again.code != exitFailed {
		t.Errorf("a second key: %+v", again)
	}
	if after, err := os.ReadFile(file); err != nil || string(after) != string(before) {
		t.Error("a second key replaced the first one")
	}
}

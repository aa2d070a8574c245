package sealtree

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func newKey(t testing.TB, name string) (Signer, note.Verifier) {
	t.Helper()
	secret, public, err := GenerateKey(name)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := NewSigner(secret)
	if err != nil {
		t.Fatal(err)
	}
	if signer.Verifier != public {
		t.Fatalf("the verifier of the signer is %s, want %s", signer.Verifier, public)
	}
	verifier, err := note.NewVerifier(public)
	if err != nil {
		t.Fatal(err)
	}
	return signer, verifier
}

// proofOf returns the proof of leaf 300 of 600.
func proofOf(t testing.TB, signer Signer) []byte {
	t.Helper()
	dir, err := LockDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	tree := new(Tree)
	grow(t, dir, tree, 600)
	signed, err := Sign(signer, tree.Head())
	if err != nil {
		t.Fatal(err)
	}
	leaf, proof, err := ReadLeaf(t.Context(), dir, tree.Head(), 300)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := ParseLeaf(leaf)
	if err != nil {
		t.Fatal(err)
	}
	return FormatProof(parsed.ID, []byte(`{"n":300}`), 300, proof, signed)
}

// The proof is checked here by golang.org/x/mod alone, line by line as C2SP's tlog-proof says.
func TestProofByHand(t *testing.T) {
	t.Parallel()
	signer, verifier := newKey(t, "example.com/fleet")
	file := string(proofOf(t, signer))
	head, checkpoint, _ := strings.Cut(file, "\n\n")
	lines := strings.Split(head, "\n")
	if lines[0] != "c2sp.org/tlog-proof@v1" || lines[2] != "index 300" {
		t.Fatalf("the proof begins with %q", lines[:3])
	}
	extra, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(lines[1], "extra "))
	if err != nil || string(extra) != "1100-301\n{\"n\":300}" {
		t.Fatalf("extra is %q, %v", extra, err)
	}
	var proof tlog.RecordProof
	for _, line := range lines[3:] {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			t.Fatal(err)
		}
		proof = append(proof, hash)
	}
	opened, err := note.Open([]byte(checkpoint), note.VerifierList(verifier))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Split(opened.Text, "\n")
	root, err := tlog.ParseHash(text[2])
	if err != nil || text[0] != "example.com/fleet" || text[1] != "600" || len(text) != 4 {
		t.Fatalf("the checkpoint is %q, %v", opened.Text, err)
	}
	if err := tlog.CheckRecord(proof, 600, root, 300, tlog.RecordHash(EventLeaf("1100-301", []byte(`{"n":300}`)))); err != nil {
		t.Error(err)
	}
	proven, err := CheckProof([]byte(file), verifier)
	if err != nil || proven.ID != "1100-301" || string(proven.Envelope) != `{"n":300}` || proven.Index != 300 || proven.Tree.N != 600 {
		t.Errorf("got %+v, %v", proven, err)
	}
}

// With any byte changed, a proof fails, or it proves the same event.
func TestChangedProofs(t *testing.T) {
	t.Parallel()
	signer, verifier := newKey(t, "example.com/fleet")
	file := proofOf(t, signer)
	for i := range file {
		changed := append([]byte(nil), file...)
		changed[i] ^= 1
		// The last character of base64 has bits that mean nothing.
		if proven, err := CheckProof(changed, verifier); err == nil && (proven.ID != "1100-301" || string(proven.Envelope) != `{"n":300}` || proven.Index != 300) {
			t.Errorf("byte %d, %q: it proves %+v", i, file[max(0, i-10):i+1], proven)
		}
	}
	_, other := newKey(t, "example.com/fleet")
	if _, err := CheckProof(file, other); err == nil || !strings.Contains(err.Error(), "is not signed by") {
		t.Errorf("with another key: %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	signer, verifier := newKey(t, "example.com/fleet")
	signed, err := Sign(signer, tlog.Tree{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(signed, verifier); err != nil {
		t.Error(err)
	}
	foreign, err := note.Sign(&note.Note{Text: "example.com/other\n0\n" + emptyRoot.String() + "\n"}, signer)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(foreign, verifier); err == nil {
		t.Error("a checkpoint with another origin was taken")
	}
}

func TestKeyFiles(t *testing.T) {
	t.Parallel()
	secret, public, err := GenerateKey("example.com/fleet")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "fleet.key")
	for mode, want := range map[os.FileMode]string{0o600: "", 0o640: "can be read by others (mode 0640)"} {
		if err := os.WriteFile(path, []byte(secret+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := ReadSigner(path)
		if got := fmt.Sprint(err); (err == nil) != (want == "") || !strings.Contains(got, want) || strings.Contains(got, "PRIVATE") {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
	if _, err := ReadVerifier(public); err != nil {
		t.Error(err)
	}
	if _, err := ReadVerifier(path); err == nil || strings.Contains(err.Error(), "PRIVATE") {
		t.Errorf("a signer key as verifier: %v", err)
	}
	for _, bad := range []string{"", "a b", "a+b", "a\nb"} {
		if _, _, err := GenerateKey(bad); err == nil {
			t.Errorf("the name %q was taken", bad)
		}
	}
}

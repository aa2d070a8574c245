package sealtree

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
	"golang.org/x/mod/sumdb/note"
)

// leafHashes parses a bundle as Tessera does.
func leafHashes(bundle []byte) ([][]byte, error) {
	var b api.EntryBundle
	if err := b.UnmarshalText(bundle); err != nil {
		return nil, err
	}
	hashes := make([][]byte, 0, len(b.Entries))
	for _, entry := range b.Entries {
		hashes = append(hashes, rfc6962.DefaultHasher.HashLeaf(entry))
	}
	return hashes, nil
}

// Tessera's fsck and client share no code with this package: they read the folder, and a web server
// that serves it, rebuild each tile and root from the leaves, and check the checkpoint.
func TestTesseraReadsTheSeals(t *testing.T) {
	t.Parallel()
	signer, verifier := newKey(t, "example.com/fleet")
	dir, err := LockDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	web := httptest.NewServer(http.FileServer(http.Dir(dir.Path())))
	defer web.Close()
	address, err := url.Parse(web.URL + "/")
	if err != nil {
		t.Fatal(err)
	}
	overHTTP, err := client.NewHTTPFetcher(address, nil)
	if err != nil {
		t.Fatal(err)
	}
	tree := new(Tree)
	for _, size := range []int64{0, 1, 255, 256, 257, 600, 65_535, 65_536, 65_537, 70_000} {
		grow(t, dir, tree, size)
		signed, err := Sign(signer, tree.Head())
		if err != nil {
			t.Fatal(err)
		}
		if err := dir.Publish(signed); err != nil {
			t.Fatal(err)
		}
		for name, fetcher := range map[string]fsck.Fetcher{"folder": &client.FileFetcher{Root: dir.Path()}, "HTTP": overHTTP} {
			t.Run(fmt.Sprint(name, size), func(t *testing.T) { tesseraReads(t, fetcher, verifier, size) })
		}
	}
}

func tesseraReads(t *testing.T, fetcher fsck.Fetcher, verifier note.Verifier, size int64) {
	head, _, _, err := client.FetchCheckpoint(t.Context(), fetcher.ReadCheckpoint, verifier, verifier.Name())
	if err != nil || head.Size != uint64(size) {
		t.Fatalf("the checkpoint is %+v, %v", head, err)
	}
	if size == 0 {
		return // fsck refuses an empty tree
	}
	if err := fsck.New(verifier.Name(), verifier, fetcher, leafHashes, fsck.Opts{N: 2}).Check(t.Context()); err != nil {
		t.Error(err)
	}
}

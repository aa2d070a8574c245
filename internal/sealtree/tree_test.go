package sealtree

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"
)

func testLeaf(i int64) []byte {
	return EventLeaf(fmt.Sprintf("%d-%d", 1000+i/3, i+1), fmt.Appendf(nil, `{"n":%d}`, i))
}

// reference is a tree as golang.org/x/mod stores it: all hashes in one list.
type reference struct{ hashes []tlog.Hash }

func (r *reference) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		out[i] = r.hashes[x]
	}
	return out, nil
}

func (r *reference) add(t testing.TB, n int64, leaf []byte) {
	t.Helper()
	more, err := tlog.StoredHashes(n, leaf, r)
	if err != nil {
		t.Fatal(err)
	}
	r.hashes = append(r.hashes, more...)
}

// grow appends leaves and writes what a commit writes.
func grow(t testing.TB, dir *Dir, tree *Tree, to int64) {
	t.Helper()
	old := tree.Size()
	for tree.Size() < to {
		if err := tree.Append(testLeaf(tree.Size())); err != nil {
			t.Fatal(err)
		}
	}
	files := tree.Files(old)
	if err := dir.Write(files); err != nil {
		t.Fatal(err)
	}
	tree.Forget()
	dir.Tidy(files)
}

// After any appends and commits, the root is that of golang.org/x/mod, each tile of the tree is in
// the folder, and the right edge can be read back.
func TestTreeIsThatOfTheReference(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		dir, err := LockDir(filepath.Join(t.TempDir(), fmt.Sprint(rapid.Uint64().Draw(r, "folder"))))
		if err != nil {
			r.Fatal(err)
		}
		defer dir.Close()
		tree, ref := new(Tree), new(reference)
		for range rapid.IntRange(1, 6).Draw(r, "commits") {
			to := tree.Size() + rapid.OneOf(rapid.Int64Range(0, 5), rapid.Int64Range(250, 260), rapid.Int64Range(0, 1500)).Draw(r, "leaves")
			for n := tree.Size(); n < to; n++ {
				ref.add(t, n, testLeaf(n))
			}
			grow(t, dir, tree, to)
			want, err := tlog.TreeHash(to, ref)
			if err != nil {
				r.Fatal(err)
			}
			if tree.Root() != want {
				r.Fatalf("size %d: the root is %s, want %s", to, tree.Root(), want)
			}
			for _, tile := range tlog.NewTiles(height, 0, to) {
				data, err := tlog.ReadTileData(tile, ref)
				if err != nil {
					r.Fatal(err)
				}
				got, err := dir.Read(t.Context(), tile)
				if err != nil || !bytes.Equal(data, got) {
					r.Fatalf("size %d: %s differs: %v", to, tile.Path(), err)
				}
			}
			loaded, err := dir.Load(tree.Head())
			if err != nil {
				r.Fatal(err)
			}
			if loaded.Root() != want || loaded.Size() != to || !bytes.Equal(loaded.bundle, tree.bundle) {
				r.Fatalf("size %d: the tree that was read back is another", to)
			}
			tree = loaded
		}
	})
}

// A tile or bundle that is missing, short or changed is found when the edge is read.
func TestLoadFindsDamage(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(string) error{
		"missing": os.Remove,
		"short":   func(path string) error { return os.Truncate(path, 40) },
		"changed": func(path string) error {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			data[len(data)-1] ^= 1
			return os.WriteFile(path, data, 0o600)
		},
	} {
		for _, file := range []string{"tile/0/002.p/88", "tile/1/000.p/2", "tile/entries/002.p/88"} {
			t.Run(name+" "+file, func(t *testing.T) {
				dir, err := LockDir(t.TempDir())
				if err != nil {
					t.Fatal(err)
				}
				defer dir.Close()
				tree := new(Tree)
				grow(t, dir, tree, 600)
				if err := damage(filepath.Join(dir.Path(), file)); err != nil {
					t.Fatal(err)
				}
				var damaged *DamagedError
				if _, err := dir.Load(tree.Head()); !errors.As(err, &damaged) {
					t.Errorf("got %v", err)
				}
			})
		}
	}
}

// A failed write changes nothing that a later one does not repair.
func TestWriteAgainAfterAnError(t *testing.T) {
	t.Parallel()
	dir, err := LockDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	tree := new(Tree)
	for tree.Size() < 1000 {
		if err := tree.Append(testLeaf(tree.Size())); err != nil {
			t.Fatal(err)
		}
	}
	full := errors.New("no space left on device")
	var n atomic.Int32 // files are written at the same time
	dir.Before = func(string) error {
		if n.Add(1) > 3 {
			return full
		}
		return nil
	}
	for _, f := range tree.Files(0) { // one after the other, so that some are written
		_ = dir.Write([]File{f})
	}
	if err := dir.Write(tree.Files(0)); !errors.Is(err, full) {
		t.Fatalf("got %v", err)
	}
	dir.Before = nil
	if err := dir.Write(tree.Files(0)); err != nil {
		t.Fatal(err)
	}
	if _, err := dir.Load(tree.Head()); err != nil {
		t.Error(err)
	}
}

func TestDiscard(t *testing.T) {
	t.Parallel()
	dir, err := LockDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	tree := new(Tree)
	grow(t, dir, tree, 300)
	head := tree.Head()
	grow(t, dir, tree, 310)
	left := filepath.Join(dir.Path(), "tile/0/001.p", temporary+"1")
	if err := os.WriteFile(left, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	dir.Discard(head.N)
	for _, gone := range []string{left, filepath.Join(dir.Path(), "tile/0/001.p/54"), filepath.Join(dir.Path(), "tile/entries/001.p/54")} {
		if _, err := os.Stat(gone); err == nil {
			t.Errorf("%s is still there", gone)
		}
	}
	if _, err := dir.Load(head); err != nil {
		t.Error(err)
	}
}

func TestLockDirTwice(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	dir, err := LockDir(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := LockDir(path); !errors.Is(err, ErrInUse) {
		t.Errorf("got %v", err)
	}
	if err := dir.Close(); err != nil {
		t.Fatal(err)
	}
	if dir, err = LockDir(path); err != nil {
		t.Fatal(err)
	}
	_ = dir.Close()
}

func TestLeaf(t *testing.T) {
	t.Parallel()
	want := sha256.Sum256([]byte(`{"n":1}`))
	leaf, err := ParseLeaf(EventLeaf("17-4", []byte(`{"n":1}`)))
	if err != nil || leaf != (Leaf{Seq: 4, ID: "17-4", Sum: want}) {
		t.Errorf("got %+v, %v", leaf, err)
	}
	leaf, err = ParseLeaf(GoneLeaf(7, "flushed"))
	if err != nil || leaf != (Leaf{Seq: 7, Gone: "flushed"}) {
		t.Errorf("got %+v, %v", leaf, err)
	}
	for _, bad := range []string{"", "17-4", "17-4\n", "017-4\n" + string(want[:]), "17-+4\n" + string(want[:]), "17-4\nx" + string(want[:]), "gone 7\n", "gone 07 flushed\n", "gone 7 flushed\nx"} {
		if leaf, err := ParseLeaf([]byte(bad)); err == nil {
			t.Errorf("%q is the leaf %+v", bad, leaf)
		}
	}
}

package seal

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/fleettest"
	"github.com/claudebench/claudebench/internal/sealtree"
	"github.com/claudebench/claudebench/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// bench is a fleet whose log is sealed into a folder.
type bench struct {
	*fleettest.Fleet
	t      *testing.T
	dir    string
	signer sealtree.Signer
	key    note.Verifier

	heads []tlog.Tree // every checkpoint that was seen
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{Fleet: fleettest.New(t, fleettest.RealRedis(t), commands.Options{}), t: t, dir: filepath.Join(t.TempDir(), "seals")}
	b.signer, b.key = newKey(t)
	if err := b.Client.HSet(t.Context(), b.Keys.Log(), "identity", "log-1").Err(); err != nil {
		t.Fatal(err)
	}
	return b
}

func newKey(t *testing.T) (sealtree.Signer, note.Verifier) {
	t.Helper()
	secret, public, err := sealtree.GenerateKey("example.com/fleet")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := sealtree.NewSigner(secret)
	if err != nil {
		t.Fatal(err)
	}
	key, err := note.NewVerifier(public)
	if err != nil {
		t.Fatal(err)
	}
	return signer, key
}

func (b *bench) sealer(change func(*Config)) *Sealer {
	b.t.Helper()
	cfg := Config{Client: b.Client, Scripts: b.Scripts, Keys: b.Keys, Dir: b.dir, Signer: b.signer, Logger: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

// seal seals up to the log's end.
func (b *bench) seal() error {
	ctx, cancel := context.WithTimeout(b.t.Context(), 20*time.Second)
	defer cancel()
	return b.sealer(nil).RunOnce(ctx)
}

func (b *bench) mustSeal() {
	b.t.Helper()
	if err := b.seal(); err != nil {
		b.t.Fatal(err)
	}
	b.check()
}

// create creates tasks.
func (b *bench) create(n int) {
	for range n {
		b.Create("x", "")
	}
}

// check holds the published tree to the log, and to every checkpoint that was seen before.
func (b *bench) check() tlog.Tree {
	b.t.Helper()
	dir := sealtree.OpenDir(b.dir)
	signed, err := dir.Checkpoint(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	head, err := sealtree.Open(signed, b.key)
	if err != nil {
		b.t.Fatal(err)
	}
	reader := tlog.TileHashReader(head, sealtree.Tiles(b.t.Context(), dir))
	for _, old := range b.heads {
		if old.N == 0 {
			continue
		}
		proof, err := tlog.ProveTree(head.N, old.N, reader)
		if err == nil {
			err = tlog.CheckTree(proof, head.N, head.Hash, old.N, old.Hash)
		}
		if err != nil {
			b.t.Fatalf("the checkpoint of size %d does not contain that of size %d: %v", head.N, old.N, err)
		}
	}
	b.heads = append(b.heads, head)
	log := map[string]string{}
	for _, m := range b.Client.XRange(b.t.Context(), b.Keys.Events(), "-", "+").Val() {
		log[m.ID] = fmt.Sprint(m.Values["data"])
	}
	var first int64
	for i := range head.N {
		bytes, _, err := sealtree.ReadLeaf(b.t.Context(), dir, head, i)
		if err != nil {
			b.t.Fatal(err)
		}
		leaf, err := sealtree.ParseLeaf(bytes)
		if err != nil {
			b.t.Fatal(err)
		}
		if i == 0 {
			first = leaf.Seq
		}
		if leaf.Seq != first+i {
			b.t.Fatalf("leaf %d has seq %d, and leaf 0 has %d", i, leaf.Seq, first)
		}
		if data, there := log[leaf.ID]; there && string(sealtree.EventLeaf(leaf.ID, []byte(data))) != string(bytes) {
			b.t.Fatalf("leaf %d is not that of %s", i, leaf.ID)
		}
	}
	return head
}

// published returns the checkpoint that is in the folder, whatever it is.
func (b *bench) published() tlog.Tree {
	signed, err := sealtree.OpenDir(b.dir).Checkpoint(b.t.Context())
	if err != nil {
		return tlog.Tree{}
	}
	head, err := sealtree.Open(signed, b.key)
	if err != nil {
		b.t.Fatal(err)
	}
	return head
}

func copyDir(t *testing.T, from, to string) {
	t.Helper()
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

func files(t *testing.T, dir string) (list []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			list = append(list, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// rollBack removes the log's last event, as a Redis that was restored from an older file lacks it.
func (b *bench) rollBack(n int64) {
	b.t.Helper()
	for _, m := range b.Client.XRevRangeN(b.t.Context(), b.Keys.Events(), "+", "-", n).Val() {
		if err := b.Client.XDel(b.t.Context(), b.Keys.Events(), m.ID).Err(); err != nil {
			b.t.Fatal(err)
		}
	}
	// As in the file: the stream knows no later ID.
	last := b.Client.XRevRangeN(b.t.Context(), b.Keys.Events(), "+", "-", 1).Val()
	id := last[0].ID
	if err := b.Client.Do(b.t.Context(), "XSETID", b.Keys.Events(), id).Err(); err != nil {
		b.t.Fatal(err)
	}
	if err := b.Client.HIncrBy(b.t.Context(), b.Keys.Log(), "seq", -n).Err(); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) records() map[string]string {
	record, err := b.Client.HGetAll(b.t.Context(), b.Keys.Seal()).Result()
	if err != nil && err != redis.Nil { //nolint:errorlint // Redis's own
		b.t.Fatal(err)
	}
	return record
}

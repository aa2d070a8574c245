package seal

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/claudebench/claudebench/internal/fleettest"
	"github.com/claudebench/claudebench/internal/sealtree"
	"github.com/claudebench/claudebench/internal/testenv"
)

func TestSealsFollowTheLog(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.mustSeal()
	if head := b.check(); head.N != 0 {
		t.Errorf("an empty log has %d leaves", head.N)
	}
	for _, n := range []int{1, 3, 300} {
		b.create(n)
		b.mustSeal()
		if head := b.check(); head.N != b.Seq() {
			t.Errorf("%d leaves, %d events", head.N, b.Seq())
		}
	}
}

// While it runs, a sealer is at most a second behind, and it seals what is in the log when it ends.
func TestSealsWhileItRuns(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ctx, stop := context.WithCancel(t.Context())
	s := b.sealer(nil)
	ended := make(chan struct{})
	go func() { defer close(ended); s.Run(ctx) }()
	for range 3 {
		b.create(20)
		testenv.Eventually(t, 10*time.Second, func() (bool, string) {
			st := s.Status()
			return st.Last.Seq == b.Seq(), st.Problem
		})
	}
	b.create(5)
	s.Finish(t.Context())
	stop()
	<-ended
	if head := b.check(); head.N != b.Seq() {
		t.Errorf("%d leaves, %d events", head.N, b.Seq())
	}
	if state, err := Read(t.Context(), b.Scripts, ""); err != nil || state.Events != 0 || state.Held {
		t.Errorf("%+v, %v", state, err)
	}
}

// A sealer that is stopped at any step, as by kill -9, leaves a folder from which the next one goes
// on with the same tree.
func TestKilledAtEachStep(t *testing.T) {
	t.Parallel()
	for _, step := range []string{StepWrite, "sign", StepRecord, StepPublish, StepTidy} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.create(250)
			b.mustSeal()
			for _, more := range []int{3, 10} {
				b.create(more)
				ctx, kill := context.WithCancel(t.Context())
				b.sealer(func(c *Config) {
					c.At = func(at string) error {
						if at == step {
							kill()
							return errors.New("killed")
						}
						return nil
					}
				}).Run(ctx)
				if head := b.published(); step != StepTidy && head.N != b.heads[len(b.heads)-1].N {
					t.Errorf("killed at %s, it published %d leaves", step, head.N)
				}
				b.create(1)
				b.mustSeal()
			}
		})
	}
}

// A sealer that is killed while it writes leaves some of the files.
func TestKilledWhileWriting(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.create(250)
	b.mustSeal()
	b.create(20)
	ctx, kill := context.WithCancel(t.Context())
	s := b.sealer(nil)
	var n atomic.Int32
	s.cfg.At = func(at string) error {
		s.dir.Before = func(string) error {
			if n.Add(1) > 2 {
				kill()
				return errors.New("killed")
			}
			return nil
		}
		return nil
	}
	s.Run(ctx)
	if n.Load() < 3 {
		t.Fatal("nothing was written")
	}
	b.create(5)
	b.mustSeal()
	for _, f := range files(t, b.dir) {
		if strings.Contains(f, ".tmp-") {
			t.Errorf("%s is left", f)
		}
	}
}

// While the disk is full, nothing is published and nothing is skipped.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	for _, step := range []string{StepWrite, StepPublish} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.create(3)
			b.mustSeal()
			b.create(5)
			var full atomic.Bool
			full.Store(true)
			s := b.sealer(func(c *Config) {
				c.At = func(at string) error {
					if at == step && full.Load() {
						return syscall.ENOSPC
					}
					return nil
				}
			})
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan struct{})
			go func() { defer close(ended); s.Run(ctx) }()
			testenv.Eventually(t, 10*time.Second, func() (bool, string) {
				st := s.Status()
				return strings.Contains(st.Problem, "no space left") && s.Failures()["disk"] > 0, st.Problem
			})
			if head := b.published(); head.N != 3 {
				t.Errorf("it published %d leaves", head.N)
			}
			b.create(4)
			full.Store(false)
			testenv.Eventually(t, 10*time.Second, func() (bool, string) {
				st := s.Status()
				return st.Last.Seq == b.Seq() && st.Problem == "", st.Problem
			})
			stop()
			<-ended
			b.check()
		})
	}
}

// wantRefused seals, and expects a refusal that says so and changes nothing.
func (b *bench) wantRefused(says ...string) {
	b.t.Helper()
	before := b.records()
	err := b.seal()
	var refused *RefusedError
	if !errors.As(err, &refused) {
		b.t.Fatalf("got %v, want a refusal that says %q", err, says)
	}
	for _, say := range says {
		if !strings.Contains(err.Error(), say) {
			b.t.Errorf("got %q, want %q", err, say)
		}
	}
	if after := b.records(); after["size"] != before["size"] || after["note"] != before["note"] {
		b.t.Errorf("the record is %v, and was %v", after, before)
	}
}

func TestRefuses(t *testing.T) {
	t.Parallel()
	remove := func(t *testing.T, path string) {
		t.Helper()
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		damage func(t *testing.T, b *bench)
		says   []string
	}{
		"a restored folder": {func(t *testing.T, b *bench) {
			copyDir(t, b.dir, b.dir+"-old")
			b.create(20)
			b.mustSeal()
			copyDir(t, b.dir+"-old", b.dir)
		}, []string{"is older than the last checkpoint that was signed: it has 300 leaves, and 320 were signed at", "restored from a backup"}},
		"an empty folder": {func(t *testing.T, b *bench) { remove(t, b.dir) }, []string{"is empty, but this log is sealed up to event"}},
		"another key":     {func(t *testing.T, b *bench) { b.signer, b.key = newKey(t) }, []string{"is sealed with the key example.com/fleet+", "one tree has one key"}},
		"another key and folder": {func(t *testing.T, b *bench) {
			b.signer, b.key = newKey(t)
			b.dir += "-new"
		}, []string{"this log is sealed with the key example.com/fleet+"}},
		"another log": {func(t *testing.T, b *bench) {
			if err := b.Client.HSet(t.Context(), b.Keys.Log(), "identity", "log-2").Err(); err != nil {
				t.Fatal(err)
			}
		}, []string{"are of the log log-1, but this Redis has the log log-2"}},
		"a Redis without the record": {func(t *testing.T, b *bench) {
			if err := b.Client.Del(t.Context(), b.Keys.Seal()).Err(); err != nil {
				t.Fatal(err)
			}
		}, []string{"has 300 leaves, but this Redis does not know of any seals"}},
		"another root in Redis": {func(t *testing.T, b *bench) {
			if err := b.Client.HSet(t.Context(), b.Keys.Seal(), "root", strings.Repeat("A", 43)+"=").Err(); err != nil {
				t.Fatal(err)
			}
		}, []string{"is not the tree that was signed"}},
		"a missing tile": {func(t *testing.T, b *bench) { remove(t, filepath.Join(b.dir, "tile/0/001.p")) }, []string{"the seals are damaged: tile/0/001.p/44 is missing"}},
		"no checkpoint":  {func(t *testing.T, b *bench) { remove(t, filepath.Join(b.dir, "checkpoint")) }, []string{"it has 0 leaves, and 300 were signed"}},
		"a changed checkpoint": {func(t *testing.T, b *bench) {
			path := filepath.Join(b.dir, "checkpoint")
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(strings.Replace(string(text), "300", "299", 1)), 0o600); err != nil {
				t.Fatal(err)
			}
		}, []string{"the seals in", "are damaged"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.create(300)
			b.mustSeal()
			c.damage(t, b)
			b.create(1)
			b.wantRefused(c.says...)
		})
	}
}

// A Redis that was restored from an older file has an older record. The folder has all that was
// signed, so sealing goes on if the log still has the sealed events.
func TestOlderRecord(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.create(10)
	b.mustSeal()
	old := b.records()
	b.create(300)
	b.mustSeal()
	if err := b.Client.HSet(t.Context(), b.Keys.Seal(), "size", old["size"], "root", old["root"], "note", old["note"], "last", old["last"]).Err(); err != nil {
		t.Fatal(err)
	}
	b.create(1)
	b.mustSeal()
	if head := b.check(); head.N != b.Seq() {
		t.Errorf("%d leaves, %d events", head.N, b.Seq())
	}
}

// A log that lost sealed events stops sealing, also after it has grown past them. Only a new tree
// with a new key goes on.
func TestRolledBackLog(t *testing.T) {
	t.Parallel()
	for name, regrow := range map[string]int{"shorter": 0, "grown again": 10} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.create(20)
			b.mustSeal()
			sealed := b.records()["last"]
			b.rollBack(4)
			b.create(regrow)
			for range 2 { // the second time, the record says why
				b.wantRefused("the log was rolled back: event "+sealed+" is sealed and is missing now", "--new-tree")
			}
			state, err := Read(t.Context(), b.Scripts, "")
			if err != nil || !strings.Contains(state.Record.Stopped, "rolled back") || state.Record.StoppedAt == 0 {
				t.Fatalf("%+v, %v", state, err)
			}
			if err := GiveUp(t.Context(), b.Scripts, b.signer.Verifier); err == nil {
				t.Error("the old key was taken")
			}
			b.signer, b.key = newKey(t)
			b.dir, b.heads = b.dir+"-new", nil
			if err := GiveUp(t.Context(), b.Scripts, b.signer.Verifier); err != nil {
				t.Fatal(err)
			}
			b.mustSeal()
			b.create(2)
			b.mustSeal()
			if head := b.check(); head.N != b.Seq() {
				t.Errorf("%d leaves, %d events", head.N, b.Seq())
			}
		})
	}
}

// The log loses events while a sealer runs.
func TestRolledBackWhileItRuns(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.create(20)
	s := b.sealer(nil)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); s.Run(ctx) }()
	testenv.Eventually(t, 10*time.Second, func() (bool, string) { return s.Status().Last.Seq == 20, s.Status().Problem })
	b.rollBack(4)
	b.create(1)
	testenv.Eventually(t, 10*time.Second, func() (bool, string) {
		st := s.Status()
		return st.Refused && strings.Contains(st.Problem, "rolled back"), st.Problem
	})
	stop()
	<-ended
}

// Events that a flush removes before they are sealed have leaves that say so.
func TestFlushedBeforeItIsSealed(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.create(3)
	b.mustSeal()
	b.create(4)
	b.Flush(fleettest.Confirmed)
	b.mustSeal()
	head := b.check()
	if head.N != b.Seq() {
		t.Errorf("%d leaves, %d events", head.N, b.Seq())
	}
	bytes, _, err := sealtree.ReadLeaf(t.Context(), sealtree.OpenDir(b.dir), head, 5)
	if err != nil || string(bytes) != "gone 6 flushed\n" {
		t.Errorf("leaf 5 is %q, %v", bytes, err)
	}
}

// Of two sealers with one folder, one seals; when it ends, the other takes over.
func TestTwoSealers(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.create(3)
	ctx, stop := context.WithCancel(t.Context())
	first, second := b.sealer(nil), b.sealer(nil)
	ended := make(chan struct{})
	go func() { defer close(ended); first.Run(ctx) }()
	testenv.Eventually(t, 10*time.Second, func() (bool, string) { return first.Status().Holder, first.Status().Problem })
	both, stopBoth := context.WithCancel(t.Context())
	endedToo := make(chan struct{})
	go func() { defer close(endedToo); second.Run(both) }()
	b.create(3)
	testenv.Eventually(t, 10*time.Second, func() (bool, string) { return first.Status().Last.Seq == 6, first.Status().Problem })
	if st := second.Status(); st.Holder || st.Problem != "" {
		t.Errorf("%+v", st)
	}
	stop()
	<-ended
	b.create(3)
	testenv.Eventually(t, 10*time.Second, func() (bool, string) { return second.Status().Last.Seq == 9, second.Status().Problem })
	stopBoth()
	<-endedToo
	b.check()
}

// A sealer that lost the lease to another one publishes nothing.
func TestALostLeasePublishesNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.create(3)
	b.mustSeal()
	b.create(3)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	s := b.sealer(func(c *Config) {
		c.At = func(at string) error {
			if at == StepRecord {
				stop()
				return b.Client.Set(t.Context(), b.Keys.Lease(LeaseName), "another", time.Minute).Err()
			}
			return nil
		}
	})
	s.Run(ctx)
	if head := b.published(); head.N != 3 {
		t.Errorf("it published %d leaves", head.N)
	}
}

package audit_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/fleettest"
	"github.com/claudebench/claudebench/internal/testenv"
	"github.com/claudebench/claudebench/internal/verification"
)

// step is what a verification calls regularly.
type step = func(context.Context, verification.Position) error

// gate is a verification that waits in the middle.
type gate struct {
	began  atomic.Int64
	open   chan struct{}
	result api.AuditResult
	err    error
}

func newGate(result api.AuditResult) *gate { return &gate{open: make(chan struct{}), result: result} }

func (g *gate) verify(ctx context.Context, to step) (api.AuditResult, error) {
	g.began.Add(1)
	for {
		if err := to(ctx, verification.Position{Doing: "folding <the log>", Events: 7, Total: 9}); err != nil {
			return api.AuditResult{}, err
		}
		select {
		case <-g.open:
			return g.result, g.err
		case <-time.After(time.Millisecond):
		}
	}
}

func status(f *fleettest.Fleet) api.AuditStatusResult {
	f.T.Helper()
	return fleettest.Decoded[api.AuditStatusResult](f.T, f.OK("audit.status", `{}`))
}

func verify(f *fleettest.Fleet) api.VerifyResult {
	f.T.Helper()
	return fleettest.Decoded[api.VerifyResult](f.T, f.OK("audit.verify", `{}`))
}

// ended waits for the result of a verification.
func ended(f *fleettest.Fleet) api.AuditResult {
	f.T.Helper()
	var last *api.AuditResult
	testenv.Eventually(f.T.(testing.TB), fleettest.Patience, func() (bool, string) {
		got := status(f)
		last = got.Last
		return got.Running == nil && last != nil, fmt.Sprintf("%+v", got)
	})
	return *last
}

// At most one verification runs in a fleet, and every coordinator tells how far it is and what it
// found.
func TestVerify(t *testing.T) {
	damage := "task t-1: \"\x1b[31m\\u2028…</script>\" is not what the log says"
	g := newGate(api.AuditResult{Base: 1, LastSeq: 4, Events: 4, Damages: []string{damage, strings.Repeat("é", 2000)}, DamagesTotal: 123, Gaps: []api.AuditGap{{From: 2, To: 3, Reason: "missing"}}})
	fleettest.Everywhere(t, commands.Options{Tokens: fleettest.FleetTokens()}, func(t *testing.T, f *fleettest.Fleet) {
		g := newGate(g.result)
		f.With(func(o *commands.Options) { o.Verify = g.verify })
		call := func(f *fleettest.Fleet, name, method string) (r api.VerifyResult) {
			return fleettest.Decoded[api.VerifyResult](t, f.May(name, method, `{}`))
		}
		f.MayNot("alice", "audit.verify needs a token with the role auditor, operator or admin", "audit.verify", `{}`)
		first := call(f, "audit", "audit.verify")
		if !first.Started || first.Running.StartedBy != "audit" || first.Running.Coordinator != f.Options.Name || first.Running.StartedAt == "" {
			t.Errorf("began: %+v", first)
		}
		other := f.Beside()
		for _, f := range []*fleettest.Fleet{f, other} {
			again := call(f, "ops", "audit.verify")
			again.Running.Doing, again.Running.Events, again.Running.Total = "", 0, 0
			if diff := cmp.Diff(api.VerifyResult{Running: first.Running}, again); diff != "" {
				t.Errorf("while it runs: -want +got\n%s", diff)
			}
		}
		want := first.Running
		want.Doing, want.Events, want.Total = "folding <the log>", 7, 9
		testenv.Eventually(t, fleettest.Patience, func() (bool, string) {
			got := fleettest.Decoded[api.AuditStatusResult](t, other.May("alice", "audit.status", `{}`))
			return cmp.Equal(&want, got.Running) && got.Last == nil, fmt.Sprintf("%+v", got.Running)
		})
		close(g.open)
		var got api.AuditStatusResult
		testenv.Eventually(t, fleettest.Patience, func() (bool, string) {
			got = fleettest.Decoded[api.AuditStatusResult](t, other.May("alice", "audit.status", `{}`))
			return got.Running == nil && got.Last != nil, fmt.Sprintf("%+v", got)
		})
		if g.began.Load() != 1 {
			t.Errorf("%d verifications ran", g.began.Load())
		}
		long := got.Last.Damages[1]
		if len(long) > 1100 || !strings.HasSuffix(long, "é… (4000 bytes)") {
			t.Errorf("the long sentence is %q", long)
		}
		result := g.result
		result.StartedAt, result.StartedBy, result.Coordinator, result.Notes = first.Running.StartedAt, "audit", f.Options.Name, []string{}
		result.Damages = []string{damage, long}
		if diff := cmp.Diff(&result, got.Last, cmpopts.IgnoreFields(api.AuditResult{}, "FinishedAt")); diff != "" || got.Last.FinishedAt < got.Last.StartedAt {
			t.Errorf("-want +got\n%s", diff)
		}
		if f.Seq() != 0 {
			t.Error("a verification emitted an event")
		}
	})
}

// The result says whether everything agrees, and why a verification ended early.
func TestResults(t *testing.T) {
	for name, c := range map[string]struct {
		verify verification.Func
		ok     bool
		error  string
	}{
		"all agrees": {func(context.Context, step) (api.AuditResult, error) { return api.AuditResult{Events: 3}, nil }, true, ""},
		"a damage":   {func(context.Context, step) (api.AuditResult, error) { return api.AuditResult{DamagesTotal: 1}, nil }, false, ""},
		"no store": {func(context.Context, step) (api.AuditResult, error) {
			return api.AuditResult{}, errors.New("verify: no Redis")
		}, false, "verify: no Redis"},
		"a bug":        {func(context.Context, step) (api.AuditResult, error) { panic("a bug") }, false, "it failed because of a bug"},
		"not possible": {nil, false, "cannot verify"},
	} {
		t.Run(name, func(t *testing.T) {
			fleettest.Everywhere(t, commands.Options{Verify: c.verify}, func(t *testing.T, f *fleettest.Fleet) {
				verify(f)
				if got := ended(f); got.OK != c.ok || (got.Error == "") != (c.error == "") || !strings.HasPrefix(got.Error, c.error) && !strings.Contains(got.Error, c.error) {
					t.Errorf("%+v", got)
				}
				if !verify(f).Started {
					t.Error("another one does not start")
				}
				ended(f)
			})
		})
	}
}

// A coordinator that is stopped ends its verification, and the result says so.
func TestAStoppedCoordinator(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		g := newGate(api.AuditResult{})
		f.With(func(o *commands.Options) { o.Verify = g.verify })
		verify(f)
		other := f.Beside()
		f.Stop()
		if got := status(other); got.Running != nil || got.Last == nil || got.Last.OK || !strings.HasPrefix(got.Last.Error, "interrupted") {
			t.Errorf("%+v", got)
		}
		if !verify(other).Started {
			t.Error("another one does not start")
		}
	})
}

// A verification whose coordinator was killed has no result, and another one may begin when the
// lease has ended. If that coordinator lives after all, it ends its own and stores nothing.
func TestALostVerification(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		lost, mine := newGate(api.AuditResult{DamagesTotal: 1}), newGate(api.AuditResult{Events: 5})
		f.With(func(o *commands.Options) { o.Verify = lost.verify })
		began := verify(f).Running
		other := f.Beside()
		other.With(func(o *commands.Options) { o.Verify = mine.verify })

		id := f.Hash(f.Keys.Verification())["id"]
		f.Put([]any{"HSET", f.Keys.Verification(), "id", "of a coordinator that is gone", "until", 1000})
		got := status(other)
		if got.Running != nil || got.Last == nil || got.Last.Error != verification.Lost || got.Last.StartedAt != began.StartedAt || got.Last.OK {
			t.Errorf("after the lease: %+v", got)
		}
		if again := verify(other); !again.Started || again.Running.Coordinator != other.Options.Name || id == "" {
			t.Errorf("began: %+v", again)
		}
		close(lost.open)
		f.Stop() // waits until the lost one has ended
		if got := status(other); got.Running == nil || got.Last != nil {
			t.Errorf("the lost one has ended: %+v", got)
		}
		close(mine.open)
		if got := ended(other); !got.OK || got.Events != 5 {
			t.Errorf("%+v", got)
		}
	})
}

// A coordinator that has lost its lease notices it without a call.
func TestALostLease(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		ending := make(chan error, 1)
		f.With(func(o *commands.Options) {
			o.Verify = func(ctx context.Context, _ step) (api.AuditResult, error) {
				<-ctx.Done()
				ending <- context.Cause(ctx)
				return api.AuditResult{}, ctx.Err()
			}
		})
		verify(f)
		f.Put([]any{"HSET", f.Keys.Verification(), "id", "another"})
		select {
		case err := <-ending:
			if !strings.Contains(err.Error(), "another verification began") {
				t.Error(err)
			}
		case <-time.After(fleettest.Patience):
			t.Error("it goes on")
		}
	})
}

// The status describes the log, also after a flush, which keeps the result of the last verification.
func TestStatusOfTheLog(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		missing := api.AuditGap{From: 2, To: 2, Reason: "missing"}
		f.With(func(o *commands.Options) {
			o.Verify = func(context.Context, step) (api.AuditResult, error) {
				return api.AuditResult{Gaps: []api.AuditGap{missing}}, nil
			}
		})
		if diff := cmp.Diff(api.AuditStatusResult{Log: api.AuditLog{Base: 1}, Gaps: []api.AuditGap{}}, status(f)); diff != "" {
			t.Errorf("empty: -want +got\n%s", diff)
		}
		for range 3 {
			f.Create("x", "")
		}
		verify(f)
		ended(f)
		events := f.Events()
		want := api.AuditLog{Base: 1, FirstSeq: 1, FirstID: events[0].ID, LastSeq: 3, LastID: events[2].ID, Events: 3}
		got := status(f)
		if diff := cmp.Diff(want, got.Log); diff != "" || !cmp.Equal(got.Gaps, []api.AuditGap{missing}) {
			t.Errorf("%v -want +got\n%s", got.Gaps, diff)
		}
		f.Flush(fleettest.Confirmed)
		f.Create("y", "")
		got = status(f)
		if got.Log.Base != 4 || got.Log.FirstSeq != 4 || got.Log.LastSeq != 5 || got.Log.Events != 2 || !cmp.Equal(got.Gaps, []api.AuditGap{{From: 1, To: 3, Reason: "flushed"}}) {
			t.Errorf("after a flush: %+v", got)
		}
		if got.Last == nil || !got.Last.OK {
			t.Errorf("after a flush, the last result is %+v", got.Last)
		}
		f.Flush(fleettest.Confirmed)
	})
}

package system_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/fleettest"
	"github.com/claudebench/claudebench/lua"
)

// goneAfter makes Redis unavailable after a number of runs of a script, until back is set.
type goneAfter struct {
	script *lua.Script
	runs   atomic.Int64 // runs that are left
	back   atomic.Bool
}

func (*goneAfter) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (*goneAfter) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }
func (g *goneAfter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		ours := slices.ContainsFunc(cmds, func(cmd redis.Cmder) bool { return len(cmd.Args()) > 1 && cmd.Args()[1] == g.script.SHA })
		if !ours || g.back.Load() || g.runs.Add(-1) >= 0 {
			return next(ctx, cmds)
		}
		gone := &net.OpError{Op: "dial", Err: errors.New("gone")}
		for _, cmd := range cmds {
			cmd.SetErr(gone)
		}
		return gone
	}
}

// "Redis unavailable" means that nothing changed, so a batch that has begun must not return it.
func TestABatchThatHasBegunTellsHowFarItIs(t *testing.T) {
	t.Parallel()
	for done, want := range map[int64]string{
		0: `{"processed":false,"processorId":"a","itemsProcessed":0,"total":120}`,
		1: `{"processed":false,"processorId":"a","itemsProcessed":50,"total":120}`,
	} {
		f := fleettest.New(t, fleettest.RealRedis(t), commands.Options{})
		f.Unhurried()
		f.Register("a", `[]`, "")
		// The script is loaded already, so each run is one round trip.
		if err := f.Client.ScriptLoad(t.Context(), lua.Named("process_batch_chunk").Source).Err(); err != nil {
			t.Fatal(err)
		}
		gone := &goneAfter{script: lua.Named("process_batch_chunk")}
		gone.runs.Store(done)
		f.Client.AddHook(gone)
		batch := `{"batchId":"b","instanceId":"a","items":` + fleettest.ItemsOf(120) + `}`
		if got := string(f.OK("system.batch.process", "%s", batch)); got != want {
			t.Errorf("answered %s, want %s", got, want)
		}
		gone.back.Store(true)
		if got := string(f.OK("system.batch.process", "%s", batch)); got != `{"processed":true,"processorId":"a","itemsProcessed":120,"total":120}` {
			t.Errorf("then answered %s", got)
		}
		if n := f.Client.ZCard(t.Context(), f.Keys.Open()).Val(); n != 120 {
			t.Errorf("%d tasks were made", n)
		}
		f.Verify()
	}
}

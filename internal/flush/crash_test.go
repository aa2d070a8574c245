package flush_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/fleettest"
	"github.com/claudebench/claudebench/internal/flush"
	"github.com/claudebench/claudebench/lua"
)

// At whatever step a coordinator dies, another one finishes or undoes the flush as soon as it can.
func TestFlushIsLeftBehind(t *testing.T) {
	redisOnly := `{"confirm":"FLUSH_ALL_DATA","includePostgres":false}`
	for _, test := range []struct {
		step, params string
		postgres     bool
		finished     bool
		needs        bool // needs Postgres to continue
	}{
		{"begun", fleettest.Confirmed, true, false, false},
		{"fenced", fleettest.Confirmed, true, false, true},
		{"settled", fleettest.Confirmed, true, false, true},
		{"rows", fleettest.Confirmed, true, true, true},
		{"deleting", fleettest.Confirmed, true, true, false},
		{"deleted", fleettest.Confirmed, true, true, false},
		{"begun", redisOnly, true, false, false},
		{"fenced", redisOnly, true, false, false},
		{"settled", redisOnly, true, false, false},
		{"deleting", redisOnly, true, true, false},
		{"deleted", redisOnly, true, true, false},
		{"fenced", fleettest.Confirmed, false, false, false},
		{"deleting", fleettest.Confirmed, false, true, false},
	} {
		for _, away := range []bool{false, true} {
			if away && !test.postgres {
				continue
			}
			name := fmt.Sprintf("%s/all=%t/postgres=%t/away=%t", test.step, test.params == fleettest.Confirmed, test.postgres, away)
			t.Run(name, func(t *testing.T) {
				fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
					var rows *fleettest.Rows
					if test.postgres {
						rows = f.WithRows(9)
					}
					f.Populate()
					f.Put([]any{"HSET", f.Keys.Prefix() + "health:monitor", "tick", time.Now().UnixMilli(), "patience", 0},
						[]any{"HSET", f.Keys.Leader(), "until", time.Now().Add(patience10).UnixMilli()}) // no heartbeat for a while
					keys, last, before := f.Flushable(), f.Seq(), f.Snapshot()
					f.Crashed(test.step, test.params)
					f.SweepOnce() // its lease has not ended
					if f.Hash(f.Keys.Log())["flush"] == "" {
						t.Fatal("it is over before its lease")
					}
					if away {
						rows.Away.Store(true)
					}
					f.Expire()
					if away && test.needs {
						other := f.Beside()
						for range 2 {
							if err := other.Sweep(t.Context()); err == nil || !strings.Contains(err.Error(), "commands are rejected until") {
								t.Fatalf("without Postgres: %v", err)
							}
							f.Refused(api.CodeConflict, `{"reason":"FLUSH_IN_PROGRESS"}`, "task.create", `{"text":"x"}`)
						}
						// A coordinator without Postgres must not decide either.
						blind := f.Beside()
						blind.With(func(o *commands.Options) { o.Rows = nil })
						if err := blind.Sweep(t.Context()); err == nil || !strings.Contains(err.Error(), "--database-url") {
							t.Fatalf("without a database: %v", err)
						}
						rows.Away.Store(false)
					}
					f.SweepOnce()
					if test.finished {
						wasFlushed(f, t, last, int64(len(keys)), rows, test.params == fleettest.Confirmed && test.postgres)
					} else {
						wasUndone(f, t, before, rows, test.step != "begun")
					}
					f.Register("later", `[]`, "")
					f.Create("later", "")
				})
			})
		}
	}
}

func wasFlushed(f *fleettest.Fleet, t *testing.T, last, keys int64, rows *fleettest.Rows, all bool) {
	t.Helper()
	postgres := ""
	if all {
		postgres = `"postgres":{"tasksDeleted":9},`
	}
	// The monitor's sweep after the flush has started its patience.
	event := f.Emitted(last, "system.flushed")[0]
	want := fmt.Sprintf(`{"redis":%d,%s"timestamp":`, keys, postgres)
	if !strings.HasPrefix(string(event.Payload), want) || event.Actor != "anonymous" || *event.Cause != "req-1" {
		t.Errorf("payload %s of %s, want %s", event.Payload, event.Actor, want)
	}
	if rows != nil && (rows.Tasks == 0) != all {
		t.Errorf("%d rows are left", rows.Tasks)
	}
	if log := f.Hash(f.Keys.Log()); log["fence"] != "" || log["flush"] != "" || log["flushes"] == "" {
		t.Errorf("the log's hash is %v", log)
	}
}

func wasUndone(f *fleettest.Fleet, t *testing.T, before map[string]any, rows *fleettest.Rows, wasFenced bool) {
	t.Helper()
	after := f.Snapshot()
	monitor := f.Keys.Prefix() + "health:monitor"
	patience, leader := after[monitor], after[f.Keys.Leader()]
	for _, all := range []map[string]any{before, after} {
		delete(all, monitor)
		delete(all, f.Keys.Leader())
	}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("undone, and changed: %s", diff)
	}
	if rows != nil && rows.Tasks != 9 {
		t.Errorf("%d rows are left", rows.Tasks)
	}
	if !wasFenced {
		return
	}
	// For one TTL no instance is declared dead, and the leader keeps the lead.
	soon := time.Now().Add(f.Options.InstanceTTL - patience10).UnixMilli()
	for what, fields := range map[string]any{"patience": patience, "until": leader} {
		var until int64
		if _, err := fmt.Sscan(fields.(map[string]string)[what], &until); err != nil || until < soon {
			t.Errorf("%s %v ends before %d (%v)", what, fields, soon, err)
		}
	}
	if ttl := f.Client.PTTL(t.Context(), f.Keys.Instance("w")).Val(); ttl < f.Options.InstanceTTL-patience10 || ttl > f.Options.InstanceTTL {
		t.Errorf("the instance expires in %v", ttl)
	}
}

// patience10 is how long ago an event may be that has just happened, on a busy machine.
const patience10 = 10 * time.Second

// A coordinator that was declared dead before it deleted the rows no longer deletes anything.
func TestFlushOfACoordinatorTakenForDead(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		rows := f.WithRows(9)
		f.Populate()
		before := f.Snapshot()
		rows.Before = func(string) {
			f.Expire()
			f.SweepOnce() // decides that the rows stay
		}
		_, err := f.Do("system.flush", fleettest.Confirmed)
		var known *api.Error
		if !errors.As(err, &known) || known.Code == api.CodeInvalidParams {
			t.Errorf("answered %v", err)
		}
		rows.Before = nil
		delete(before, f.Keys.Prefix()+"health:monitor")
		wasUndone(f, t, before, rows, true)
	})
}

// A coordinator that was declared dead after the point of no return returns the flush's result.
func TestFlushIsFinishedByAnother(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.WithRows(9)
		f.Populate()
		keys, last := f.Flushable(), f.Seq()
		var once sync.Once
		f.Dies = func(ctx context.Context, step string) bool {
			if step == "deleting" {
				once.Do(func() {
					f.Expire()
					f.SweepOnce()
				})
			}
			return false
		}
		got := f.Flush(fleettest.Confirmed)
		f.Dies = nil
		if got.Redis.KeysDeleted != int64(len(keys)) || got.Postgres == nil || got.Postgres.TasksDeleted != 9 {
			t.Errorf("answered %+v", got)
		}
		f.Emitted(last, "system.flushed")
	})
}

// If Postgres commits without a confirmation, the coordinator asks it for the outcome.
func TestFlushWhoseCommitIsNotConfirmed(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		rows := f.WithRows(9)
		f.Populate()
		rows.After = func(string, error) error { return errors.New("connection reset") }
		if got := f.Flush(fleettest.Confirmed); got.Postgres == nil || got.Postgres.TasksDeleted != 9 {
			t.Errorf("answered %+v", got)
		}
	})
}

// A run that has lost its lease changes nothing in Redis, whatever its next step was.
func TestFlushScriptsCheckWhoRunsThem(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.WithRows(9)
		f.Populate()
		for _, step := range []string{"begun", "fenced", "deleting", "deleted"} {
			f.Crashed(step, fleettest.Confirmed)
			id := f.Hash(f.Keys.Log())["flush"]
			f.Put([]any{"HSET", f.Keys.Log(), "flushUntil", time.Now().Add(time.Hour).UnixMilli()})
			f.Snapshotted(t, func() {
				for _, who := range [][2]string{{id, "run:another"}, {"another", "run:" + id}} {
					id, holder := who[0], who[1]
					for script, args := range map[*lua.Script][]any{
						lua.Named("fence_flush"): {id, holder, 5000}, lua.Named("spare_instances"): {id, holder, 0, 0}, lua.Named("delete_flushed_keys"): {id, holder, 5000, "", "0"},
						lua.Named("finish_flush"): {id, holder},
					} {
						_, err := f.Scripts.Run(t.Context(), script, args...)
						if !flush.LeaseLost(t.Context(), err) {
							t.Errorf("%s after %s as %v: %v", script.Name, step, who, err)
						}
					}
					for _, phase := range []string{flush.Draining, flush.Fenced, flush.Deleting} {
						_, err := f.Scripts.Run(t.Context(), lua.Named("undo_flush"), id, holder, phase, 1000)
						if holder == "run:another" && !flush.LeaseLost(t.Context(), err) {
							t.Errorf("undone after %s as %v: %v", step, who, err)
						}
					}
				}
				now := f.Hash(f.Keys.Log())
				for _, phase := range []string{flush.Draining, flush.Fenced, flush.Deleting} {
					if phase == now["flushPhase"] && phase != flush.Deleting {
						continue
					}
					// A flush that has got further than expected, or that deletes keys, is not
					// undone.
					_, err := f.Scripts.Run(t.Context(), lua.Named("undo_flush"), id, now["flushHolder"], phase, 1000)
					if !flush.LeaseLost(t.Context(), err) {
						t.Errorf("undone after %s as if it were %s: %v", step, phase, err)
					}
				}
				if reply, err := f.Scripts.Run(t.Context(), lua.Named("hold_flush"), "run:another", 5000); err != nil || !strings.Contains(reply.(string), `"mine":false`) {
					t.Errorf("held after %s: %v, %v", step, reply, err)
				}
			})
			f.Expire()
			f.SweepOnce()
			f.Populate()
		}
	})
}

// A flush that has begun continues after its caller has gone.
func TestFlushGoesOnWithoutItsCaller(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.WithRows(9)
		f.Populate()
		ctx, leave := context.WithCancel(t.Context())
		defer leave()
		f.Dies = func(context.Context, string) bool {
			leave()
			return false
		}
		result, err := f.Call(ctx, api.Request{Method: "system.flush", Params: json.RawMessage(fleettest.Confirmed)})
		if err != nil || fleettest.Decoded[api.FlushResult](t, result).Postgres.TasksDeleted != 9 {
			t.Errorf("answered %s, %v", result, err)
		}
	})
}

// A coordinator that stops leaves the flush to the others at once.
func TestFlushIsHandedOver(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		rows := f.WithRows(9)
		f.Populate()
		last := f.Seq()
		stopped := make(chan struct{})
		var first sync.Once // the coordinator that continues the deletion passes here again
		f.Dies = func(ctx context.Context, step string) bool {
			if step == "deleting" {
				first.Do(func() {
					go func() {
						defer close(stopped)
						f.Stop()
					}()
					<-ctx.Done()
				})
			}
			return false
		}
		refusedAs(f, api.Internal(api.OutcomeUnknown), "system.flush", fleettest.Confirmed)
		<-stopped
		f.SweepOnce()
		f.Emitted(last, "system.flushed")
		if rows.Tasks != 0 {
			t.Errorf("%d rows are left", rows.Tasks)
		}
	})
}

func refusedAs(f *fleettest.Fleet, want *api.Error, method, params string) {
	f.T.Helper()
	_, err := f.Do(method, params)
	if diff := cmp.Diff(error(want), err); diff != "" {
		f.T.Errorf("%s: %s", method, diff)
	}
}

// Even if the log's hash is lost after a flush, seq does not restart.
func TestLogHashLostBehindAFlush(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Populate()
		last := f.Seq()
		f.Put([]any{"HSET", f.Keys.State(), "checkpoint", f.Events()[last-1].ID, "term", 1})
		f.Crashed("deleting", fleettest.Confirmed)
		f.Put([]any{"DEL", f.Keys.Log()})
		f.Create("after", "")
		if log := f.Hash(f.Keys.Log()); log["seq"] != fmt.Sprint(last+1) || log["base"] != log["seq"] || log["term"] != "1" {
			t.Errorf("the log's hash is %v", log)
		}
		*f = *fleettest.New(t, f.Client, commands.Options{})
	})
}

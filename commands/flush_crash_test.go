package commands

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

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/lua"
)

// Whatever step a coordinator dies at, another one finishes the flush or undoes it, once it can.
func TestFlushIsLeftBehind(t *testing.T) {
	redisOnly := `{"confirm":"FLUSH_ALL_DATA","includePostgres":false}`
	for _, test := range []struct {
		step, params string
		postgres     bool
		finished     bool
		needs        bool // Postgres, to go on
	}{
		{"begun", confirmed, true, false, false},
		{"fenced", confirmed, true, false, true},
		{"settled", confirmed, true, false, true},
		{"rows", confirmed, true, true, true},
		{"deleting", confirmed, true, true, false},
		{"deleted", confirmed, true, true, false},
		{"begun", redisOnly, true, false, false},
		{"fenced", redisOnly, true, false, false},
		{"settled", redisOnly, true, false, false},
		{"deleting", redisOnly, true, true, false},
		{"deleted", redisOnly, true, true, false},
		{"fenced", confirmed, false, false, false},
		{"deleting", confirmed, false, true, false},
	} {
		for _, away := range []bool{false, true} {
			if away && !test.postgres {
				continue
			}
			name := fmt.Sprintf("%s/all=%t/postgres=%t/away=%t", test.step, test.params == confirmed, test.postgres, away)
			t.Run(name, func(t *testing.T) {
				everywhere(t, Options{}, func(t *testing.T, f *fleet) {
					var rows *rowsOfATest
					if test.postgres {
						rows = f.withRows(9)
					}
					f.populate()
					f.put([]any{"HSET", f.keys.Prefix() + "health:monitor", "tick", time.Now().UnixMilli(), "patience", 0},
						[]any{"HSET", f.keys.Leader(), "until", time.Now().Add(patience10).UnixMilli()}) // it was not heard of for a while
					keys, last, before := f.flushable(), f.seq(), f.snapshot()
					f.crashed(test.step, test.params)
					f.sweep() // its lease has not ended
					if f.hash(f.keys.Log())["flush"] == "" {
						t.Fatal("it is over before its lease")
					}
					if away {
						rows.away.Store(true)
					}
					f.expire()
					if away && test.needs {
						other := f.beside()
						for range 2 {
							if err := other.Sweep(t.Context()); err == nil || !strings.Contains(err.Error(), "until Postgres") {
								t.Fatalf("without Postgres: %v", err)
							}
							f.refused(api.CodeConflict, `{"reason":"FLUSH_IN_PROGRESS"}`, "task.create", `{"text":"x"}`)
						}
						// A coordinator without any Postgres must not decide either.
						blind := f.beside()
						blind.with(func(o *Options) { o.Rows = nil })
						if err := blind.Sweep(t.Context()); err == nil || !strings.Contains(err.Error(), "--database-url") {
							t.Fatalf("without a database: %v", err)
						}
						rows.away.Store(false)
					}
					f.sweep()
					if test.finished {
						wasFlushed(f, t, last, int64(len(keys)), rows, test.params == confirmed && test.postgres)
					} else {
						wasUndone(f, t, before, rows, test.step != "begun")
					}
					f.register("later", `[]`, "")
					f.create("later", "")
				})
			})
		}
	}
}

func wasFlushed(f *fleet, t *testing.T, last, keys int64, rows *rowsOfATest, all bool) {
	t.Helper()
	postgres := ""
	if all {
		postgres = `"postgres":{"tasksDeleted":9},`
	}
	// The monitor's sweep behind it has begun to be patient.
	event := f.emitted(last, "system.flushed")[0]
	want := fmt.Sprintf(`{"redis":%d,%s"timestamp":`, keys, postgres)
	if !strings.HasPrefix(string(event.Payload), want) || event.Actor != "anonymous" || *event.Cause != "req-1" {
		t.Errorf("payload %s of %s, want %s", event.Payload, event.Actor, want)
	}
	if rows != nil && (rows.tasks == 0) != all {
		t.Errorf("%d rows are left", rows.tasks)
	}
	if log := f.hash(f.keys.Log()); log["fence"] != "" || log["flush"] != "" || log["flushes"] == "" {
		t.Errorf("the log's hash is %v", log)
	}
}

func wasUndone(f *fleet, t *testing.T, before map[string]any, rows *rowsOfATest, wasFenced bool) {
	t.Helper()
	after := f.snapshot()
	monitor := f.keys.Prefix() + "health:monitor"
	patience, leader := after[monitor], after[f.keys.Leader()]
	for _, all := range []map[string]any{before, after} {
		delete(all, monitor)
		delete(all, f.keys.Leader())
	}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("undone, and changed: %s", diff)
	}
	if rows != nil && rows.tasks != 9 {
		t.Errorf("%d rows are left", rows.tasks)
	}
	if !wasFenced {
		return
	}
	// For one TTL nobody dies and the leader leads.
	soon := time.Now().Add(f.options.InstanceTTL - patience10).UnixMilli()
	for what, fields := range map[string]any{"patience": patience, "until": leader} {
		var until int64
		if _, err := fmt.Sscan(fields.(map[string]string)[what], &until); err != nil || until < soon {
			t.Errorf("%s %v ends before %d (%v)", what, fields, soon, err)
		}
	}
	if ttl := f.client.PTTL(t.Context(), f.keys.Instance("w")).Val(); ttl < f.options.InstanceTTL-patience10 || ttl > f.options.InstanceTTL {
		t.Errorf("the instance expires in %v", ttl)
	}
}

// patience10 is how long ago something may be that has just happened, on a busy machine.
const patience10 = 10 * time.Second

// A coordinator that was taken for dead before it deleted the rows deletes nothing any more.
func TestFlushOfACoordinatorTakenForDead(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, f *fleet) {
		rows := f.withRows(9)
		f.populate()
		before := f.snapshot()
		rows.before = func(string) {
			f.expire()
			f.sweep() // decides that the rows stay
		}
		_, err := f.do("system.flush", confirmed)
		var known *api.Error
		if !errors.As(err, &known) || known.Code == api.CodeInvalidParams {
			t.Errorf("answered %v", err)
		}
		rows.before = nil
		delete(before, f.keys.Prefix()+"health:monitor")
		wasUndone(f, t, before, rows, true)
	})
}

// One that was taken for dead behind the point of no return answers what the flush came to.
func TestFlushIsFinishedByAnother(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, f *fleet) {
		f.withRows(9)
		f.populate()
		keys, last := f.flushable(), f.seq()
		var once sync.Once
		f.dies = func(ctx context.Context, step string) bool {
			if step == "deleting" {
				once.Do(func() {
					f.expire()
					f.sweep()
				})
			}
			return false
		}
		got := f.flush(confirmed)
		f.dies = nil
		if got.Redis.KeysDeleted != int64(len(keys)) || got.Postgres == nil || got.Postgres.TasksDeleted != 9 {
			t.Errorf("answered %+v", got)
		}
		f.emitted(last, "system.flushed")
	})
}

// Postgres that commits and does not say so is asked.
func TestFlushWhoseCommitIsNotConfirmed(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, f *fleet) {
		rows := f.withRows(9)
		f.populate()
		rows.after = func(string, error) error { return errors.New("connection reset") }
		if got := f.flush(confirmed); got.Postgres == nil || got.Postgres.TasksDeleted != 9 {
			t.Errorf("answered %+v", got)
		}
	})
}

// A run that has lost its lease changes nothing in Redis, whatever it was about to do.
func TestFlushScriptsCheckWhoRunsThem(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, f *fleet) {
		f.withRows(9)
		f.populate()
		for _, step := range []string{"begun", "fenced", "deleting", "deleted"} {
			f.crashed(step, confirmed)
			id := f.hash(f.keys.Log())["flush"]
			f.put([]any{"HSET", f.keys.Log(), "flushUntil", time.Now().Add(time.Hour).UnixMilli()})
			f.snapshotted(t, func() {
				for _, who := range [][2]string{{id, "run:another"}, {"another", "run:" + id}} {
					id, holder := who[0], who[1]
					for script, args := range map[*lua.Script][]any{
						lua.Named("fence_flush"): {id, holder, 5000}, lua.Named("spare_instances"): {id, holder, 0, 0}, lua.Named("delete_flushed_keys"): {id, holder, 5000, "", "0"},
						lua.Named("finish_flush"): {id, holder},
					} {
						_, err := f.scripts.Run(t.Context(), script, args...)
						if !lost(t.Context(), err) {
							t.Errorf("%s after %s as %v: %v", script.Name, step, who, err)
						}
					}
					for _, phase := range []string{draining, fenced, deleting} {
						_, err := f.scripts.Run(t.Context(), lua.Named("undo_flush"), id, holder, phase, 1000)
						if holder == "run:another" && !lost(t.Context(), err) {
							t.Errorf("undone after %s as %v: %v", step, who, err)
						}
					}
				}
				now := f.hash(f.keys.Log())
				for _, phase := range []string{draining, fenced, deleting} {
					if phase == now["flushPhase"] && phase != deleting {
						continue
					}
					// What has got further than was thought, or deletes keys, is not undone.
					_, err := f.scripts.Run(t.Context(), lua.Named("undo_flush"), id, now["flushHolder"], phase, 1000)
					if !lost(t.Context(), err) {
						t.Errorf("undone after %s as if it were %s: %v", step, phase, err)
					}
				}
				if reply, err := f.scripts.Run(t.Context(), lua.Named("hold_flush"), "run:another", 5000); err != nil || reply.([]any)[0] != int64(0) {
					t.Errorf("held after %s: %v, %v", step, reply, err)
				}
			})
			f.expire()
			f.sweep()
			f.populate()
		}
	})
}

// A flush that has begun goes on when its caller has gone.
func TestFlushGoesOnWithoutItsCaller(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, f *fleet) {
		f.withRows(9)
		f.populate()
		ctx, leave := context.WithCancel(t.Context())
		defer leave()
		f.dies = func(context.Context, string) bool {
			leave()
			return false
		}
		result, err := f.Call(ctx, api.Request{Method: "system.flush", Params: json.RawMessage(confirmed)})
		if err != nil || decoded[FlushResult](t, result).Postgres.TasksDeleted != 9 {
			t.Errorf("answered %s, %v", result, err)
		}
	})
}

// A coordinator that stops leaves the flush to the others at once.
func TestFlushIsHandedOver(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, f *fleet) {
		rows := f.withRows(9)
		f.populate()
		last := f.seq()
		stopped := make(chan struct{})
		var first sync.Once // whoever goes on with the deleting passes here again
		f.dies = func(ctx context.Context, step string) bool {
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
		refusedAs(f, api.Internal(api.OutcomeUnknown), "system.flush", confirmed)
		<-stopped
		f.sweep()
		f.emitted(last, "system.flushed")
		if rows.tasks != 0 {
			t.Errorf("%d rows are left", rows.tasks)
		}
	})
}

func refusedAs(f *fleet, want *api.Error, method, params string) {
	f.t.Helper()
	_, err := f.do(method, params)
	if diff := cmp.Diff(error(want), err); diff != "" {
		f.t.Errorf("%s: %s", method, diff)
	}
}

// The hash of the log may be lost even behind a flush, and the count still does not begin anew.
func TestLogHashLostBehindAFlush(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, f *fleet) {
		f.populate()
		last := f.seq()
		f.put([]any{"HSET", f.keys.State(), "checkpoint", f.events()[last-1].ID, "term", 1})
		f.crashed("deleting", confirmed)
		f.put([]any{"DEL", f.keys.Log()})
		f.create("after", "")
		if log := f.hash(f.keys.Log()); log["seq"] != fmt.Sprint(last+1) || log["base"] != log["seq"] || log["term"] != "1" {
			t.Errorf("the log's hash is %v", log)
		}
		*f = *newFleet(t, f.client, Options{})
	})
}

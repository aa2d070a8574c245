package projections_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/internal/testenv"
	"github.com/claudebench/claudebench/projections"
)

// damages are what an operator's mistake does to the live views. Each change is found under the
// object, key and column in finds.
var damages = map[string]struct {
	do    func(t *testing.T, b *bundle)
	finds []string
}{
	"state": {
		func(t *testing.T, b *bundle) {
			b.change(t, "HSET", b.space.State(), "tasks.completed", 7, "tasks.imagined", 1)
			b.change(t, "HDEL", b.space.State(), "leader")
		},
		[]string{"state:global leader missing", "state:global tasks.completed changed", "state:global tasks.imagined extra"},
	},
	"metrics": {
		func(t *testing.T, b *bundle) {
			b.change(t, "HSET", b.space.Metrics("global"), "tasksCreated", 7)
			b.change(t, "HSET", b.space.MetricsEvents("task.created"), "extra", 1)
			b.change(t, "DEL", b.space.Metrics("queues"))
			b.change(t, "HSET", b.space.Metrics("global"), "events.task.imagined", 1)
			b.change(t, "HSET", b.space.MetricsEvents("task.imagined"), "count", 1)
		},
		[]string{"metrics:global tasksCreated changed", "metrics:events:task.created extra extra", "metrics:events:task.imagined count extra", "metrics:queues pending missing"},
	},
	"tasks": {
		func(t *testing.T, b *bundle) {
			b.sql(t, `UPDATE tasks SET status = 'imagined', metadata = '{"a": 1 }' WHERE num = (SELECT max(num) FROM tasks)`)
			b.sql(t, `DELETE FROM tasks WHERE num = (SELECT max(num) FROM tasks) - 1`)
			b.sql(t, `INSERT INTO tasks (num, id, status, priority, attempt, text, created_at, updated_at, seq) VALUES (1000000, 't-1000000', 'pending', 1, 0, 'x', now(), now(), 3)`)
			b.sql(t, `INSERT INTO schedules (id, cron, timezone, task, paused, catch_up, fired, first_seq, seq, created_at, updated_at)
				VALUES ('s', '', '', '{}', false, 'one', 0, 5, 5, now(), now())`)
			b.sql(t, `INSERT INTO session_instances (instance_id, since_seq, session_id, since_at) VALUES ('w', 7, 's', now())`)
		},
		[]string{"tasks 1000000 extra", "schedules s extra", "session_instances w 7 extra"},
	},
	"events": {
		func(t *testing.T, b *bundle) {
			b.sql(t, `UPDATE events SET actor = 'another', task = NULL WHERE seq = 9`)
			b.sql(t, `DELETE FROM events WHERE seq BETWEEN 3 AND 7`)
		},
		[]string{"events 9 actor changed", "events 3 missing", "events 7 missing"},
	},
}

func (b *bundle) sql(t *testing.T, statement string) {
	t.Helper()
	if _, err := b.db.Exec(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}

func (b *bundle) change(t *testing.T, command ...any) {
	t.Helper()
	if err := b.client.Do(t.Context(), command...).Err(); err != nil {
		t.Fatal(err)
	}
}

// described returns the differences of a rebuild as damages names them.
func (b *bundle) described(found *projections.Rebuilt) []string {
	var all []string
	for _, d := range found.Differences {
		for _, x := range d.First {
			kind := "changed"
			switch {
			case x.Live == nil && x.Column == "" && x.Rebuilt != nil:
				kind = "missing"
			case x.Rebuilt == nil && x.Column == "" && x.Live != nil:
				kind = "extra"
			}
			words := strings.Join([]string{strings.TrimPrefix(d.Object, b.space.Prefix()), x.Key, x.Column, kind}, " ")
			all = append(all, strings.Join(strings.Fields(words), " "))
		}
	}
	return all
}

// leftovers returns what a rebuild has left behind.
func (b *bundle) leftovers(t *testing.T) []string {
	t.Helper()
	left := append(b.keys(t, "rebuild:*"), b.keys(t, "service:lease:rebuild:*")...)
	for table := range b.rowsOf(t, `SELECT relname, '' FROM pg_class WHERE relname LIKE 'rebuild%' AND relkind = 'r'`) {
		left = append(left, table)
	}
	return left
}

// caughtUp returns a bundle whose views have applied a history.
func caughtUp(t *testing.T) (*bundle, *history) {
	t.Helper()
	b := newBundle(t)
	h, _, _, _ := day()
	many(h, 20)
	b.publish(t, h.events...)
	_, stop := b.start(t, "one")
	b.caughtUp(t, h.seq)
	stop()
	return b, h
}

func (b *bundle) runner(t *testing.T) *projections.Runner {
	t.Helper()
	r, err := projections.NewRunner(projections.RunnerConfig{Client: b.client, Scripts: b.scripts, Keys: b.space, Projections: b.all, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A rebuild names what differs and repairs it; with DryRun it changes nothing.
func TestARebuildNamesAndRepairsDamage(t *testing.T) {
	t.Parallel()
	for name, damage := range damages {
		for _, running := range []bool{false, true} {
			t.Run(fmt.Sprint(name, " running ", running), func(t *testing.T) {
				t.Parallel()
				b, _ := caughtUp(t)
				r := b.runner(t)
				if running {
					r, _ = b.start(t, "one")
				}
				whole := b.views(t)
				clean, err := r.RebuildWith(t.Context(), name, projections.RebuildOptions{})
				if err != nil || !clean.Same() || clean.Replaced || clean.At.IsZero() {
					t.Fatalf("of a whole view: %+v, %v", clean, err)
				}
				damage.do(t, b)
				damaged := b.views(t)
				for _, dry := range []bool{true, false} {
					found, err := r.RebuildWith(t.Context(), name, projections.RebuildOptions{DryRun: dry})
					if err != nil {
						t.Fatal(err)
					}
					got := b.described(found)
					for _, want := range damage.finds {
						if !slices.Contains(got, want) {
							t.Errorf("found %q, not %q", got, want)
						}
					}
					if found.Same() || found.Replaced == dry || found.Events != found.At.Seq {
						t.Errorf("dry %v: %+v", dry, found)
					}
					want := whole
					if dry {
						want = damaged
					}
					if diff := cmp.Diff(want, b.views(t)); diff != "" {
						t.Errorf("dry %v (-want +got):\n%s", dry, diff)
					}
					if left := b.leftovers(t); len(left) > 0 {
						t.Errorf("dry %v left %q", dry, left)
					}
				}
			})
		}
	}
}

// steps calls do at the first progress of each step of a rebuild but the first.
func steps(do func(projections.RebuildStep)) func(projections.RebuildProgress) {
	seen := map[projections.RebuildStep]bool{}
	return func(p projections.RebuildProgress) {
		if !seen[p.Step] {
			seen[p.Step] = true
			do(p.Step)
		}
	}
}

// A rebuild that is interrupted or killed leaves the live view as it was, and the next one works.
func TestARebuildThatDiesLeavesTheLiveView(t *testing.T) {
	t.Parallel()
	for name, damage := range damages {
		for _, step := range []projections.RebuildStep{projections.RebuildFolds, projections.RebuildCompares, projections.RebuildReplaces} {
			for _, killed := range []bool{false, true} {
				t.Run(fmt.Sprint(name, " ", step, " killed ", killed), func(t *testing.T) {
					t.Parallel()
					b, _ := caughtUp(t)
					whole := b.views(t)
					damage.do(t, b)
					damaged := b.views(t)

					doomed := b.doomed(t)
					ctx, interrupt := context.WithCancel(t.Context())
					defer interrupt()
					reached := false
					_, err := doomed.runner(t).RebuildWith(ctx, name, projections.RebuildOptions{Progress: steps(func(at projections.RebuildStep) {
						switch {
						case at != step:
						case killed:
							reached = true
							doomed.kill()
						default:
							reached = true
							interrupt()
						}
					})})
					if err == nil || !reached {
						t.Fatalf("reached %v, %v", reached, err)
					}
					if diff := cmp.Diff(damaged, b.views(t)); diff != "" {
						t.Errorf("(-before +after):\n%s", diff)
					}
					if left := b.leftovers(t); (len(left) > 0) != killed {
						t.Errorf("killed %v: left %q", killed, left)
					}
					if err := b.runner(t).Rebuild(t.Context(), name); err != nil {
						t.Fatal(err)
					}
					if diff := cmp.Diff(whole, b.views(t)); diff != "" {
						t.Errorf("the next rebuild (-want +got):\n%s", diff)
					}
				})
			}
		}
	}
}

// mortal is a bundle on connections of its own, which kill closes, as the death of its process would.
type mortal struct {
	*bundle
	kill func()
}

func (b *bundle) doomed(t *testing.T) mortal {
	t.Helper()
	opts, err := redis.ParseURL(testenv.Redis(t).URL())
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(opts)
	m := mortal{bundle: bundleOn(t, client, b.database, b.namespace)}
	var once sync.Once
	m.kill = func() {
		once.Do(func() {
			_ = client.Close()
		})
	}
	t.Cleanup(m.kill)
	return m
}

// While one rebuild runs, another one of the same projection is refused.
func TestTwoRebuildsAtOnce(t *testing.T) {
	t.Parallel()
	for name := range damages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, _ := caughtUp(t)
			damages[name].do(t, b)
			var second error
			found, err := b.runner(t).RebuildWith(t.Context(), name, projections.RebuildOptions{Progress: steps(func(at projections.RebuildStep) {
				if at == projections.RebuildCompares {
					second = b.runner(t).Rebuild(t.Context(), name)
				}
			})})
			if err != nil || !found.Replaced {
				t.Errorf("the first: %+v, %v", found, err)
			}
			if second == nil || !strings.Contains(second.Error(), "another rebuild of it is running") {
				t.Errorf("the second: %v", second)
			}
		})
	}
}

// A rebuild whose second place another one has changed, because it was paused for longer than its
// lease, changes nothing.
func TestARebuildThatLostItsPlace(t *testing.T) {
	t.Parallel()
	for name := range damages {
		for _, step := range []projections.RebuildStep{projections.RebuildFolds, projections.RebuildReplaces} {
			t.Run(fmt.Sprint(name, " ", step), func(t *testing.T) {
				t.Parallel()
				b, _ := caughtUp(t)
				damages[name].do(t, b)
				damaged := b.views(t)
				_, err := b.runner(t).RebuildWith(t.Context(), name, projections.RebuildOptions{Progress: steps(func(at projections.RebuildStep) {
					if at == step {
						b.change(t, "SET", b.space.Lease("rebuild:"+name), "another")
						b.spoil(t, name)
					}
				})})
				if !errors.Is(err, projections.ErrRebuildLost) {
					t.Errorf("%v, want ErrRebuildLost", err)
				}
				if diff := cmp.Diff(damaged, b.views(t)); diff != "" {
					t.Errorf("(-before +after):\n%s", diff)
				}
			})
		}
	}
}

// spoil changes the second place, as another rebuild that begins there does.
func (b *bundle) spoil(t *testing.T, name string) {
	t.Helper()
	if name == "tasks" || name == "events" {
		b.sql(t, `UPDATE rebuild_`+name+`_projection_checkpoints SET id = '0-0', seq = 0`)
	}
	if keys := b.keys(t, "rebuild:*"); len(keys) > 0 {
		b.change(t, append([]any{"DEL"}, asAny(keys)...)...)
	}
}

func asAny[T any](list []T) []any {
	all := make([]any, len(list))
	for i, x := range list {
		all[i] = x
	}
	return all
}

// A flush that begins, or has run, during a rebuild ends it: what it has folded is gone from the log.
func TestAFlushDuringARebuild(t *testing.T) {
	t.Parallel()
	for name := range damages {
		for _, field := range []string{"flush", "flushed", "identity"} {
			t.Run(name+" "+field, func(t *testing.T) {
				t.Parallel()
				b, _ := caughtUp(t)
				damages[name].do(t, b)
				damaged := b.views(t)
				_, err := b.runner(t).RebuildWith(t.Context(), name, projections.RebuildOptions{Progress: steps(func(at projections.RebuildStep) {
					if at == projections.RebuildReplaces {
						b.change(t, "HSET", b.space.Log(), field, "another")
					}
				})})
				if !errors.Is(err, projections.ErrRebuildLost) {
					t.Errorf("%v, want ErrRebuildLost", err)
				}
				if diff := cmp.Diff(damaged, b.views(t)); diff != "" {
					t.Errorf("(-before +after):\n%s", diff)
				}
			})
		}
	}
}

// While the fleet goes on, rebuilds repair the views, which end where the log ends.
func TestRebuildsWhileTheFleetGoesOn(t *testing.T) {
	t.Parallel()
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBundle(t)
			h := newHistory()
			h.register("w1", "worker")
			h.elect("w1")
			many(h, 200)
			b.publish(t, h.events...)
			r, _ := b.start(t, "one")
			b.caughtUp(t, h.seq)
			damage.do(t, b)
			stop, stopped := make(chan struct{}), make(chan error, 1)
			go func() {
				for {
					before := h.seq
					many(h, 30)
					err := publish(context.Background(), b.client, b.space, h.events[before:])
					select {
					case <-stop:
						stopped <- err
						return
					default:
					}
				}
			}()
			for i := range 4 {
				found, err := r.RebuildWith(t.Context(), name, projections.RebuildOptions{})
				if err != nil || found.At.IsZero() || found.Replaced != (i == 0) {
					t.Errorf("rebuild %d: %+v, %v", i, found, err)
				}
			}
			close(stop)
			if err := <-stopped; err != nil {
				t.Fatal(err)
			}
			b.caughtUp(t, h.seq)
			if diff := cmp.Diff(h.state(), b.state(t)); diff != "" {
				t.Errorf("state (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(h.wantedRows(), b.plainRows(t)); diff != "" {
				t.Errorf("rows (-want +got):\n%s", diff)
			}
		})
	}
}

// A live view that cannot be compared, because it has no checkpoint or follows another log, is
// replaced, and the reason is returned.
func TestALiveViewThatCannotBeCompared(t *testing.T) {
	t.Parallel()
	for reason, damage := range map[string]func(t *testing.T, b *bundle){
		"no event": func(t *testing.T, b *bundle) { b.change(t, "DEL", b.space.State()) },
		"another log": func(t *testing.T, b *bundle) {
			b.change(t, "HSET", b.space.Log(), "identity", "this")
			b.change(t, "HSET", b.space.State(), "log", "other")
		},
		"which the log does not have": func(t *testing.T, b *bundle) {
			b.change(t, "HSET", b.space.State(), "checkpoint", "4102444800000-99999")
		},
	} {
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			b, h := caughtUp(t)
			damage(t, b)
			found, err := b.runner(t).RebuildWith(t.Context(), "state", projections.RebuildOptions{})
			if err != nil || !found.Replaced || !strings.Contains(found.Uncompared, reason) {
				t.Errorf("%+v, %v", found, err)
			}
			got := b.state(t)
			delete(got, "log")
			if diff := cmp.Diff(h.state(), got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// If the log's start is trimmed faster than a rebuild reads it, the rebuild does not step over events.
func TestATrimDuringARebuild(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	h := newHistory()
	many(h, 5_000)
	b.publish(t, h.events...)
	_, stop := b.start(t, "one")
	b.caughtUp(t, h.seq)
	stop()
	damages["state"].do(t, b)
	damaged := b.state(t)
	_, err := b.runner(t).RebuildWith(t.Context(), "state", projections.RebuildOptions{Progress: steps(func(at projections.RebuildStep) {
		if at == projections.RebuildFolds {
			b.change(t, "XTRIM", b.space.Events(), "MAXLEN", 10)
			b.change(t, "HSET", b.space.Log(), "base", h.seq-9)
		}
	})})
	if !errors.Is(err, projections.ErrRebuildLost) {
		t.Errorf("%v, want ErrRebuildLost", err)
	}
	if diff := cmp.Diff(damaged, b.state(t)); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
}

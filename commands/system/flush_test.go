package system_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/fleettest"
	"github.com/claudebench/claudebench/internal/flush"
	"github.com/claudebench/claudebench/internal/keys"
	"github.com/claudebench/claudebench/internal/testenv"
)

func TestFlush(t *testing.T) {
	for name, test := range map[string]struct {
		rows   int64 // -1: no Postgres
		params string
		gone   int64
	}{
		"without postgres": {-1, fleettest.Confirmed, -1},
		"postgres too":     {42, fleettest.Confirmed, 42},
		"said explicitly":  {42, `{"confirm":"FLUSH_ALL_DATA","includePostgres":true}`, 42},
		"redis only":       {42, `{"confirm":"FLUSH_ALL_DATA","includePostgres":false}`, -1},
		"redis only there": {-1, `{"confirm":"FLUSH_ALL_DATA","includePostgres":false}`, -1},
	} {
		t.Run(name, func(t *testing.T) {
			fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
				var rows *fleettest.Rows
				if test.rows >= 0 {
					rows = f.WithRows(test.rows)
				}
				f.Populate()
				f.Put([]any{"HSET", f.Keys.State(), "version", 7})
				keys, last := f.Flushable(), f.Seq()
				got := f.Flush(test.params)
				if got.Redis.KeysDeleted != int64(len(keys)) {
					t.Errorf("%d keys deleted, there were %d", got.Redis.KeysDeleted, len(keys))
				}
				var want []string
				for _, family := range strings.Fields("task instance queue stream metrics circuit ratelimit todo service hook session health quorum batch scaling schedule schedules") {
					want = append(want, f.Keys.Prefix()+family+":*")
				}
				if diff := cmp.Diff(want, got.Redis.Patterns); diff != "" {
					t.Errorf("patterns: %s", diff)
				}
				if (got.Postgres != nil) != (test.gone >= 0) || got.Postgres != nil && got.Postgres.TasksDeleted != test.gone {
					t.Errorf("postgres: %+v, want %d", got.Postgres, test.gone)
				}
				if rows != nil && (rows.Tasks == 0) != (test.gone >= 0) {
					t.Errorf("%d rows are left", rows.Tasks)
				}
				if !fleettest.IsoMoment.MatchString(got.Timestamp) {
					t.Errorf("timestamp %s", got.Timestamp)
				}

				// The test checks which keys are left, and the log.
				left := f.Scan(f.Keys.Prefix() + "*")
				if diff := cmp.Diff([]string{f.Keys.Log(), f.Keys.State(), f.Keys.Events(), f.Keys.Topic("system.flushed")}, left,
					cmpSorted); diff != "" {
					t.Errorf("keys left: %s", diff)
				}
				events := f.Events()
				if len(events) != 1 || events[0].Type != "system.flushed" || events[0].Seq != last+1 || events[0].Actor != "anonymous" ||
					events[0].Cause == nil || *events[0].Cause != "req-1" {
					t.Fatalf("the log holds %+v", events)
				}
				postgres := ""
				if test.gone >= 0 {
					postgres = fmt.Sprintf(`"postgres":{"tasksDeleted":%d},`, test.gone)
				}
				payload := fmt.Sprintf(`{"redis":%d,%s"timestamp":%q,"firstSeq":1,"lastSeq":%d}`, len(keys), postgres, got.Timestamp, last)
				if string(events[0].Payload) != payload {
					t.Errorf("payload %s, want %s", events[0].Payload, payload)
				}
				log := f.Hash(f.Keys.Log())
				if log["base"] != fmt.Sprint(last+1) || log["seq"] != log["base"] || log["term"] != "1" || log["fence"] != "" || log["flush"] != "" {
					t.Errorf("the log's hash is %v", log)
				}

				// Commands continue: seq and terms go on, and no instance is registered.
				f.Refused(api.CodeNotRegistered, `{"instanceId":"w"}`, "task.claim", `{"workerId":"w"}`)
				if beat := string(f.OK("system.heartbeat", `{"instanceId":"w"}`)); beat != `{"alive":false}` {
					t.Errorf("a heartbeat is answered %s", beat)
				}
				f.Register("w", `["worker"]`, "")
				elected := f.Emitted(last+1, "instance.registered", "leader.elected")[1]
				f.Holds(elected, `{"id":"w","term":2,"previous":null}`)
				if id := f.Create("after", `,"idempotencyKey":"k1"`); id != fmt.Sprintf("t-%d", last+4) {
					t.Errorf("the first task is %s", id)
				}
				f.Holds(f.Since(last + 3)[0], `{"text":"after"}`)
			})
		})
	}
}

var cmpSorted = cmp.Transformer("sorted", func(list []string) []string { return slices.Sorted(slices.Values(list)) })

// Keys of every family are counted, of any type and from any program. Keys of other namespaces, and
// keys that only look similar, stay.
func TestFlushDeletesItsKeysAndNoOthers(t *testing.T) {
	t.Parallel()
	for name, redis := range map[string]func(testing.TB) *fleettest.Fleet{
		"redis": func(t testing.TB) *fleettest.Fleet {
			return fleettest.New(t, fleettest.RealRedis(t), commands.Options{})
		},
		"embedded, the default namespace": func(t testing.TB) *fleettest.Fleet {
			f := fleettest.New(t, fleettest.EmbeddedRedis(t), commands.Options{})
			f.With(func(o *commands.Options) { o.Keys = keys.Space{} })
			return f
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := redis(t)
			prefix, want := f.Keys.Prefix(), int64(0)
			for i, family := range flush.Families {
				many := 1 + 37*i // one key, or more keys than one call deletes
				for n := range many {
					f.Put([]any{"SET", fmt.Sprintf("%s%s:%d", prefix, family, n), n})
				}
				f.Put([]any{"RPUSH", prefix + family + ":list:*?[a]", 1}, []any{"ZADD", prefix + family + ":", 1, "m"},
					[]any{"SADD", prefix + family + ":a:b:c\x01\n", "m"}, []any{"XADD", prefix + family + ":stream", "*", "f", "v"})
				want += int64(many) + 4
			}
			keep := []string{
				prefix + "task", prefix + "tasks:1", prefix + "Task:1", prefix + "1task:1", prefix + "state:other", prefix + "other:task:1",
				prefix + ":task:1", "x" + prefix + "task:1", "task:1", "cb:{another}:task:1", "cb:{another}:stream:events", "cb:{another}:log",
				strings.TrimSuffix(prefix, ":") + "x:task:1", "CB:task:1", prefix + "state:global",
			}
			if prefix != "cb:" {
				keep = append(keep, "cb:task:"+testenv.Namespace(t))
			}
			for _, key := range keep {
				f.Put([]any{"HSET", key, "a", "b"})
			}
			t.Cleanup(func() { f.Put([]any{"DEL", keep[7], keep[8], keep[9], keep[10], keep[11], keep[12], keep[13]}) })
			got := f.Flush(fleettest.Confirmed)
			if got.Redis.KeysDeleted != want {
				t.Errorf("%d keys deleted, want %d", got.Redis.KeysDeleted, want)
			}
			if n := f.Exists(keep...); n != int64(len(keep)) {
				t.Errorf("%d of %d other keys are left: %q", n, len(keep), f.Scan("*"))
			}
			f.Holds(f.Events()[0], fmt.Sprintf(`{"redis":%d,"firstSeq":1,"lastSeq":0}`, want))
			if patterns := got.Redis.Patterns; prefix == "cb:" && patterns[0] != "cb:task:*" {
				t.Errorf("patterns %q", patterns)
			}
		})
	}
}

func TestFlushIsRefused(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Populate()
		f.Snapshotted(t, func() {
			for _, params := range []string{
				``, `{}`, `{"confirm":"flush_all_data"}`, `{"confirm":"FLUSH_ALL_DATA "}`, `{"confirm":""}`, `{"confirm":null}`, `{"confirm":true}`,
				`{"confirm":["FLUSH_ALL_DATA"]}`, `{"includePostgres":false}`,
			} {
				f.Refused(api.CodeInvalidParams, `"confirm parameter must be exactly 'FLUSH_ALL_DATA'"`, "system.flush", "%s", params)
			}
			f.Refused(api.CodeInvalidParams, `"includePostgres parameter must be true or false"`, "system.flush",
				`{"confirm":"FLUSH_ALL_DATA","includePostgres":1}`)
			f.Refused(api.CodeInternal, `"Postgres unavailable"`, "system.flush", `{"confirm":"FLUSH_ALL_DATA","includePostgres":true}`)
			rows := f.WithRows(5)
			rows.Away.Store(true)
			f.Refused(api.CodeInternal, `"Postgres unavailable"`, "system.flush", fleettest.Confirmed)
			// This holds even if Postgres is left out, because nobody could know whether its view
			// is complete.
			f.Refused(api.CodeInternal, `"Postgres unavailable"`, "system.flush", `{"confirm":"FLUSH_ALL_DATA","includePostgres":false}`)
		})
	})
}

// The limit belongs to the namespace, not to a caller, and survives the flush.
func TestFlushIsLimited(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{RateLimits: map[string]int{}}, func(t *testing.T, f *fleettest.Fleet) {
		flush := func(caller string) api.Request {
			return api.Request{Method: "system.flush", Params: json.RawMessage(fleettest.Confirmed), Caller: caller}
		}
		f.Create("x", "")
		if _, err := f.Call(t.Context(), flush("alice")); err != nil {
			t.Fatal(err)
		}
		other := f.Beside()
		wait := other.Limited(flush("bob"))
		if wait.Limit != 1 || wait.WindowMs != 60_000 || wait.RetryAfterMs < 50_000 || wait.RetryAfterMs > 60_000 {
			t.Errorf("refused with %+v", wait)
		}
		shift := func(by int64) {
			var at int64
			if _, err := fmt.Sscan(f.Hash(f.Keys.Log())["flushes"], &at); err != nil {
				t.Fatal(err)
			}
			f.Put([]any{"HSET", f.Keys.Log(), "flushes", at - by})
		}
		shift(30_000)
		if wait := f.Limited(flush("alice")); wait.RetryAfterMs < 20_000 || wait.RetryAfterMs > 30_000 {
			t.Errorf("half a minute later: %+v", wait)
		}
		shift(30_000)
		if _, err := other.Call(t.Context(), flush("bob")); err != nil {
			t.Errorf("a minute later: %v", err)
		}
		f.Limited(flush("alice"))
		shift(-3_600_000) // the clock went back
		if _, err := f.Call(t.Context(), flush("alice")); err != nil {
			t.Errorf("an hour before: %v", err)
		}
	})
	more := fleettest.New(t, fleettest.RealRedis(t), commands.Options{RateLimits: map[string]int{"system.flush": 3}})
	for range 3 {
		more.Flush(fleettest.Confirmed)
	}
	more.Limited(api.Request{Method: "system.flush", Params: json.RawMessage(fleettest.Confirmed)})
}

// A flush that is undone has changed nothing, and so does not count.
func TestFlushOfAViewThatStandsStill(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{RateLimits: map[string]int{}}, func(t *testing.T, f *fleettest.Fleet) {
		rows := f.WithRows(3)
		f.Populate()
		rows.Behind.Store(true)
		before := f.Flushable()
		f.Refused(api.CodeConflict, `{"reason":"FLUSH_UNDONE","why":"the task view did not reach the end of the log in time"}`, "system.flush", fleettest.Confirmed)
		// It leaves only the monitor's patience behind.
		if diff := cmp.Diff(append(before, f.Keys.Prefix()+"health:monitor"), f.Flushable(), cmpSorted); diff != "" {
			t.Errorf("keys: %s", diff)
		}
		if rows.Tasks != 3 {
			t.Errorf("%d rows are left", rows.Tasks)
		}
		f.Create("goes on", "")
		rows.Behind.Store(false)
		f.Flush(fleettest.Confirmed)
	})
}

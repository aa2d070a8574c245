package commands

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/testenv"
)

func TestFlush(t *testing.T) {
	for name, test := range map[string]struct {
		rows   int64 // -1: no Postgres
		params string
		gone   int64
	}{
		"without postgres": {-1, confirmed, -1},
		"postgres too":     {42, confirmed, 42},
		"said explicitly":  {42, `{"confirm":"FLUSH_ALL_DATA","includePostgres":true}`, 42},
		"redis only":       {42, `{"confirm":"FLUSH_ALL_DATA","includePostgres":false}`, -1},
		"redis only there": {-1, `{"confirm":"FLUSH_ALL_DATA","includePostgres":false}`, -1},
	} {
		t.Run(name, func(t *testing.T) {
			everywhere(t, Options{}, func(t *testing.T, f *fleet) {
				var rows *rowsOfATest
				if test.rows >= 0 {
					rows = f.withRows(test.rows)
				}
				f.populate()
				f.put([]any{"HSET", f.keys.State(), "version", 7})
				keys, last := f.flushable(), f.seq()
				got := f.flush(test.params)
				if got.Redis.KeysDeleted != int64(len(keys)) {
					t.Errorf("%d keys deleted, there were %d", got.Redis.KeysDeleted, len(keys))
				}
				var want []string
				for _, family := range strings.Fields("task instance queue stream metrics circuit ratelimit todo service hook session health quorum batch scaling") {
					want = append(want, "cb:{"+f.options.Namespace+"}:"+family+":*")
				}
				if diff := cmp.Diff(want, got.Redis.Patterns); diff != "" {
					t.Errorf("patterns: %s", diff)
				}
				if (got.Postgres != nil) != (test.gone >= 0) || got.Postgres != nil && got.Postgres.TasksDeleted != test.gone {
					t.Errorf("postgres: %+v, want %d", got.Postgres, test.gone)
				}
				if rows != nil && (rows.tasks == 0) != (test.gone >= 0) {
					t.Errorf("%d rows are left", rows.tasks)
				}
				if !isoMoment.MatchString(got.Timestamp) {
					t.Errorf("timestamp %s", got.Timestamp)
				}

				// What is left, and the log.
				left := f.scan(f.keys.Prefix() + "*")
				if diff := cmp.Diff([]string{f.keys.Log(), f.keys.State(), f.keys.Events(), f.keys.Topic("system.flushed")}, left,
					cmpSorted); diff != "" {
					t.Errorf("keys left: %s", diff)
				}
				events := f.events()
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
				log := f.hash(f.keys.Log())
				if log["base"] != fmt.Sprint(last+1) || log["seq"] != log["base"] || log["term"] != "1" || log["fence"] != "" || log["flush"] != "" {
					t.Errorf("the log's hash is %v", log)
				}

				// It goes on: the count, the terms, and nobody is known any more.
				f.refused(api.CodeNotRegistered, `{"instanceId":"w"}`, "task.claim", `{"workerId":"w"}`)
				if beat := string(f.ok("system.heartbeat", `{"instanceId":"w"}`)); beat != `{"alive":false}` {
					t.Errorf("a heartbeat is answered %s", beat)
				}
				f.register("w", `["worker"]`, "")
				elected := f.emitted(last+1, "instance.registered", "leader.elected")[1]
				f.holds(elected, `{"id":"w","term":2,"previous":null}`)
				if id := f.create("after", `,"idempotencyKey":"k1"`); id != fmt.Sprintf("t-%d", last+4) {
					t.Errorf("the first task is %s", id)
				}
				f.holds(f.since(last + 3)[0], `{"text":"after"}`)
			})
		})
	}
}

var cmpSorted = cmp.Transformer("sorted", func(list []string) []string { return slices.Sorted(slices.Values(list)) })

// Keys of every family are counted, whoever put them there and of whatever type; keys of other namespaces,
// and those that only look alike, stay.
func TestFlushDeletesItsKeysAndNoOthers(t *testing.T) {
	t.Parallel()
	for name, redis := range map[string]func(testing.TB) *fleet{
		"redis": func(t testing.TB) *fleet { return newFleet(t, realRedis(t), Options{}) },
		"embedded, the default namespace": func(t testing.TB) *fleet {
			f := newFleet(t, embeddedRedis(t), Options{})
			f.with(func(o *Options) { o.Namespace = "" })
			return f
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := redis(t)
			prefix, want := f.keys.Prefix(), int64(0)
			for i, family := range flushFamilies {
				many := 1 + 37*i // one, and more than a call deletes
				for n := range many {
					f.put([]any{"SET", fmt.Sprintf("%s%s:%d", prefix, family, n), n})
				}
				f.put([]any{"RPUSH", prefix + family + ":list:*?[a]", 1}, []any{"ZADD", prefix + family + ":", 1, "m"},
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
				f.put([]any{"HSET", key, "a", "b"})
			}
			t.Cleanup(func() { f.put([]any{"DEL", keep[7], keep[8], keep[9], keep[10], keep[11], keep[12], keep[13]}) })
			got := f.flush(confirmed)
			if got.Redis.KeysDeleted != want {
				t.Errorf("%d keys deleted, want %d", got.Redis.KeysDeleted, want)
			}
			if n := f.exists(keep...); n != int64(len(keep)) {
				t.Errorf("%d of %d other keys are left: %q", n, len(keep), f.scan("*"))
			}
			f.holds(f.events()[0], fmt.Sprintf(`{"redis":%d,"firstSeq":1,"lastSeq":0}`, want))
			if patterns := got.Redis.Patterns; prefix == "cb:" && patterns[0] != "cb:task:*" {
				t.Errorf("patterns %q", patterns)
			}
		})
	}
}

func TestFlushIsRefused(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, f *fleet) {
		f.populate()
		f.snapshotted(t, func() {
			for _, params := range []string{
				``, `{}`, `{"confirm":"flush_all_data"}`, `{"confirm":"FLUSH_ALL_DATA "}`, `{"confirm":""}`, `{"confirm":null}`, `{"confirm":true}`,
				`{"confirm":["FLUSH_ALL_DATA"]}`, `{"includePostgres":false}`,
			} {
				f.refused(api.CodeInvalidParams, `"confirm parameter must be exactly 'FLUSH_ALL_DATA'"`, "system.flush", "%s", params)
			}
			f.refused(api.CodeInvalidParams, `"includePostgres parameter must be true or false"`, "system.flush",
				`{"confirm":"FLUSH_ALL_DATA","includePostgres":1}`)
			f.refused(api.CodeInternal, `"Postgres unavailable"`, "system.flush", `{"confirm":"FLUSH_ALL_DATA","includePostgres":true}`)
			rows := f.withRows(5)
			rows.away.Store(true)
			f.refused(api.CodeInternal, `"Postgres unavailable"`, "system.flush", confirmed)
			// Also when it is to be kept: nobody could tell whether it is complete.
			f.refused(api.CodeInternal, `"Postgres unavailable"`, "system.flush", `{"confirm":"FLUSH_ALL_DATA","includePostgres":false}`)
		})
	})
}

// The limit is the namespace's, whoever calls, and the flush does not forget it.
func TestFlushIsLimited(t *testing.T) {
	everywhere(t, Options{RateLimits: map[string]int{}}, func(t *testing.T, f *fleet) {
		flush := func(caller string) api.Request {
			return api.Request{Method: "system.flush", Params: json.RawMessage(confirmed), Caller: caller}
		}
		f.create("x", "")
		if _, err := f.Call(t.Context(), flush("alice")); err != nil {
			t.Fatal(err)
		}
		other := f.beside()
		wait := other.limited(flush("bob"))
		if wait.Limit != 1 || wait.WindowMs != 60_000 || wait.RetryAfterMs < 50_000 || wait.RetryAfterMs > 60_000 {
			t.Errorf("refused with %+v", wait)
		}
		shift := func(by int64) {
			var at int64
			if _, err := fmt.Sscan(f.hash(f.keys.Log())["flushes"], &at); err != nil {
				t.Fatal(err)
			}
			f.put([]any{"HSET", f.keys.Log(), "flushes", at - by})
		}
		shift(30_000)
		if wait := f.limited(flush("alice")); wait.RetryAfterMs < 20_000 || wait.RetryAfterMs > 30_000 {
			t.Errorf("half a minute later: %+v", wait)
		}
		shift(30_000)
		if _, err := other.Call(t.Context(), flush("bob")); err != nil {
			t.Errorf("a minute later: %v", err)
		}
		f.limited(flush("alice"))
		shift(-3_600_000) // the clock went back
		if _, err := f.Call(t.Context(), flush("alice")); err != nil {
			t.Errorf("an hour before: %v", err)
		}
	})
	more := newFleet(t, realRedis(t), Options{RateLimits: map[string]int{"system.flush": 3}})
	for range 3 {
		more.flush(confirmed)
	}
	more.limited(api.Request{Method: "system.flush", Params: json.RawMessage(confirmed)})
}

// A flush that is undone has changed nothing, and so does not count.
func TestFlushOfAViewThatStandsStill(t *testing.T) {
	everywhere(t, Options{RateLimits: map[string]int{}}, func(t *testing.T, f *fleet) {
		rows := f.withRows(3)
		f.populate()
		rows.behind.Store(true)
		before := f.flushable()
		f.refused(api.CodeConflict, `{"reason":"FLUSH_UNDONE","why":"the task view did not come to the log's end in time"}`, "system.flush", confirmed)
		// The monitor's patience is all that it leaves.
		if diff := cmp.Diff(append(before, f.keys.Prefix()+"health:monitor"), f.flushable(), cmpSorted); diff != "" {
			t.Errorf("keys: %s", diff)
		}
		if rows.tasks != 3 {
			t.Errorf("%d rows are left", rows.tasks)
		}
		f.create("goes on", "")
		rows.behind.Store(false)
		f.flush(confirmed)
	})
}

package task_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/fleettest"
	"github.com/claudebench/claudebench/internal/testenv"
)

// timed is a task with what only some tasks have.
type timed struct {
	fleettest.Task
	Failures, Losses int
	RunAt, TimeoutAt string
	CancelRequested  bool
	Cancellation     json.RawMessage
	Progress         json.RawMessage
	Errors           []struct {
		Attempt      int
		WorkerID, At string
		Error        json.RawMessage
	}
	Created      *bool
	Dependencies []struct {
		ID, Status    string
		Result, Error json.RawMessage
		Truncated     bool
	}
}

func timedTask(f *fleettest.Fleet, id string) timed {
	f.T.Helper()
	return fleettest.Decoded[timed](f.T, f.OK("task.get", `{"id":%q}`, id))
}

// moment returns a time as ms since 1970.
func moment(t *testing.T, at string) int64 {
	t.Helper()
	m, err := time.Parse(time.RFC3339Nano, at)
	if err != nil {
		t.Fatal(err)
	}
	return m.UnixMilli()
}

// redisTime returns the clock of Redis in ms since 1970.
func redisTime(f *fleettest.Fleet) int64 {
	f.T.Helper()
	now, err := f.Client.Time(context.Background()).Result()
	if err != nil {
		f.T.Fatalf("read the clock of Redis: %v", err)
	}
	return now.UnixMilli()
}

// awaitTime waits until the clock of Redis has passed a moment.
func awaitTime(t *testing.T, f *fleettest.Fleet, at int64) {
	t.Helper()
	testenv.Eventually(t, fleettest.Patience, func() (bool, string) {
		now := redisTime(f)
		return now > at, fmt.Sprint(now, " is not after ", at)
	})
}

// stepTimers runs steps until one changes nothing, and returns how many tasks they changed.
func stepTimers(f *fleettest.Fleet) int64 {
	f.T.Helper()
	all := int64(0)
	for {
		n, err := f.StepTimers(context.Background())
		if err != nil {
			f.T.Fatalf("a step of the timers: %v", err)
		}
		if n == 0 {
			return all
		}
		all += n
	}
}

// claimSoon claims a task as soon as it can be claimed.
func claimSoon(t *testing.T, f *fleettest.Fleet, worker, want string) {
	t.Helper()
	testenv.Eventually(t, fleettest.Patience, func() (bool, string) {
		got := f.Claim(worker)
		return got == want, fmt.Sprintf("claimed %q, want %q", got, want)
	})
}

// A claim that waits at another coordinator than the one that created the task gets it on time.
func TestADueTaskReachesAClaimThatWaitsElsewhere(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		other := f.Beside()
		ctx, cancel := context.WithCancel(context.Background())
		var running sync.WaitGroup
		for _, at := range []*fleettest.Fleet{f, other} {
			running.Go(func() { at.RunTimers(ctx) })
		}
		defer func() { cancel(); running.Wait() }()
		f.Register("w", `["worker"]`, "")
		margin := int64(250)
		if f.Embedded {
			margin = 1000
		}
		latest := int64(0)
		for range 5 {
			waits := started(other, `{"workerId":"w","waitMs":30000}`)
			id := f.Create("x", `,"delayMs":300`)
			got := (<-waits).claimed(t)
			now := redisTime(f)
			task := timedTask(f, id)
			late := now - moment(t, task.RunAt)
			latest = max(latest, late)
			if got.TaskID != id || late < 0 || late > margin {
				t.Errorf("claimed %q %d ms after the time of %s", got.TaskID, late, id)
			}
			f.OK("task.complete", `{"id":%q}`, id)
		}
		t.Logf("at most %d ms late", latest)
	})
}

func TestCreateForALaterTime(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", `["worker"]`, "")
		before := redisTime(f)
		year := f.Create("x", `,"delayMs":31536000000`)
		if at := moment(t, timedTask(f, year).RunAt); at < before+31536000000 || at > redisTime(f)+31536000000 {
			t.Errorf("a year later is %d", at-before)
		}
		zone := f.Create("x", `,"runAt":"2095-01-02T03:04:05.678+02:00"`)
		if got := timedTask(f, zone); got.RunAt != "2095-01-02T01:04:05.678Z" || got.Status != "scheduled" {
			t.Errorf("got %+v", got)
		}
		if f.Claim("w") != "" || stepTimers(f) != 0 {
			t.Error("a task was due before its time")
		}
		f.Refused(api.CodeConflict, `{"reason":"NOT_PENDING","status":"scheduled"}`, "task.assign", `{"taskId":%q,"instanceId":"w"}`, zone)
		f.Refused(api.CodeConflict, `{"reason":"NOT_ASSIGNED"}`, "task.complete", `{"id":%q}`, zone)
		for _, now := range []string{`,"delayMs":0`, `,"runAt":"2001-01-01T00:00:00Z"`} {
			seq := f.Seq()
			id := f.Create("x", now)
			f.Emitted(seq, "task.created")
			if got := timedTask(f, id); got.Status != "pending" || got.RunAt == "" || f.Claim("w") != id {
				t.Errorf("with %s: %+v", now, got)
			}
		}
		soon := f.Create("x", `,"delayMs":20`)
		awaitTime(t, f, moment(t, timedTask(f, soon).RunAt))
		seq := f.Seq()
		if stepTimers(f) != 1 || f.Claim("w") != soon {
			t.Error("it is not due")
		}
		f.Holds(f.Emitted(seq, "task.due", "task.claimed")[0], fmt.Sprintf(`{"id":%q,"status":"pending","previousStatus":"scheduled"}`, soon))
	})
}

// The pauses grow by the factor up to the longest, and vary by the jitter. Answer, event and task
// agree on when the next try is.
func TestPausesGrow(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", `["worker"]`, "")
		for _, jitter := range []float64{0, 0.5} {
			id := f.Create("x", fmt.Sprintf(`,"retry":{"maxAttempts":5,"backoffMs":20,"factor":3,"maxBackoffMs":100,"jitter":%v}`, jitter))
			for n, pause := range []float64{20, 60, 100, 100} {
				claimSoon(t, f, "w", id)
				seq := f.Seq()
				answer := f.OK("task.complete", `{"id":%q,"workerId":"w","attempt":%d,"error":{"n":%d}}`, id, n+1, n)
				e := f.Emitted(seq, "task.retried")[0]
				task := timedTask(f, id)
				if want := fmt.Sprintf(`{"id":%q,"status":"scheduled","runAt":%q}`, id, task.RunAt); string(answer) != want {
					t.Errorf("answered %s, want %s", answer, want)
				}
				f.Holds(e, fmt.Sprintf(`{"id":%q,"attempt":%d,"failures":%d,"error":{"n":%d},"runAt":%q,"workerId":"w","status":"scheduled"}`,
					id, n+1, n+1, n, task.RunAt))
				got := float64(moment(t, task.RunAt) - e.Timestamp)
				if got < math.Floor(pause*(1-jitter))-1 || got > math.Ceil(pause*(1+jitter))+1 {
					t.Errorf("pause %d is %v ms with jitter %v", n+1, got, jitter)
				}
				if task.Status != "scheduled" || task.Failures != n+1 || task.AssignedTo != "" || len(task.Errors) != n+1 || string(task.Error) != "null" {
					t.Errorf("the task is %+v", task)
				}
			}
			claimSoon(t, f, "w", id)
			seq := f.Seq()
			f.OK("task.complete", `{"id":%q,"error":"last"}`, id)
			f.Holds(f.Emitted(seq, "task.failed")[0], `{"error":"last","failures":5,"attempt":5}`)
			if task := timedTask(f, id); task.Status != "failed" || task.Failures != 5 || string(task.Error) != `"last"` {
				t.Errorf("the task is %+v", task)
			}
		}
	})
}

func TestAFailureThatIsNotRetryable(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", `["worker"]`, "")
		id := f.Create("x", `,"retry":{"maxAttempts":5,"backoffMs":0}`)
		claimSoon(t, f, "w", id)
		f.OK("task.complete", `{"id":%q,"error":"so","retryable":true}`, id)
		claimSoon(t, f, "w", id)
		seq := f.Seq()
		f.OK("task.complete", `{"id":%q,"error":"no","retryable":false}`, id)
		f.Emitted(seq, "task.failed")
		if task := timedTask(f, id); task.Status != "failed" || task.Failures != 2 || task.Attempt != 2 {
			t.Errorf("the task is %+v", task)
		}
		f.Refused(api.CodeConflict, `{"reason":"ALREADY_FINISHED","status":"failed"}`, "task.complete", `{"id":%q}`, id)
	})
}

// A task keeps its last ten failures, each of them short. The events have the whole errors.
func TestTheLastErrorsAreKept(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", `["worker"]`, "")
		id := f.Create("x", `,"retry":{"maxAttempts":14,"backoffMs":0}`)
		for n := range 12 {
			claimSoon(t, f, "w", id)
			f.OK("task.complete", `{"id":%q,"error":{"n":%d,"rest":"\u001e,\n"}}`, id, n)
		}
		task := timedTask(f, id)
		if len(task.Errors) != 10 || task.Failures != 12 {
			t.Fatalf("%d failures, kept %d", task.Failures, len(task.Errors))
		}
		for i, e := range task.Errors {
			if e.Attempt != i+3 || e.WorkerID != "w" || !fleettest.IsoMoment.MatchString(e.At) || string(e.Error) != fmt.Sprintf(`{"n":%d,"rest":"\u001e,\n"}`, i+2) {
				t.Errorf("error %d is %+v", i, e)
			}
		}
		claimSoon(t, f, "w", id)
		long := `"` + strings.Repeat("é\\n", 250_000) + `"`
		seq := f.Seq()
		f.OK("task.complete", `{"id":%q,"error":%s}`, id, long)
		f.Holds(f.Emitted(seq, "task.retried")[0], `{"error":`+long+`}`)
		task = timedTask(f, id)
		kept := fleettest.Decoded[string](t, task.Errors[9].Error)
		if len(task.Errors) != 10 || len(kept) < 900 || len(kept) > 1000 || !strings.HasPrefix(long, kept) {
			t.Errorf("kept %d errors, the last with %d bytes: %.50q", len(task.Errors), len(kept), kept)
		}
	})
}

// A task that was lost with its worker too often fails, however the worker left. A loss takes no try
// away.
func TestWorkerLost(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{MaxLosses: 3}, func(t *testing.T, f *fleettest.Fleet) {
		f.Watched()
		n := 0
		register := func() {
			n++
			f.Register("w", `["worker"]`, fmt.Sprintf(`,"metadata":{"sessionId":"s%d"}`, n))
		}
		for way, lose := range map[string]func(){
			"dies":        func() { f.BuryAll(t); register() },
			"unregisters": func() { f.OK("system.unregister", `{"instanceId":"w"}`); register() },
			"new session": register,
		} {
			register()
			id := f.Create("x", `,"retry":{"maxAttempts":2,"backoffMs":0}`)
			for lost := range 3 {
				claimSoon(t, f, "w", id)
				lose()
				testenv.Eventually(t, fleettest.Patience, func() (bool, string) {
					task := timedTask(f, id)
					return task.Losses == lost+1, fmt.Sprintf("%s: %+v", way, task)
				})
				if task := timedTask(f, id); lost < 2 && (task.Status != "pending" || task.Failures != 0 || len(task.Errors) != 0) {
					t.Errorf("%s: lost %d times, it is %+v", way, lost+1, task)
				}
			}
			task := timedTask(f, id)
			if want := `{"reason":"WORKER_LOST","losses":3,"instanceId":"w"}`; task.Status != "failed" || string(task.Error) != want || task.Attempt != 3 {
				t.Errorf("%s: it is %+v with the error %s", way, task, task.Error)
			}
		}
		// Losses between two failures: the tries are all there.
		id := f.Create("x", `,"retry":{"maxAttempts":2,"backoffMs":0}`)
		claimSoon(t, f, "w", id)
		register()
		claimSoon(t, f, "w", id)
		f.OK("task.complete", `{"id":%q,"error":1}`, id)
		claimSoon(t, f, "w", id)
		register()
		claimSoon(t, f, "w", id)
		f.OK("task.complete", `{"id":%q,"error":2}`, id)
		if task := timedTask(f, id); task.Status != "failed" || task.Failures != 2 || task.Losses != 2 || string(task.Error) != "2" {
			t.Errorf("it is %+v", task)
		}
	})
}

// A task whose worker shows no sign of life is taken away at its time limit. task.progress renews it.
func TestTimeLimit(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", `["worker"]`, "")
		id := f.Create("x", `,"timeoutMs":2000,"retry":{"maxAttempts":2,"backoffMs":0}`)
		claim := fleettest.Decoded[struct{ Task timed }](t, f.OK("task.claim", `{"workerId":"w"}`))
		first := moment(t, claim.Task.TimeoutAt)
		awaitTime(t, f, first-500)
		said := fleettest.Decoded[api.ProgressResult](t, f.OK("task.progress", `{"id":%q,"workerId":"w","attempt":1,"percent":50}`, id))
		task := timedTask(f, id)
		if said.TimeoutAt != task.TimeoutAt || moment(t, task.TimeoutAt) < first+1400 {
			t.Fatalf("progress answered %+v, and the time limit is %s", said, task.TimeoutAt)
		}
		awaitTime(t, f, first)
		seq := f.Seq()
		if stepTimers(f) != 0 {
			t.Error("the task was taken away although it showed a sign of life")
		}
		awaitTime(t, f, moment(t, task.TimeoutAt))
		if n := stepTimers(f); n == 0 {
			t.Error("the task was not taken away")
		}
		events := f.Since(seq)
		if len(events) < 2 || events[0].Type != "task.timed_out" || events[1].Type != "task.retried" {
			t.Fatalf("emitted %+v", events)
		}
		f.Holds(events[0], fmt.Sprintf(`{"id":%q,"workerId":"w","attempt":1,"timeoutMs":2000,"timeoutAt":%q}`, id, task.TimeoutAt))
		f.Holds(events[1], `{"failures":1,"error":{"reason":"TIMED_OUT","timeoutMs":2000}}`)
		f.Refused(api.CodeConflict, `{"reason":"NOT_ASSIGNED"}`, "task.progress", `{"id":%q,"workerId":"w","attempt":1}`, id)
		f.Refused(api.CodeConflict, `{"reason":"NOT_ASSIGNED"}`, "task.complete", `{"id":%q,"workerId":"w","attempt":1}`, id)
		claimSoon(t, f, "w", id)
		f.Refused(api.CodeConflict, `{"reason":"STALE_ATTEMPT","attempt":2}`, "task.complete", `{"id":%q,"workerId":"w","attempt":1}`, id)
		if task = timedTask(f, id); task.Progress != nil {
			t.Errorf("the second try has the progress %s of the first", task.Progress)
		}
		awaitTime(t, f, moment(t, task.TimeoutAt))
		seq = f.Seq()
		stepTimers(f)
		f.Emitted(seq, "task.timed_out", "task.failed")
		if task = timedTask(f, id); task.Status != "failed" || task.TimeoutAt != "" || task.Failures != 2 {
			t.Errorf("it is %+v", task)
		}
	})
}

// Redis's clock steps back: no event goes back in time, and a task is not due before its time by that
// clock.
func TestTheClockStepsBack(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", `["worker"]`, "")
		f.Create("x", `,"delayMs":50`)
		ahead := redisTime(f) + 3_600_000
		f.Put([]any{"HSET", f.Keys.Log(), "ms", ahead})
		early := f.Create("x", `,"delayMs":100`)
		if at := moment(t, timedTask(f, early).RunAt); at > ahead-3_000_000 {
			t.Errorf("it runs at %d, which the clock reaches in an hour", at)
		}
		for range 2 {
			id := ""
			testenv.Eventually(t, fleettest.Patience, func() (bool, string) {
				id = f.Claim("w")
				return id != "", "claimed nothing"
			})
			f.OK("task.complete", `{"id":%q}`, id)
		}
		hour := f.Create("x", `,"delayMs":3000000`)
		if f.Claim("w") != "" || stepTimers(f) != 0 {
			t.Errorf("%s was due at once", hour)
		}
	})
}

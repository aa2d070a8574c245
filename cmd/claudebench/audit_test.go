package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claudebench/claudebench/client"
	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/devstack"
	"github.com/claudebench/claudebench/internal/keys"
	"github.com/claudebench/claudebench/internal/subscribers"
	"github.com/claudebench/claudebench/internal/testenv"
)

// The audit commands on a coordinator's data: replay prints the log, verify proves it, rebuild
// folds it again, and verify reports a state that was changed behind the coordinator's back.
func TestReplayVerifyAndRebuild(t *testing.T) {
	t.Parallel()
	namespace := testenv.Namespace(t)
	stores := []string{
		"CB_REDIS_URL=" + testenv.Redis(t).URL(), "CB_DATABASE_URL=" + testenv.Postgres(t), "CB_NAMESPACE=" + namespace,
		"CB_LISTEN=127.0.0.1:0",
	}
	url := "CB_URL=" + launch(t, stores, "serve").address(t)
	for _, c := range [][2]string{
		{"system.register", `{"id":"w","roles":["worker"]}`},
		{"task.create", `{"text":"one"}`},
		{"task.claim", `{"workerId":"w"}`},
		{"task.complete", `{"id":"t-3"}`},
		{"task.list", `{}`}, // the views have applied everything
	} {
		if r := execute(t, []string{url}, "call", c[0], c[1]); r.code != 0 {
			t.Fatalf("%s: %+v", c[0], r)
		}
	}

	types := func(out string) (all []string) {
		t.Helper()
		for line := range strings.Lines(out) {
			var e struct{ Type string }
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				t.Errorf("no JSON: %s", line)
			}
			all = append(all, e.Type)
		}
		return all
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "instance.registered leader.elected task.created task.claimed task.completed"},
		{[]string{"--types", "task.*"}, "task.created task.claimed task.completed"},
		{[]string{"--types", "leader.elected", "--to", "2000-01-01T00:00:00Z"}, ""},
	} {
		if r := execute(t, stores, append([]string{"replay"}, c.args...)...); r.code != 0 || strings.Join(types(r.out), " ") != c.want {
			t.Errorf("replay %v: %+v", c.args, r)
		}
	}

	historyOf(t, stores, url)
	pastOf(t, stores, url)
	if r := execute(t, stores, "verify"); r.code != 0 || !strings.Contains(r.out, "OK") || !strings.Contains(r.out, "1 row in Postgres") {
		t.Errorf("verify: %+v", r)
	}
	space, err := keys.New(namespace)
	if err != nil {
		t.Fatal(err)
	}
	checkpointsOf(t, stores, namespace)
	parkedOf(t, stores, namespace)
	if err := testenv.Client(t).HSet(t.Context(), space.State(), "tasks.completed", 7).Err(); err != nil {
		t.Fatal(err)
	}
	if r := execute(t, stores, "verify", "--quiet"); r.code != 1 || !strings.Contains(r.out, "tasks.completed") || r.log != "" {
		t.Errorf("verify of a state that was changed: %+v", r)
	}
	if r := execute(t, stores, "rebuild", "--all", "--dry-run"); r.code != exitFailed || !strings.Contains(r.log, "state: done") ||
		!strings.Contains(r.out, `tasks.completed: "7"; the log says "1"`) || !strings.Contains(r.out, "tasks: no differences at event ") {
		t.Errorf("rebuild --dry-run of a state that was changed: %+v", r)
	}
	if r := execute(t, stores, "verify", "--quiet"); r.code != 1 {
		t.Errorf("verify after rebuild --dry-run: %+v", r)
	}
	if r := execute(t, stores, "rebuild", "all"); r.code != 0 || !strings.Contains(r.log, "tasks: done") || !strings.Contains(r.log, "the live view was replaced") {
		t.Errorf("rebuild: %+v", r)
	}
	if r := execute(t, stores, "rebuild", "--all", "--dry-run"); r.code != 0 {
		t.Errorf("rebuild --dry-run after rebuild: %+v", r)
	}
	if r := execute(t, stores, "verify", "--json"); r.code != 0 || !json.Valid([]byte(r.out)) {
		t.Errorf("verify after rebuild: %+v", r)
	}
	for _, command := range [][]string{{"verify"}, {"rebuild", "all"}} {
		typo := append(command, "--namespace", "typo")
		if r := execute(t, stores, typo...); r.code != exitUsage || !strings.Contains(r.log, `namespace "typo" has no log`) {
			t.Errorf("%q: %+v", typo, r)
		}
	}
	if r := execute(t, []string{"CB_REDIS_URL=redis://127.0.0.1:1"}, "verify"); r.code != exitUnavailable || !strings.Contains(r.log, "127.0.0.1:1") || strings.Contains(r.log, "pool.go") {
		t.Errorf("verify without Redis: %+v", r)
	}
}

// pastOf checks `state` and `diff` of a log with the events instance.registered, leader.elected,
// task.created, task.claimed and task.completed: from Redis, and from the coordinator.
func pastOf(t *testing.T, stores []string, url string) {
	t.Helper()
	var answers [][2]string
	for _, source := range [][]string{stores, {url}} {
		for _, c := range []struct {
			args  []string
			wants []string
		}{
			{[]string{"state", "--at", "4"}, []string{"(seq 4, ", "leader w, term 1", "1 in_progress", "Instances (1)", "BUSY", "Open tasks (1)", "active"}},
			{[]string{"state", "--at", "3"}, []string{"1 pending", "(none)  1", "waiting"}},
			{[]string{"state", "--at", "0"}, []string{"after no event; no leader"}},
			{[]string{"state"}, []string{"(seq 5, ", "1 completed", "IDLE"}},
			{[]string{"diff", "3", "4"}, []string{"1 events; 0 tasks created, 1 others changed", "in_progress with w", "status, assignedTo", "BUSY"}},
			{[]string{"diff", "2"}, []string{"3 events; 1 tasks created", "completed with w", "created"}},
		} {
			r := execute(t, source, c.args...)
			for _, want := range c.wants {
				if r.code != 0 || !strings.Contains(r.out, want) {
					t.Errorf("%q by %v lacks %q: %+v", c.args, source, want, r)
				}
			}
		}
		if r := execute(t, source, "diff", "4", "3"); r.code == 0 || !strings.Contains(r.log, "the first position is after the second") {
			t.Errorf("diff of 4 and 3 by %v: %+v", source, r)
		}
		state, diff := execute(t, source, "state", "--at", "4", "--format", "json"), execute(t, source, "diff", "0", "5", "--format", "json")
		answers = append(answers, [2]string{state.out, diff.out})
		if !json.Valid([]byte(state.out)) || !json.Valid([]byte(diff.out)) {
			t.Errorf("by %v: %+v, %+v", source, state, diff)
		}
	}
	if diff := cmp.Diff(answers[0], answers[1]); diff != "" {
		t.Errorf("-by Redis +by the coordinator\n%s", diff)
	}
}

// historyOf checks `history` of the task t-3 and of its worker: from Redis and Postgres, from Redis
// alone, and from the coordinator.
func historyOf(t *testing.T, stores []string, url string) {
	t.Helper()
	for _, source := range [][]string{stores, append(slices.Clone(stores), "CB_DATABASE_URL="), {url}} {
		r := execute(t, source, "history", "t-3")
		for _, want := range []string{"task.created", "pending → in_progress", "in_progress → completed", "t-3: 3 events", "now completed", "task.claimed: 1"} {
			if r.code != 0 || !strings.Contains(r.out, want) {
				t.Errorf("history by %v lacks %q: %+v", source, want, r)
			}
		}
		r = execute(t, source, "history", "w", "--limit", "1", "--format", "json")
		var h struct {
			Events  []struct{ Event struct{ Type string } }
			LeftOut int
			Totals  struct{ Events int }
		}
		if err := json.Unmarshal([]byte(r.out), &h); err != nil || len(h.Events) != 1 || h.Events[0].Event.Type != "task.completed" || h.LeftOut != 3 || h.Totals.Events != 4 {
			t.Errorf("history of the worker by %v: %+v, %v", source, r, err)
		}
		if r := execute(t, source, "history", "t-3", "--instance"); r.code != exitFailed || !strings.Contains(r.log, "no event is about t-3") {
			t.Errorf("history of an instance that never was by %v: %+v", source, r)
		}
	}
}

// A coordinator refuses to start on a Redis that lost its data, and the error names the command
// that takes the rows over.
func TestTakeOver(t *testing.T) {
	t.Parallel()
	server := testenv.OwnRedis(t, devstack.RedisOptions{})
	stores := []string{"CB_REDIS_URL=" + server.URL(), "CB_DATABASE_URL=" + testenv.Postgres(t), "CB_NAMESPACE=" + testenv.Namespace(t)}
	serve := []string{"serve", "--listen", "127.0.0.1:0"}
	c := launch(t, stores, serve...)
	url := "CB_URL=" + c.address(t)
	if r := execute(t, []string{url}, "call", "task.create", `{"text":"of the log that is lost"}`); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	testenv.Eventually(t, time.Minute, func() (bool, string) {
		r := execute(t, []string{url}, "call", "task.list")
		return strings.Contains(r.out, `"totalCount":1`), fmt.Sprintf("%+v", r)
	})
	c.signal(t, os.Interrupt)
	c.ended(t)
	if err := testenv.ClientOf(t, server).FlushAll(t.Context()).Err(); err != nil { //nolint:forbidigo // this Redis is the test's own
		t.Fatal(err)
	}
	const command = "rebuild tasks --take-over"
	typo := append(strings.Fields(command), "--namespace", "typo")
	if r := execute(t, stores, typo...); r.code != exitUsage || !strings.Contains(r.log, `namespace "typo" has no log`) {
		t.Errorf("a namespace without rows: %+v", r)
	}
	away := append(slices.Clone(stores), "CB_DATABASE_URL=postgres://127.0.0.1:1/away")
	if r := execute(t, away, typo...); r.code != exitUnavailable {
		t.Errorf("without Postgres: %+v", r)
	}
	if left, err := testenv.ClientOf(t, server).Keys(t.Context(), "*typo*").Result(); err != nil || len(left) != 0 { //nolint:forbidigo // this Redis is the test's own
		t.Errorf("the refused rebuilds left %q, %v", left, err)
	}
	if r := execute(t, stores, serve...); r.code != exitFailed || !strings.Contains(r.log, command) {
		t.Fatalf("a start on the empty Redis: %+v", r)
	}
	if r := execute(t, stores, "rebuild", "tasks"); r.code != exitFailed || !strings.Contains(r.log, command) {
		t.Errorf("a rebuild: %+v", r)
	}
	if err := testenv.ClientOf(t, server).FlushAll(t.Context()).Err(); err != nil { //nolint:forbidigo // this Redis is the test's own
		t.Fatal(err)
	}
	if r := execute(t, stores, strings.Fields(command)...); r.code != 0 {
		t.Fatalf("%s: %+v", command, r)
	}
	c = launch(t, stores, serve...)
	if r := execute(t, []string{"CB_URL=" + c.address(t)}, "call", "task.list"); r.code != 0 || !strings.Contains(r.out, `"totalCount":0`) {
		t.Errorf("after the take-over: %+v", r)
	}
	if r := execute(t, stores, "verify"); r.code != 0 {
		t.Errorf("verify after the take-over: %+v", r)
	}
}

// checkpointsOf lists the subscribers of a fleet whose log has five events, and deletes a checkpoint.
func checkpointsOf(t *testing.T, stores []string, namespace string) {
	t.Helper()
	saved, err := events.NewRedisCheckpoints(testenv.Client(t), namespace)
	if err != nil {
		t.Fatal(err)
	}
	if err := saved.Save(t.Context(), "mine\tand\x1b", events.ID{MS: 1, Seq: 1}); err != nil {
		t.Fatal(err)
	}
	var list client.SubscribersResult
	r := execute(t, stores, "checkpoints", "--format", "json")
	if err := json.Unmarshal([]byte(r.out), &list); err != nil || r.code != 0 {
		t.Fatalf("checkpoints: %+v, %v", r, err)
	}
	lags := map[string]int64{}
	for _, s := range list.Subscribers {
		lags[s.Kind+" "+s.Name] = *s.Lag
	}
	if diff := cmp.Diff(map[string]int64{
		"projection state": 0, "projection metrics": 0, "projection tasks": 0, "projection events": 0,
		"checkpoint mine\tand\x1b": 4,
	}, lags); diff != "" {
		t.Errorf("checkpoints: %s", diff)
	}
	if r := execute(t, stores, "checkpoints"); r.code != 0 || len(strings.Split(strings.TrimSpace(r.out), "\n")) != 6 || strings.Contains(r.out, "\x1b") {
		t.Errorf("checkpoints: %+v", r)
	}
	for _, want := range []int{0, exitFailed} {
		if r := execute(t, stores, "checkpoints", "delete", "mine\tand\x1b"); r.code != want {
			t.Errorf("checkpoints delete: %+v, want %d", r, want)
		}
	}
	if r := execute(t, stores, "checkpoints"); strings.Contains(r.out, "mine") {
		t.Errorf("checkpoints after delete: %+v", r)
	}
}

// parkedOf parks the only task.created of a fleet twice, and retries and drops it.
func parkedOf(t *testing.T, stores []string, namespace string) {
	t.Helper()
	sub, err := events.NewGroupSubscriber(testenv.Client(t), events.GroupSubscriberConfig{
		Namespace: namespace, Group: "mail", MaxDeliveries: 1, Block: 20 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	messages, err := sub.Subscribe(t.Context(), "task.created")
	if err != nil {
		t.Fatal(err)
	}
	park := func() string {
		t.Helper()
		(<-messages).Nack()
		var list []subscribers.Parked
		testenv.Eventually(t, time.Minute, func() (bool, string) {
			r := execute(t, stores, "parked", "list", "--format", "json", "--group", "mail")
			if err := json.Unmarshal([]byte(r.out), &list); err != nil || r.code != 0 {
				t.Fatalf("parked list: %+v, %v", r, err)
			}
			return len(list) == 1, r.out
		})
		if p := list[0]; p.Type != "task.created" || p.Reason != "nacked" || p.Deliveries != 1 || !strings.Contains(p.Data, `"text":"one"`) {
			t.Errorf("parked %+v", p)
		}
		return list[0].ID
	}
	first := park()
	if r := execute(t, stores, "parked", "list"); r.code != 0 || !strings.Contains(r.out, first) {
		t.Errorf("parked list: %+v", r)
	}
	if r := execute(t, stores, "checkpoints"); r.code != 0 || !strings.Contains(r.out, "1 parked event(s)") {
		t.Errorf("checkpoints: %+v", r)
	}
	if r := execute(t, stores, "parked", "retry", first); r.code != 0 || r.out != "retried 1\n" {
		t.Errorf("parked retry: %+v", r)
	}
	second := park()
	if r := execute(t, stores, "parked", "drop", first, second); r.code != exitFailed || r.out != "dropped 1\n" || !strings.Contains(r.log, "1 left: not parked") {
		t.Errorf("parked drop: %+v", r)
	}
	if r := execute(t, stores, "parked", "drop", "--all"); r.code != 0 || r.out != "dropped 0\n" {
		t.Errorf("parked drop: %+v", r)
	}
	if r := execute(t, stores, "parked", "list", "--format", "json"); r.code != 0 || r.out != "[]\n" {
		t.Errorf("parked list: %+v", r)
	}
	if err := sub.Close(); err != nil {
		t.Error(err)
	}
}

package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/testenv"
)

// claimed is the result of task.claim.
type claimed struct {
	Claimed bool   `json:"claimed"`
	TaskID  string `json:"taskId"`
}

// waits fails unless n calls wait at a coordinator.
func waits(t *testing.T, c *client, n int) {
	t.Helper()
	testenv.Eventually(t, 30*time.Second, func() (bool, string) {
		_, text := c.get(t, "/metrics")
		return strings.Contains(text, fmt.Sprintf("\nclaudebench_claims_waiting %d\n", n)), fmt.Sprintf("there are not %d waiting calls", n)
	})
}

// A claim waits on every transport, and gets a task that another coordinator creates.
func TestClaimsWaitOnEveryTransport(t *testing.T) {
	t.Parallel()
	cfg := settings(t, nil)
	c := start(t, cfg)
	other := start(t, cfg)
	call[object](t, c, "system.register", params{"id": "w", "roles": []string{"worker"}})
	post := func(path, body string) string {
		response, err := http.Post(c.url+path, "application/json", strings.NewReader(body)) //nolint:noctx // a test
		if err != nil {
			return err.Error()
		}
		defer func() { _ = response.Body.Close() }()
		var text bytes.Buffer
		_, _ = text.ReadFrom(response.Body)
		return text.String()
	}
	for name, ask := range map[string]func() string{
		"JSON-RPC": func() string {
			return post("/rpc", `{"jsonrpc":"2.0","id":1,"method":"task.claim","params":{"workerId":"w","waitMs":60000}}`)
		},
		"a batch": func() string {
			return post("/rpc/batch", `[{"jsonrpc":"2.0","id":1,"method":"system.heartbeat","params":{"instanceId":"w"}},
				{"jsonrpc":"2.0","id":2,"method":"task.claim","params":{"workerId":"w","waitMs":60000}}]`)
		},
		"REST": func() string { return post("/api/task/claim", `{"workerId":"w","waitMs":60000}`) },
		"MCP": func() string {
			return fmt.Sprint(meet(t, c).use(t, "task_claim", params{"workerId": "w", "waitMs": 60000}))
		},
	} {
		answers := make(chan string, 1)
		go func() { answers <- ask() }()
		waits(t, c, 1)
		id := other.create(t, params{"text": "x"})
		if answer := <-answers; !strings.Contains(answer, id) {
			t.Errorf("%s answered %s, want %s", name, answer, id)
		}
	}
	if _, text := c.get(t, "/metrics"); !regexp.MustCompile(`\nclaudebench_claim_attempts_total [1-9]`).MatchString(text) {
		t.Error("/metrics counts no attempts to claim")
	}
}

// Whoever closes the connection claims nothing.
func TestAClientThatHangsUpClaimsNothing(t *testing.T) {
	t.Parallel()
	c := start(t, settings(t, nil))
	call[object](t, c, "system.register", params{"id": "w", "roles": []string{"worker"}})
	body := `{"jsonrpc":"2.0","id":1,"method":"task.claim","params":{"workerId":"w","waitMs":60000}}`
	addr := strings.TrimPrefix(c.url, "http://")
	conn := connect(t, addr)
	if _, err := fmt.Fprintf(conn, "POST /rpc HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", addr, len(body), body); err != nil {
		t.Fatal(err)
	}
	waits(t, c, 1)
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	waits(t, c, 0)
	id := c.create(t, params{"text": "x"})
	if task := call[object](t, c, "task.get", params{"id": id}); task["status"] != "pending" {
		t.Errorf("the task is %v", task)
	}
}

// A coordinator that is stopped answers its waiting calls at once, so that nothing delays its end.
func TestAStopAnswersWaitingClaims(t *testing.T) {
	t.Parallel()
	cfg := settings(t, nil)
	s, err := Start(t.Context(), cfg, Options{Logger: quiet, BreakerOpen: briefly})
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t, s.Addr())
	call[object](t, c, "system.register", params{"id": "w", "roles": []string{"worker"}})
	const calls = 100
	var answered sync.WaitGroup
	for range calls {
		answered.Go(func() {
			if got := call[claimed](t, c, "task.claim", params{"workerId": "w", "waitMs": 60000}); got.Claimed {
				t.Errorf("answered %+v", got)
			}
		})
	}
	waits(t, c, calls)
	began := time.Now()
	if err := s.Stop(context.Background()); err != nil {
		t.Error(err)
	}
	answered.Wait()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the stop took %v", took)
	}
}

// A thousand waiting workers survive a restart of their coordinator and a flush, and get every task.
func TestAThousandWaitingWorkers(t *testing.T) {
	t.Parallel()
	cfg := settings(t, func(c *config.Config) { c.InstanceTTL = time.Minute })
	first := spawn(t, cfg)
	cfg2 := *cfg
	cfg2.Listen = strings.TrimPrefix(first.url, "http://")
	second := start(t, cfg)
	const workers = 1000
	var done atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	var working sync.WaitGroup
	for n := range workers {
		id := fmt.Sprint("w", n)
		working.Go(func() {
			at := []*client{first.client, second}
			for round := n; ctx.Err() == nil; round++ { // the next coordinator, as a load balancer would
				if oneRound(at[round%2], id, &done) == nil { // the tasks show whether it worked
					continue
				}
				select { // as clients do, so that they do not keep a flush from its work
				case <-time.After(time.Duration(100+n%400) * time.Millisecond):
				case <-ctx.Done():
				}
			}
		})
	}
	batch := func(n int) {
		t.Helper()
		before := done.Load()
		tasks := make([]params, n)
		for i := range tasks {
			tasks[i] = params{"text": "x"}
		}
		call[object](t, second, "task.create_many", params{"tasks": tasks})
		testenv.Eventually(t, 60*time.Second, func() (bool, string) {
			return done.Load() >= before+int64(n), fmt.Sprintf("%d of %d tasks are done", done.Load()-before, n)
		})
	}
	batch(200)
	first.kill(t)
	batch(200) // by the others
	again := spawn(t, &cfg2)
	batch(200)
	call[object](t, second, "system.flush", params{"confirm": "FLUSH_ALL_DATA"})
	testenv.Eventually(t, 60*time.Second, func() (bool, string) {
		health := call[object](t, second, "system.health", nil)
		return health["status"] != "unhealthy", fmt.Sprint(health)
	})
	batch(400)
	cancel()
	again.kill(t) // ends the calls that wait there
	last := make([]params, workers)
	for n := range last {
		last[n] = params{"text": "the end"}
	}
	call[object](t, second, "task.create_many", params{"tasks": last}) // ends the others
	working.Wait()
	verified(t, cfg)
}

// oneRound claims a task, waiting for it, and completes it. It registers if it has to.
func oneRound(c *client, worker string, done *atomic.Int64) error {
	result, err := c.ask("task.claim", params{"workerId": worker, "waitMs": 20000})
	if err != nil {
		_, err = c.ask("system.register", params{"id": worker, "roles": []string{"worker"}, "metadata": params{"maxTasks": 0}})
		return err
	}
	var got struct {
		claimed
		Task struct{ Attempt int }
	}
	if err := json.Unmarshal(result, &got); err != nil || !got.Claimed {
		return err
	}
	if _, err := c.ask("task.complete", params{"id": got.TaskID, "workerId": worker, "attempt": got.Task.Attempt, "result": "ok"}); err != nil {
		return err
	}
	done.Add(1)
	return nil
}

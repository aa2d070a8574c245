package server

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/keys"
	"github.com/claudebench/claudebench/internal/testenv"
)

const confirm = "FLUSH_ALL_DATA"

// follower is a service that follows the log and never restarts.
type follower struct{ messages <-chan *message.Message }

func follow(t *testing.T, cfg *config.Config) *follower {
	t.Helper()
	s, err := events.NewSubscriber(redisOf(t, cfg), events.SubscriberConfig{
		ReaderConfig: events.ReaderConfig{Namespace: cfg.Namespace}, Name: "service",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	messages, err := s.Subscribe(t.Context(), "*")
	if err != nil {
		t.Fatal(err)
	}
	return &follower{messages}
}

// next returns the next event.
func (f *follower) next(t *testing.T) events.Envelope {
	t.Helper()
	timeout := time.NewTimer(time.Minute)
	defer timeout.Stop()
	select {
	case m, ok := <-f.messages:
		if !ok {
			t.Fatal("the subscription has ended")
		}
		m.Ack()
		e, err := events.Decode(m.Payload)
		if err != nil {
			t.Fatal(err)
		}
		return e
	case <-timeout.C:
		t.Fatal("no event comes")
	}
	return events.Envelope{}
}

func logHash(t *testing.T, cfg *config.Config, rdb redis.UniversalClient) map[string]string {
	t.Helper()
	space, err := keys.New(cfg.Namespace)
	if err != nil {
		t.Fatal(err)
	}
	h, err := rdb.HGetAll(t.Context(), space.Log()).Result()
	if err != nil {
		return map[string]string{} // Redis is unavailable
	}
	return h
}

// Projections and subscribers continue after a flush without a restart. Postgres is complete.
func TestFlush(t *testing.T) {
	t.Parallel()
	for name, include := range map[string]bool{"postgres too": true, "redis only": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := settings(t, func(c *config.Config) { c.DatabaseURL = testenv.Postgres(t) })
			a, b := start(t, cfg), start(t, cfg)
			a.ready(t)
			b.ready(t)
			service := follow(t, cfg)
			call[object](t, a, "system.register", params{"id": "w", "roles": []string{"worker"}})
			created := 0
			for range 3 {
				for range 60 {
					a.create(t, params{"text": "before"})
					created++
				}
				call[object](t, b, "task.claim", params{"workerId": "w"})
				last := redisSeq(t, cfg)
				flushed := call[api.FlushResult](t, a, "system.flush", params{"confirm": confirm, "includePostgres": include})
				if flushed.Redis.KeysDeleted < 60 || (flushed.Postgres != nil) != include {
					t.Errorf("answered %+v", flushed)
				}
				if include && flushed.Postgres.TasksDeleted != int64(created) {
					t.Errorf("%d rows deleted of %d", flushed.Postgres.TasksDeleted, created)
				}
				if include {
					created = 0
				}
				e := service.next(t)
				for ; e.Type != events.TypeSystemFlushed; e = service.next(t) {
					if e.Seq > last {
						t.Fatalf("%s came where the flush was to come", e.ID)
					}
				}
				if e.Seq != last+1 {
					t.Errorf("the flush is event %d, want %d", e.Seq, last+1)
				}
				call[object](t, b, "system.register", params{"id": "w", "roles": []string{"worker"}})
				id := b.create(t, params{"text": "after"})
				created++
				for seq := e.Seq + 1; ; seq++ {
					if e = service.next(t); e.Seq != seq {
						t.Fatalf("event %d follows %d", e.Seq, seq-1)
					}
					if e.Type == events.TypeTaskCreated {
						break
					}
				}
				if id != fmt.Sprint("t-", e.Seq) {
					t.Errorf("the task is %s", id)
				}
				if listed := call[page](t, b, "task.list", params{"limit": 1}); listed.TotalCount != created {
					t.Errorf("%d tasks are listed, want %d", listed.TotalCount, created)
				}
			}
			caughtUp(t, a)
			verified(t, cfg)
			rdb := redisOf(t, cfg)
			if state := rdb.HGetAll(t.Context(), "cb:{"+cfg.Namespace+"}:state:global").Val(); state["tasks.total"] != "1" ||
				state["version"] != fmt.Sprint(redisSeq(t, cfg)) {
				t.Errorf("the global state is %v", state)
			}
		})
	}
}

func redisSeq(t *testing.T, cfg *config.Config) int64 {
	t.Helper()
	n, err := strconv.ParseInt(logHash(t, cfg, redisOf(t, cfg))["seq"], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// fill writes so many keys into the namespace that a flush takes a while.
func fill(t testing.TB, rdb redis.UniversalClient, namespace string, n int) {
	t.Helper()
	for from := 0; from < n; from += 5000 {
		if _, err := rdb.Pipelined(t.Context(), func(p redis.Pipeliner) error {
			for i := from; i < min(from+5000, n); i++ {
				p.HSet(t.Context(), fmt.Sprintf("cb:{%s}:todo:%d", namespace, i), "text", "something to do", "done", "0")
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// deleting waits until a flush deletes keys.
func deleting(t *testing.T, cfg *config.Config, rdb redis.UniversalClient) {
	t.Helper()
	testenv.Eventually(t, 20*time.Second, func() (bool, string) {
		h := logHash(t, cfg, rdb)
		n, _ := strconv.Atoi(h["flushKeys"]) // 0 if there is none
		return n > 5000, fmt.Sprintf("the log's hash is %v", h)
	})
}

// flushedOnce waits for the end of the flush and returns its event.
func flushedOnce(t *testing.T, service *follower) events.SystemFlushed {
	t.Helper()
	e := service.next(t)
	for e.Type != events.TypeSystemFlushed {
		e = service.next(t)
	}
	p, err := events.PayloadAs[events.SystemFlushed](e)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// The process that runs a flush is killed. Another one completes the flush, and the count is exact.
func TestFlushOutlivesItsCoordinator(t *testing.T) {
	t.Parallel()
	const many = 150_000
	server := durable(t)
	cfg := settings(t, func(c *config.Config) { c.RedisURL, c.DatabaseURL = server.URL(), testenv.Postgres(t) })
	victim, other := spawn(t, cfg), start(t, cfg)
	victim.ready(t)
	other.ready(t)
	service := follow(t, cfg)
	for range 10 {
		other.create(t, params{"text": "x"})
	}
	rdb := redisOf(t, cfg)
	fill(t, rdb, cfg.Namespace, many)
	answered := make(chan error)
	go func() {
		_, err := victim.ask("system.flush", params{"confirm": confirm})
		answered <- err
	}()
	deleting(t, cfg, rdb)
	// The log is deleted first. Otherwise the metrics, whose checkpoint is deleted too, would be
	// folded from it again.
	if n := rdb.Exists(t.Context(), "cb:{"+cfg.Namespace+"}:stream:events").Val(); n != 0 {
		t.Error("the log is there while keys are deleted")
	}
	if r := refused(t, other, api.CodeConflict, "task.create", params{"text": "x"}); !strings.Contains(string(r.Data), "FLUSH_IN_PROGRESS") {
		t.Errorf("refused with %s", r.Data)
	}
	if err := victim.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := <-answered; err == nil {
		t.Error("it was answered")
	}
	p := flushedOnce(t, service)
	if p.Redis < many || p.Redis > many+100 || p.Postgres == nil || p.Postgres.TasksDeleted != 10 {
		t.Errorf("flushed %+v", p)
	}
	other.create(t, params{"text": "after"})
	caughtUp(t, other)
	verified(t, cfg)
}

// Redis is killed while keys are deleted. The flush continues when Redis is back, and the count is
// exact.
func TestRedisIsKilledDuringAFlush(t *testing.T) {
	t.Parallel()
	const many = 150_000
	server := durable(t)
	cfg := settings(t, func(c *config.Config) { c.RedisURL, c.DatabaseURL = server.URL(), testenv.Postgres(t) })
	c := start(t, cfg)
	c.ready(t)
	service := follow(t, cfg)
	c.create(t, params{"text": "x"})
	rdb := redisOf(t, cfg)
	fill(t, rdb, cfg.Namespace, many)
	answered := make(chan api.FlushResult)
	go func() {
		defer close(answered)
		answered <- call[api.FlushResult](t, c, "system.flush", params{"confirm": confirm})
	}()
	deleting(t, cfg, rdb)
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	result, p := <-answered, flushedOnce(t, service)
	if p.Redis < many || p.Redis > many+100 || p.Redis != result.Redis.KeysDeleted || result.Postgres == nil || result.Postgres.TasksDeleted != 1 {
		t.Errorf("answered %+v, flushed %+v", result, p)
	}
	c.create(t, params{"text": "after"})
	caughtUp(t, c)
	verified(t, cfg)
}

// The caller hangs up, and the flush continues.
func TestFlushOutlivesItsCaller(t *testing.T) {
	t.Parallel()
	server := durable(t)
	cfg := settings(t, func(c *config.Config) { c.RedisURL = server.URL() })
	c := start(t, cfg)
	c.ready(t)
	service := follow(t, cfg)
	rdb := redisOf(t, cfg)
	fill(t, rdb, cfg.Namespace, 100_000)
	ctx, leave := context.WithCancel(t.Context())
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": "system.flush", "params": params{"confirm": confirm}})
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url+"/rpc", strings.NewReader(string(body)))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		if response, err := c.http.Do(request); err == nil {
			_ = response.Body.Close()
			t.Error("it was answered")
		}
	}()
	deleting(t, cfg, rdb)
	leave()
	<-gone
	if p := flushedOnce(t, service); p.Redis < 100_000 {
		t.Errorf("flushed %+v", p)
	}
	testenv.Eventually(t, 20*time.Second, func() (bool, string) {
		_, err := c.ask("task.create", params{"text": "after"})
		return err == nil, fmt.Sprint(err)
	})
}

// Without Postgres a flush changes nothing, whether rows are to be deleted or kept.
func TestFlushWithoutPostgres(t *testing.T) {
	t.Parallel()
	postgres := testenv.OwnPostgres(t)
	cfg := settings(t, func(c *config.Config) { c.DatabaseURL = postgres.DatabaseURL("postgres") })
	c := start(t, cfg)
	c.ready(t)
	call[object](t, c, "system.register", params{"id": "w", "roles": []string{"worker"}})
	id := c.create(t, params{"text": "x"})
	caughtUp(t, c)
	if err := postgres.Kill(); err != nil {
		t.Fatal(err)
	}
	for _, include := range []bool{true, false} {
		r := refused(t, c, api.CodeInternal, "system.flush", params{"confirm": confirm, "includePostgres": include})
		if r.text() != api.PostgresUnavailable {
			t.Errorf("refused with %v", r)
		}
	}
	if claim := call[struct{ TaskID string }](t, c, "task.claim", params{"workerId": "w"}); claim.TaskID != id {
		t.Errorf("claimed %q", claim.TaskID)
	}
	if err := postgres.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	caughtUp(t, c)
	if got := call[api.FlushResult](t, c, "system.flush", params{"confirm": confirm}); got.Postgres == nil || got.Postgres.TasksDeleted != 1 {
		t.Errorf("answered %+v", got)
	}
	caughtUp(t, c)
	verified(t, cfg)
}

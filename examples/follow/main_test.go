package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/keys"
	"github.com/claudebench/claudebench/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

func TestFollow(t *testing.T) {
	client, namespace := testenv.Client(t), testenv.Namespace(t)
	add := func(seq int64, typ events.Type, payload string) {
		t.Helper()
		appendEvent(t, client, namespace, seq, typ, payload)
	}
	args := []string{"--redis-url", testenv.Redis(t).URL(), "--namespace", namespace, "--types", "task.*", "--name", "test"}

	add(1, events.TypeTaskCreated, `{"id":"t-1","text":"count","priority":50}`)
	add(2, events.TypeInstanceFailed, `{"id":"w"}`)
	add(3, "task.invented", `{"x":1}`)
	service := start(t, args)
	service.wait(t, `t-1 "count", priority 50`, `{"x":1}`)
	service.stop(t)
	if strings.Contains(service.text(), "instance.failed") {
		t.Errorf("printed what was not asked for:\n%s", service.text())
	}

	// It continues where it stopped.
	add(4, events.TypeTaskCompleted, `{"id":"t-1","workerId":"w","duration":12,"result":{"n":3}}`)
	service = start(t, args)
	service.wait(t, `t-1 by w in 12 ms: {"n":3}`)
	service.stop(t)
	if lines := strings.Count(service.text(), "\n"); lines != 1 {
		t.Errorf("printed %d lines after the restart:\n%s", lines, service.text())
	}
}

func TestFollowRefuses(t *testing.T) {
	for _, args := range [][]string{{}, {"--name", "x", "--redis-url", "?"}, {"--name", "x", "--types", "a*"}, {"--name", "x", "--namespace", ":"}} {
		if err := run(t.Context(), args, io.Discard, io.Discard); err == nil {
			t.Errorf("%q was taken", args)
		}
	}
}

// appendEvent appends an event to the log as a command's script does.
func appendEvent(t *testing.T, client *redis.Client, namespace string, seq int64, typ events.Type, payload string) {
	t.Helper()
	space, err := keys.New(namespace)
	if err != nil {
		t.Fatal(err)
	}
	id := events.ID{MS: 1700000000000, Seq: seq}
	data, err := events.Envelope{ID: id, Seq: seq, Type: typ, V: 1, Timestamp: id.MS, Actor: "test", Payload: json.RawMessage(payload)}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	args := &redis.XAddArgs{Stream: space.Events(), ID: id.String(), Values: []any{"data", data}}
	if err := client.XAdd(t.Context(), args).Err(); err != nil {
		t.Fatal(err)
	}
	if err := client.HSet(t.Context(), space.Log(), "seq", seq, "ms", id.MS).Err(); err != nil {
		t.Fatal(err)
	}
}

// running is an instance of the program that runs in a goroutine.
type running struct {
	cancel context.CancelFunc
	done   chan error

	mu  sync.Mutex
	out strings.Builder
}

func start(t *testing.T, args []string) *running {
	ctx, cancel := context.WithCancel(t.Context())
	r := &running{cancel: cancel, done: make(chan error, 1)}
	go func() { r.done <- run(ctx, args, r, t.Output()) }()
	return r
}

func (r *running) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.out.Write(p)
}

func (r *running) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.out.String()
}

func (r *running) wait(t *testing.T, lines ...string) {
	t.Helper()
	testenv.Eventually(t, 20*time.Second, func() (bool, string) {
		text := r.text()
		for _, line := range lines {
			if !strings.Contains(text, line) {
				return false, fmt.Sprintf("%q is not in:\n%s", line, text)
			}
		}
		return true, ""
	})
}

func (r *running) stop(t *testing.T) {
	t.Helper()
	r.cancel()
	if err := <-r.done; err != nil {
		t.Error(err)
	}
}

package commands_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"golang.org/x/sync/errgroup"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/fleettest"
	"github.com/claudebench/claudebench/internal/testenv"
)

// While Redis is unavailable, every command returns within its timeout. Once Redis is back, no
// acknowledged change is lost and none has happened twice.
func TestRedisGoneAndBack(t *testing.T) {
	t.Parallel()
	f, server := fleettest.OwnFleet(t)
	f.Register("w", `["worker"]`, "")
	kept := f.Create("kept", "")
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	var g errgroup.Group
	for method, params := range map[string]string{
		"task.create": `{"text":"x"}`, "task.get": `{"id":"t-1"}`, "task.claim": `{"workerId":"w"}`, "system.heartbeat": `{"instanceId":"w"}`,
		"system.register": `{"id":"v","roles":[]}`, "system.check_health": `{}`, "task.update": `{"id":"t-1","updates":{"metadata":{"a":1}}}`,
	} {
		g.Go(func() error {
			start := time.Now()
			_, err := f.Do(method, params)
			if !fleettest.InternalError(err, api.RedisUnavailable) && !fleettest.InternalError(err, api.OutcomeUnknown) {
				return fmt.Errorf("%s: %w", method, err)
			}
			if took := time.Since(start); took > f.Method(method).Timeout+500*time.Millisecond {
				return fmt.Errorf("%s answered after %v", method, took)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	tick, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := f.Sweep(tick); err == nil {
		t.Error("the monitor did not notice")
	}
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, fleettest.Patience, func() (bool, string) {
		_, err := f.Do("system.heartbeat", `{"instanceId":"w"}`)
		return err == nil, fmt.Sprint(err)
	})
	// The old connection pool may still fail for up to a second.
	f = fleettest.New(t, fleettest.ClientOf(t, testenv.ClientOf(t, server)), f.Options)
	if got := f.Get(kept); got.Text != "kept" {
		t.Errorf("the task is %+v", got)
	}
	if f.Claim("w") != kept || f.Claim("w") != "" {
		t.Error("something else was done meanwhile")
	}
	f.Verify()
}

// A command whose reply is lost returns "Outcome unknown". Its repetition with the same key returns
// the result, and nothing happens twice.
func TestReplyLost(t *testing.T) {
	t.Parallel()
	plain := fleettest.RealRedis(t)
	direct := fleettest.New(t, plain, commands.Options{})
	direct.Register("w", `["worker"]`, "")

	// This server forwards every request and closes the connection once Redis has replied.
	swallower, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			client, err := swallower.Accept()
			if err != nil {
				return
			}
			relay(client, plain.Options().Addr)
		}
	}()
	t.Cleanup(func() { _ = swallower.Close(); <-done })
	client := redis.NewClient(&redis.Options{
		Addr: swallower.Addr().String(), Password: plain.Options().Password, MaxRetries: -1, DisableIdentity: true, PoolSize: 1,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	t.Cleanup(func() { _ = client.Close() })
	lossy := fleettest.New(t, client, commands.Options{Keys: direct.Keys})

	create := `{"text":"x","idempotencyKey":"k"}`
	if _, err := lossy.Do("task.create", create); !fleettest.InternalError(err, api.OutcomeUnknown) {
		t.Fatalf("answered %v", err)
	}
	var first json.RawMessage
	testenv.Eventually(t, fleettest.Patience, func() (bool, string) { // Redis may run the script a little later
		return direct.Seq() == 3, fmt.Sprint(direct.Seq())
	})
	if first = direct.OK("task.create", "%s", create); fleettest.Decoded[fleettest.Task](t, first).ID != "t-3" || direct.Seq() != 3 {
		t.Errorf("repeated, it answered %s", first)
	}
	direct.Verify()
}

// relay forwards a connection until an EVAL was answered. It keeps that answer back.
func relay(client net.Conn, to string) {
	defer client.Close()
	server, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer server.Close()
	buffer := make([]byte, 256<<10)
	for {
		n, err := client.Read(buffer)
		if err != nil {
			return
		}
		eval := bytes.Contains(bytes.ToLower(buffer[:n]), []byte("\r\neval"))
		if _, err := server.Write(buffer[:n]); err != nil {
			return
		}
		if n, err = server.Read(buffer); err != nil || eval && buffer[0] != '-' {
			return
		}
		if _, err := client.Write(buffer[:n]); err != nil {
			return
		}
	}
}

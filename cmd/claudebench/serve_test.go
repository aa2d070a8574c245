package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/internal/devstack"
	"github.com/claudebench/claudebench/internal/testenv"
)

func TestServeRefusesARedisThatEvicts(t *testing.T) {
	t.Parallel()
	server := testenv.OwnRedis(t, devstack.RedisOptions{Extra: []string{"maxmemory 50mb", "maxmemory-policy allkeys-lru"}})
	args := []string{"serve", "--listen", "127.0.0.1:0", "--redis-url", server.URL()}
	r := execute(t, nil, args...)
	for _, want := range []string{"allkeys-lru", "noeviction", "--allow-volatile"} {
		if r.code != 1 || !strings.Contains(r.log, want) {
			t.Errorf("code %d, %q: want %s in it", r.code, r.log, want)
		}
	}
	c := launch(t, nil, append(args, "--allow-volatile")...)
	c.address(t)
	if log := c.log.String(); !strings.Contains(log, "may evict keys") || !strings.Contains(log, "append-only") {
		t.Errorf("started without telling what can be lost: %s", log)
	}
}

// heldCall sends a task.create, which Redis holds until it is unpaused. It returns when the
// coordinator processes the call. The channel receives the response.
func heldCall(t *testing.T, client *redis.Client, addr string) <-chan string {
	t.Helper()
	if err := client.Do(t.Context(), "CLIENT", "PAUSE", 60_000, "WRITE").Err(); err != nil {
		t.Fatal(err)
	}
	sent := make(chan struct{})
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { close(sent) }})
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/rpc",
		strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"task.create","params":{"text":"the last one"}}`))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Expect", "100-continue") // the body is sent when the call's handler reads it
	transport := &http.Transport{ExpectContinueTimeout: time.Minute}
	t.Cleanup(transport.CloseIdleConnections)
	answer := make(chan string, 1)
	go func() {
		response, err := transport.RoundTrip(request)
		if err != nil {
			answer <- err.Error()
			return
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		answer <- fmt.Sprint(response.StatusCode, " ", string(text), " ", err)
	}()
	<-sent
	return answer
}

// A call in progress when the signal arrives gets its result, new calls are rejected, and the
// program exits with 0.
func TestTerminationDrainsCallsInFlight(t *testing.T) {
	t.Parallel()
	for _, stop := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(stop.String(), func(t *testing.T) {
			t.Parallel()
			server := testenv.OwnRedis(t, devstack.RedisOptions{})
			client := testenv.ClientOf(t, server)
			c := launch(t, nil, "serve", "--listen", "127.0.0.1:0", "--redis-url", server.URL())
			addr := c.address(t)
			answer := heldCall(t, client, addr)
			c.signal(t, stop)
			testenv.Eventually(t, 10*time.Second, func() (bool, string) {
				conn, err := net.DialTimeout("tcp", addr, time.Second)
				if err == nil {
					conn.Close()
				}
				return err != nil, "new connections are accepted"
			})
			select {
			case <-c.Done():
				t.Fatalf("it ended with a call in flight:\n%s", c.log)
			default:
			}
			if err := client.Do(t.Context(), "CLIENT", "UNPAUSE").Err(); err != nil {
				t.Fatal(err)
			}
			if got := <-answer; !strings.HasPrefix(got, "200 ") || !strings.Contains(got, `"text":"the last one"`) {
				t.Errorf("the call in flight was answered %s", got)
			}
			if code := c.ended(t); code != 0 {
				t.Errorf("exit code %d:\n%s", code, c.log)
			}
		})
	}
}

// A second signal ends the program at once, even with calls in progress.
func TestASecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	server := testenv.OwnRedis(t, devstack.RedisOptions{})
	c := launch(t, nil, "serve", "--listen", "127.0.0.1:0", "--redis-url", server.URL())
	answer := heldCall(t, testenv.ClientOf(t, server), c.address(t))
	c.signal(t, syscall.SIGINT)
	testenv.Eventually(t, 10*time.Second, func() (bool, string) {
		return strings.Contains(c.log.String(), "stopping after the calls in flight"), c.log.String()
	})
	c.signal(t, syscall.SIGINT)
	second := time.Now()
	if code := c.ended(t); code != -1 || time.Since(second) > 5*time.Second {
		t.Errorf("exit code %d after %v, want the end by the signal:\n%s", code, time.Since(second), c.log)
	}
	if got := <-answer; strings.HasPrefix(got, "200 ") {
		t.Errorf("the call was not in work at the second signal: %s", got)
	}
}

// A client that has sent half a request does not delay the exit.
func TestTerminationDropsHalfARequest(t *testing.T) {
	t.Parallel()
	c := launch(t, nil, "serve", "--listen", "127.0.0.1:0", "--redis-url", testenv.Redis(t).URL(), "--namespace", testenv.Namespace(t))
	addr := c.address(t)
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "POST /rpc HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{", addr); err != nil {
		t.Fatal(err)
	}
	c.signal(t, syscall.SIGTERM)
	told := time.Now()
	if code := c.ended(t); code != 0 || time.Since(told) > 8*time.Second {
		t.Errorf("exit code %d after %v:\n%s", code, time.Since(told), c.log)
	}
}

// Without Redis the program keeps running, logs the outage once for each part instead of at each
// attempt, and recovers by itself.
func TestServeOutlivesRedisQuietly(t *testing.T) {
	t.Parallel()
	server := testenv.OwnRedis(t, devstack.RedisOptions{AppendOnly: true, AppendFsync: "always"})
	c := launch(t, nil, "serve", "--listen", "127.0.0.1:0", "--redis-url", server.URL(), "--monitor-interval", "10ms")
	addr := c.address(t)
	if r := execute(t, nil, "ready", "--url", addr); r.code != 0 || r.out != "ready\n" {
		t.Errorf("ready: %+v", r)
	}
	before := len(c.log.lines())
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // each takes two seconds
		if r := execute(t, nil, "call", "--url", addr, "task.create", `{"text":"t"}`); r.code != 1 || r.out != "" ||
			!strings.Contains(r.log, `"data":"Redis unavailable"`) && !strings.Contains(r.log, `"data":"Outcome unknown"`) {
			t.Errorf("call without Redis: %+v", r)
		}
	}
	if r := execute(t, nil, "ready", "--url", addr); r.code != 1 || !strings.Contains(r.log, "503") {
		t.Errorf("ready without Redis: %+v", r)
	}
	if n := len(c.log.lines()) - before; n == 0 || n > 10 {
		t.Errorf("the outage made %d lines of log:\n%s", n, c.log)
	}
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, 10*time.Second, func() (bool, string) {
		var out bytes.Buffer
		err := (&target{url: "http://" + addr}).call(context.Background(), "task.create", []byte(`{"text":"t"}`), &out, &out)
		return err == nil, out.String()
	})
	c.signal(t, syscall.SIGTERM)
	if code := c.ended(t); code != 0 {
		t.Errorf("exit code %d:\n%s", code, c.log)
	}
	http.DefaultClient.CloseIdleConnections()
}

// Stopped while it waits for Redis, the program exits at once with 0.
func TestTerminationWhileWaitingForRedis(t *testing.T) {
	t.Parallel()
	c := launch(t, nil, "serve", "--listen", "127.0.0.1:0", "--redis-url", "redis://127.0.0.1:1")
	testenv.Eventually(t, 20*time.Second, func() (bool, string) {
		return strings.Contains(c.log.String(), "waiting for Redis"), c.log.String()
	})
	c.signal(t, syscall.SIGTERM)
	told := time.Now()
	if code := c.ended(t); code != 0 || time.Since(told) > 5*time.Second {
		t.Errorf("exit code %d after %v:\n%s", code, time.Since(told), c.log)
	}
}

// `ready` prints why the coordinator is not ready.
func TestReadySaysWhy(t *testing.T) {
	t.Parallel()
	server := testenv.OwnRedis(t, devstack.RedisOptions{})
	c := launch(t, nil, "serve", "--listen", "127.0.0.1:0", "--redis-url", server.URL(), "--database-url", "postgres://u@127.0.0.1:1/d")
	addr := c.address(t)
	if r := execute(t, nil, "ready", "--url", addr); r.code != 0 || !strings.Contains(r.out, "degraded: Postgres is unavailable") {
		t.Errorf("ready without Postgres: %+v", r)
	}
	if err := testenv.ClientOf(t, server).ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, 10*time.Second, func() (bool, string) {
		r := execute(t, nil, "ready", "--url", addr)
		return r.code == 1 && strings.Contains(r.log, "maxmemory"), fmt.Sprintf("%+v", r)
	})
}

// The heap may have a lot of garbage while it is small, and no more than Go's default lets it have
// when it is large.
func TestCollectionsFollowTheHeap(t *testing.T) {
	t.Parallel()
	for live, want := range map[uint64]int{0: 400, 4 << 20: 400, 8 << 20: 400, 16 << 20: 200, 32 << 20: 100, 1 << 40: 100} {
		if got := collectionFor(live); got != want {
			t.Errorf("%d bytes: %d %%, want %d", live, got, want)
		}
	}
	var called atomic.Int64
	afterEachCollection(func() { called.Add(1) })
	testenv.Eventually(t, 30*time.Second, func() (bool, string) {
		runtime.GC()
		return called.Load() >= 2, "collections were not noticed"
	})
}

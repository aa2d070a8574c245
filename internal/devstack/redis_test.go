package devstack

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

func dialRedis(t *testing.T, url string) *redis.Client {
	t.Helper()
	opts, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	c := redis.NewClient(opts)
	t.Cleanup(func() { c.Close() })
	return c
}

func TestRedisKeepsItsData(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	for name, end := range map[string]func(*Redis) error{
		"stop": func(r *Redis) error { return r.Stop(ctx) },
		"kill": func(r *Redis) error { return r.Kill() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opts := RedisOptions{Dir: tempDir(t), AppendOnly: true, AppendFsync: "always"}
			first := startRedis(t, opts)
			if err := dialRedis(t, first.URL()).Set(ctx, "k", "v", 0).Err(); err != nil {
				t.Fatal(err)
			}
			if err := end(first); err != nil {
				t.Fatal(err)
			}
			ended(t, first.Done())
			if err := first.Err(); err != nil {
				t.Errorf("an end that was asked for is reported: %v", err)
			}
			second := startRedis(t, opts)
			if got := dialRedis(t, second.URL()).Get(ctx, "k").Val(); got != "v" {
				t.Errorf("a new start reads %q", got)
			}
			addr := second.Addr()
			if err := second.Restart(ctx); err != nil {
				t.Fatal(err)
			}
			if second.Addr() != addr {
				t.Errorf("a restart moved from %s to %s", addr, second.Addr())
			}
			if got := dialRedis(t, second.URL()).Get(ctx, "k").Val(); got != "v" {
				t.Errorf("a restart reads %q", got)
			}
		})
	}
}

// Whatever the folder was before, other users cannot enter it.
func TestRedisKeepsOthersOutOfItsFolder(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "redis")
	if err := os.Mkdir(dir, 0o755); err != nil { //nolint:gosec // as an older version left it
		t.Fatal(err)
	}
	r, err := StartRedis(t.Context(), RedisOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Stop(context.WithoutCancel(t.Context())) })
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestRedisIsPrivate(t *testing.T) {
	t.Parallel()
	r := startRedis(t, RedisOptions{Dir: filepath.Join(tempDir(t), "r")})
	err := dialRedis(t, "redis://"+r.Addr()).Ping(t.Context()).Err()
	if err == nil || !strings.Contains(err.Error(), "NOAUTH") {
		t.Errorf("without a password it answers %v", err)
	}
	for _, name := range []string{"password", "redis.conf", "server.log"} {
		info, err := os.Stat(filepath.Join(r.Dir(), name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", name, info.Mode())
		}
	}
	for name, want := range map[string]string{"maxmemory-policy": "noeviction", "save": "", "bind": "127.0.0.1"} {
		if got := dialRedis(t, r.URL()).ConfigGet(t.Context(), name).Val()[name]; got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

func TestRedisTellsAnUnexpectedExit(t *testing.T) {
	t.Parallel()
	r := startRedis(t, RedisOptions{Dir: tempDir(t)})
	if err := r.Err(); err != nil {
		t.Errorf("while it runs: %v", err)
	}
	if err := syscall.Kill(r.child().process.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	ended(t, r.Done())
	if err := r.Err(); err == nil || !strings.Contains(err.Error(), "killed") || !strings.Contains(err.Error(), "Ready to accept") {
		t.Errorf("the error tells neither the status nor the log: %v", err)
	}
	if err := r.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := r.Err(); err != nil {
		t.Errorf("after a restart: %v", err)
	}
}

func TestRedisStartFailures(t *testing.T) {
	t.Parallel()
	running := startRedis(t, RedisOptions{Dir: tempDir(t)})

	_, err := StartRedis(t.Context(), RedisOptions{Dir: tempDir(t), Extra: []string{"no-such-setting 1"}})
	var start *StartError
	if !errors.As(err, &start) || !strings.Contains(start.LogTail, "no-such-setting") {
		t.Errorf("a bad setting gives %v, want a StartError with the log", err)
	}
	_, err = StartRedis(t.Context(), RedisOptions{Dir: tempDir(t), Port: running.port})
	if !errors.As(err, &start) || !portTaken(err) {
		t.Errorf("a port that is taken gives %v", err)
	}
	_, err = StartRedis(t.Context(), RedisOptions{Dir: running.Dir(), StartTimeout: 100 * time.Millisecond})
	var inUse *InUseError
	if !errors.As(err, &inUse) || inUse.PID != running.child().process.Pid {
		t.Errorf("a folder in use gives %v, want an InUseError with the server's id", err)
	}
	_, err = StartRedis(t.Context(), RedisOptions{Dir: tempDir(t), Binary: "/no/such/redis-server"})
	if !errors.As(err, &start) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing binary gives %v", err)
	}
	if _, err = StartRedis(t.Context(), RedisOptions{}); err == nil {
		t.Error("no folder is accepted")
	}
}

func TestRedisStopEndsAPausedServerAndKillsOneThatHangs(t *testing.T) {
	t.Parallel()
	r := startRedis(t, RedisOptions{Dir: tempDir(t)})
	if err := r.Pause(); err != nil {
		t.Fatal(err)
	}
	if err := r.Stop(t.Context()); err != nil {
		t.Errorf("stop a paused server: %v", err)
	}
	if err := r.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Pause(); err != nil {
		t.Fatal(err)
	}
	if err := r.Stop(over); !errors.Is(err, context.Canceled) {
		t.Errorf("a stop without time answers %v", err)
	}
	ended(t, r.Done())
}

func TestFindRedis(t *testing.T) {
	path, flavour, err := FindRedis()
	if err != nil {
		t.Fatal(err)
	}
	if filepath.Base(path) != flavour+"-server" {
		t.Errorf("found %s, a %s", path, flavour)
	}
	dir := tempDir(t)
	fake := filepath.Join(dir, "redis-server")
	if err := os.WriteFile(fake, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	if path, _, err := FindRedis(); err != nil || path != fake {
		t.Errorf("PATH is not looked at first: %s, %v", path, err)
	}
}

func TestEmbeddedExpiresByTheClock(t *testing.T) {
	t.Parallel()
	e, err := StartEmbedded()
	if err != nil {
		t.Fatal(err)
	}
	defer e.Stop()
	if err := dialRedis(t, "redis://"+e.Addr()).Ping(t.Context()).Err(); err == nil {
		t.Error("it asks for no password")
	}
	c := dialRedis(t, e.URL())
	if err := c.Set(t.Context(), "k", "v", 50*time.Millisecond).Err(); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(10 * time.Second); c.Exists(t.Context(), "k").Val() != 0; <-tick.C {
		if time.Now().After(deadline) {
			t.Fatal("the key does not expire")
		}
	}
}

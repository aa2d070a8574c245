package testenv

import (
	"context"
	"crypto/rand"
	"os"
	"strings"
	"testing"

	"github.com/claudebench/claudebench/internal/devstack"
	"github.com/redis/go-redis/v9"
)

// debugCommand allows DEBUG, with which tests make a server slow or reload its data.
const debugCommand = "enable-debug-command yes"

var sharedRedis = shared[*devstack.Redis]{start: func() (*devstack.Redis, error) {
	return startRedis(devstack.RedisOptions{AppendOnly: true})
}}

func startRedis(opts devstack.RedisOptions) (*devstack.Redis, error) {
	if opts.Dir == "" {
		dir, err := tempDir("redis")
		if err != nil {
			return nil, err
		}
		opts.Dir = dir
	}
	opts.Extra = append([]string{debugCommand}, opts.Extra...)
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	return devstack.StartRedis(ctx, opts)
}

// Redis returns the test binary's shared server. Its append-only file is synced every second. A
// test uses it in its own [Namespace], and never stops, flushes or reconfigures it.
func Redis(t testing.TB) *devstack.Redis {
	t.Helper()
	return sharedRedis.get(t)
}

// Client returns a client of [Redis] that is closed when the test ends.
func Client(t testing.TB) *redis.Client {
	t.Helper()
	return client(t, Redis(t).URL())
}

// OwnRedis starts a Redis that the test may stop, kill, pause and restart. The server and its
// folder are removed when the test ends, except a Dir given in opts.
func OwnRedis(t testing.TB, opts devstack.RedisOptions) *devstack.Redis {
	t.Helper()
	needMain(t)
	r, err := startRedis(opts)
	if err != nil {
		fatal(t, err)
	}
	t.Cleanup(func() {
		if err := r.Kill(); err != nil {
			t.Error(err)
		}
		if opts.Dir == "" {
			removeAll(t, r.Dir())
		}
	})
	return r
}

// ClientOf returns a client of a test's own Redis. It is closed when the test ends.
func ClientOf(t testing.TB, r *devstack.Redis) *redis.Client {
	t.Helper()
	return client(t, r.URL())
}

// EmbeddedClient returns a client of a new embedded Redis, which `up` uses if there is no other.
// Both end with the test.
func EmbeddedClient(t testing.TB) *redis.Client {
	t.Helper()
	e, err := devstack.StartEmbedded()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Stop)
	return client(t, e.URL())
}

// Namespace returns a key namespace that no other test of this run uses.
func Namespace(testing.TB) string {
	return "t" + strings.ToLower(rand.Text()[:10])
}

func client(t testing.TB, url string) *redis.Client {
	t.Helper()
	opts, err := redis.ParseURL(url)
	if err != nil {
		t.Fatalf("parse the address of Redis: %v", err)
	}
	c := redis.NewClient(opts)
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("close the Redis client: %v", err)
		}
	})
	return c
}

func removeAll(t testing.TB, dir string) {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Errorf("remove the server's folder: %v", err)
	}
}

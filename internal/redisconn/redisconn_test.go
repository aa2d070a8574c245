package redisconn

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/internal/devstack"
	"github.com/claudebench/claudebench/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

func TestOpenReadsEveryKindOfURL(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"redis://localhost":                                 "single",
		"redis://u:p@localhost:7000/3":                      "single",
		"rediss://localhost:7000":                           "single",
		"redis://a:1,b:2,c":                                 "cluster",
		"redis+sentinel://:p@a:26379,b:26379/0?master=main": "single",
	} {
		client, err := Open(url, "ns")
		if err != nil {
			t.Errorf("Open(%q): %v", url, err)
			continue
		}
		t.Cleanup(func() { _ = client.Close() })
		_, cluster := client.(*redis.ClusterClient)
		if cluster != (want == "cluster") {
			t.Errorf("Open(%q) gave a %T", url, client)
		}
		if single, ok := client.(*redis.Client); ok && single.Options().MaxRetries != 0 {
			t.Errorf("Open(%q): the client retries by itself, so a lost reply would run a command twice", url)
		}
	}
}

func TestOpenRefusesAndKeepsThePasswordToItself(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"http://:secret@localhost":             "scheme",
		"redis://:secret@localhost/x":          "database",
		"redis://:secret@":                     "names no host",
		"redis://:secret@a:1,b:2":              "namespace",
		"redis+sentinel://:secret@a:26379":     "master",
		"redis://:secret@local host:6379":      "redis URL",
		"redis://:secret@localhost:6379x/%zz":  "redis URL",
		"redis://user:secret@a:1, b:2/0?x=%zz": "namespace",
		// Passwords with letters that mean something in a URL.
		"redis://:sec/ret@localhost:6379/0": "%2F",
		"redis://:12/secret@localhost:6379": "%2F",
		"redis://:12?secret@localhost:6379": "%2F",
		"redis://:12#secret@localhost:6379": "%2F",
		"redis://:%secret@localhost:6379":   "%25",
		"secret:secret@localhost":           "redis URL",
		"secret":                            "redis URL",
		"redis://:x@localhost/secret":       "number",
	} {
		_, err := Open(url, "")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Open(%q) = %v, want an error about %q", url, err, want)
			continue
		}
		if strings.Contains(err.Error(), "sec") {
			t.Errorf("Open(%q) tells the password: %v", url, err)
		}
	}
}

func TestCheckRefusesARedisThatEvicts(t *testing.T) {
	t.Parallel()
	server := testenv.OwnRedis(t, devstack.RedisOptions{})
	client := testenv.ClientOf(t, server)
	ctx := context.Background()
	if warning, err := Check(ctx, client, false); err != nil || strings.Contains(warning, "evict") {
		t.Fatalf("a Redis that does not evict: %q, %v", warning, err)
	}
	if err := client.ConfigSet(ctx, "maxmemory-policy", "allkeys-lru").Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := Check(ctx, client, false); !errors.Is(err, ErrVolatile) || !strings.Contains(err.Error(), "--allow-volatile") {
		t.Fatalf("a Redis that evicts: %v", err)
	}
	if warning, err := Check(ctx, client, true); err != nil || !strings.Contains(warning, "evict") {
		t.Fatalf("a Redis that evicts, allowed: %q, %v", warning, err)
	}
}

func TestCheckSaysWhatACrashCanLose(t *testing.T) {
	t.Parallel()
	server := testenv.OwnRedis(t, devstack.RedisOptions{})
	client := testenv.ClientOf(t, server)
	ctx := context.Background()
	for _, c := range []struct{ appendonly, fsync, want string }{
		{"no", "everysec", "no append-only file"},
		{"yes", "everysec", "about the last second"},
		{"yes", "no", "half a minute"},
		{"yes", "always", ""},
	} {
		for name, v := range map[string]string{"appendonly": c.appendonly, "appendfsync": c.fsync} {
			if err := client.ConfigSet(ctx, name, v).Err(); err != nil {
				t.Fatal(err)
			}
		}
		warning, err := Check(ctx, client, false)
		if err != nil || !strings.Contains(warning, c.want) || c.want == "" && warning != "" {
			t.Errorf("appendonly %s, appendfsync %s: %q, %v; want %q", c.appendonly, c.fsync, warning, err, c.want)
		}
	}
}

package redisconn

import (
	"context"
	"errors"
	"slices"
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

// The client is configured as the URL says.
func TestOpenObeysTheURL(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]struct {
		addr, username, password string
		db                       int
		tls                      bool
	}{
		"redis://h":                       {addr: "h:6379"},
		"redis://h/":                      {addr: "h:6379"},
		"redis://h:1/3":                   {addr: "h:1", db: 3},
		"redis://h/?db=2":                 {addr: "h:6379", db: 2},
		"redis://h?db=3":                  {addr: "h:6379", db: 3},
		"redis://h/3?db=3":                {addr: "h:6379", db: 3},
		"rediss://u:p%2F@h:7/4":           {addr: "h:7", username: "u", password: "p/", db: 4, tls: true},
		"REDISS://:p@[::1]":               {addr: "[::1]:6379", password: "p", tls: true},
		"redis://[2001:db8::1]:7000?db=1": {addr: "[2001:db8::1]:7000", db: 1},
	} {
		client, err := Open(url, "")
		if err != nil {
			t.Errorf("Open(%q): %v", url, err)
			continue
		}
		t.Cleanup(func() { _ = client.Close() })
		o := client.(*redis.Client).Options()
		if o.Addr != want.addr || o.Username != want.username || o.Password != want.password || o.DB != want.db || (o.TLSConfig != nil) != want.tls {
			t.Errorf("Open(%q): %s as %q with %q, database %d, TLS %v", url, o.Addr, o.Username, o.Password, o.DB, o.TLSConfig != nil)
		}
	}
	o, err := parseURL("rediss+sentinel://u:p@a,b:1/5?master=m&sentinel_username=su&sentinel_password=sp", "")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(o.Addrs, []string{"a:6379", "b:1"}) || o.DB != 5 || o.MasterName != "m" || o.Username != "u" || o.Password != "p" ||
		o.SentinelUsername != "su" || o.SentinelPassword != "sp" || o.TLSConfig == nil || o.IsClusterMode {
		t.Errorf("Sentinel's URL is read as %+v", o)
	}
}

// Unsupported settings are rejected by name, so that nobody relies on them.
func TestOpenRefusesWhatItWouldIgnore(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"rediss://h?ssl_cert_reqs=none":        "the parameter ssl_cert_reqs is not supported",
		"redis://h?protocol=3":                 "the parameter protocol is not supported",
		"redis://h?master=main":                "the parameter master is not supported",
		"redis://h?db=":                        "the parameter db is not supported",
		"redis://h?db=1&db=2":                  "the parameter db is repeated",
		"redis://h/1?db=2":                     "different databases",
		"redis://h/-1":                         "whole number",
		"redis://h?db=x":                       "whole number",
		"redis://h/1/2":                        "whole number",
		"redis://a,b/1":                        "only database 0",
		"redis://a,b?db=1":                     "only database 0",
		"redis://h:70000":                      "a port must be",
		"redis://h:0":                          "a port must be",
		"redis://a:1,b:x":                      "a port must be",
		"redis://h#1":                          "is not of the form",
		"redis+sentinel://h?master=m&quorum=2": "the parameter quorum is not supported",
		"redis+sentinel://h?sentinel_password=se&cret=1": "a parameter after the '?' is not supported",
		"redis://u@h:12?secret=x@localhost":              "a parameter after the '?' is not supported",
	} {
		client, err := Open(url, "ns")
		if err == nil {
			_ = client.Close()
			t.Errorf("Open(%q) takes it", url)
			continue
		}
		if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "cret") {
			t.Errorf("Open(%q): %v, want %q", url, err, want)
		}
	}
}

func TestOpenRefusesAndKeepsThePasswordToItself(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"http://:secret@localhost":             "scheme",
		"redis://:secret@localhost/x":          "database",
		"redis://:secret@":                     "the host is missing",
		"redis://:secret@a:1,b:2":              "namespace",
		"redis+sentinel://:secret@a:26379":     "master",
		"redis://:secret@local host:6379":      "redis URL",
		"redis://:secret@localhost:6379x/%zz":  "redis URL",
		"redis://user:secret@a:1, b:2/0?x=%zz": "redis URL",
		// Passwords with characters that have a meaning in a URL.
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
	if warning, err := NewInspector(client, "").Check(ctx, false); err != nil || strings.Contains(warning, "evict") {
		t.Fatalf("a Redis that does not evict: %q, %v", warning, err)
	}
	if err := client.ConfigSet(ctx, "maxmemory-policy", "allkeys-lru").Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := NewInspector(client, "").Check(ctx, false); !errors.Is(err, ErrVolatile) || !strings.Contains(err.Error(), "--allow-volatile") {
		t.Fatalf("a Redis that evicts: %v", err)
	}
	if warning, err := NewInspector(client, "").Check(ctx, true); err != nil || !strings.Contains(warning, "evict") {
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
		{"yes", "everysec", "about one second"},
		{"yes", "no", "half a minute"},
		{"yes", "always", ""},
	} {
		for name, v := range map[string]string{"appendonly": c.appendonly, "appendfsync": c.fsync} {
			if err := client.ConfigSet(ctx, name, v).Err(); err != nil {
				t.Fatal(err)
			}
		}
		warning, err := NewInspector(client, "").Check(ctx, false)
		if err != nil || !strings.Contains(warning, c.want) || c.want == "" && warning != "" {
			t.Errorf("appendonly %s, appendfsync %s: %q, %v; want %q", c.appendonly, c.fsync, warning, err, c.want)
		}
	}
}

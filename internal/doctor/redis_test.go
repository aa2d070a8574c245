package doctor

import (
	"testing"
	"time"

	"github.com/claudebench/claudebench/internal/devstack"
	"github.com/claudebench/claudebench/internal/redisconn"
)

func TestRedis(t *testing.T) {
	t.Parallel()
	p, server := ownPatient(t, devstack.RedisOptions{})
	p.expect("redis", OK, "standalone, master")
	p.as(server, "+@all", "-info").expect("redis", Unknown, "does not say which version")
	p.do("REPLICAOF", "127.0.0.1", "1")
	p.expect("redis", Warn, "read-only replica")
	expect(t, judgeRedis(redisconn.Settings{Product: "Redis", Version: "6.2.14", Role: "master"}), Fail, "too old")
	p.Redis = never(t)
	p.expect("redis", Fail, "connection refused")
}

func TestSettings(t *testing.T) {
	t.Parallel()
	p, server := ownPatient(t, devstack.RedisOptions{AppendOnly: true, AppendFsync: "always"})
	p.expect("settings", OK, "no setting of Redis loses data")
	p.as(server, "+@all", "-config|get").expect("settings", Unknown, "does not let this program read appendfsync")
	if found := p.as(server, "+@all", "-info").check("settings"); len(found) != 2 || found[0].Level != Unknown || found[1].Level != Unknown {
		t.Errorf("without INFO: %+v", found)
	}
	p.do("CONFIG", "SET", "appendfsync", "everysec")
	p.expect("settings", OK, "loses about one second")
	p.do("CONFIG", "SET", "appendfsync", "no")
	p.expect("settings", Warn, "half a minute")
	p.do("CONFIG", "SET", "appendonly", "no")
	p.expect("settings", Warn, "no append-only file")
	p.do("CONFIG", "SET", "appendonly", "yes", "appendfsync", "always", "maxmemory-policy", "allkeys-lru")
	p.expect("settings", Fail, "may evict keys")
	p.Redis = never(t)
	p.expect("settings", Unknown, "does not reply")
}

func TestMemory(t *testing.T) {
	t.Parallel()
	p, server := ownPatient(t, devstack.RedisOptions{})
	p.expect("memory", OK, "as maxmemory is not set")
	p.as(server, "+@all", "-info").expect("memory", Unknown, "does not say")
	used := p.used()
	for _, c := range []struct {
		share float64
		want  Level
	}{{0.5, OK}, {0.82, Warn}, {0.98, Fail}} {
		p.do("CONFIG", "SET", "maxmemory", int64(float64(used)/c.share))
		p.expect("memory", c.want, "(maxmemory)")
	}
	p.Redis = never(t)
	p.expect("memory", Unknown, "does not reply")
}

// used returns the memory that Redis uses.
func (p *patient) used() int64 {
	p.t.Helper()
	s, err := newExam(p.t.Context(), p.Options).settings()
	if err != nil || s.UsedMemory <= 0 {
		p.t.Fatalf("%+v, %v", s, err)
	}
	return s.UsedMemory
}

func TestGrowth(t *testing.T) {
	t.Parallel()
	p, server := ownPatient(t, devstack.RedisOptions{})
	p.expect("growth", OK, "the log is empty")
	p.events(10_000, 3*time.Hour)
	p.expect("growth", OK, "the last hour added 0 events")
	p.events(10_000, 30*time.Minute)
	p.expect("growth", OK, "the last hour added 10,000 events")
	bytes, err := p.redis.MemoryUsage(t.Context(), p.Keys.Events(), 100).Result()
	if err != nil {
		t.Fatal(err)
	}
	used, perHour := p.used(), bytes/2
	for _, c := range []struct {
		hours int64
		want  Level
		text  string
	}{{10, Fail, "full in 10 hours"}, {100, Warn, "full in 4 days"}, {1000, OK, "full in 42 days"}} {
		p.do("CONFIG", "SET", "maxmemory", used+c.hours*perHour+perHour/4)
		p.expect("growth", c.want, c.text)
	}
	for _, denied := range [][]any{{"-info"}, {"-xrange"}, {"-memory|usage"}, {"-eval_ro", "-evalsha_ro"}} {
		if found := p.as(server, append([]any{"+@all"}, denied...)...).check("growth"); len(found) != 1 || found[0].Level != Unknown {
			t.Errorf("with %s: %+v", denied, found)
		}
	}
}

func TestPeopleReadNumbers(t *testing.T) {
	t.Parallel()
	for got, want := range map[string]string{
		size(5): "5 B", size(2048): "2.0 KiB", size(3 << 40): "3.0 TiB",
		amount(1, "event"): "1 event", amount(0, "event"): "0 events", amount(1234567, "event"): "1,234,567 events",
		span(94 * time.Millisecond): "94ms", span(90 * time.Second): "1m30s", span(5 * time.Minute): "5 minutes", span(49 * time.Hour): "2 days",
		span(47 * time.Hour): "47 hours", span(800 * 24 * time.Hour): "2 years",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

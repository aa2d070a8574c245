package server

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/testenv"
)

// stats returns the values of a section of INFO.
func stats(t *testing.T, rdb *redis.Client, section string) map[string]string {
	t.Helper()
	text, err := rdb.Info(t.Context(), section).Result()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			all[name] = value
		}
	}
	return all
}

// calls returns how often a command was run, and its average time in µs.
func calls(t *testing.T, rdb *redis.Client, command string) (n, average float64) {
	t.Helper()
	for field := range strings.SplitSeq(stats(t, rdb, "commandstats")["cmdstat_"+command], ",") {
		name, value, _ := strings.Cut(field, "=")
		number, _ := strconv.ParseFloat(value, 64) // 0 if it is missing
		switch name {
		case "calls":
			n = number
		case "usec_per_call":
			average = number
		}
	}
	return n, average
}

// A flush uses Redis's time in small pieces: about 100 keys a call, and large values are freed in
// the background. BenchmarkFlush measures how long others wait. This test checks what that depends
// on, which a busy machine does not change.
func TestFlushIsGentle(t *testing.T) {
	t.Parallel()
	const many, huge = 30_000, 4
	server := durable(t)
	cfg := settings(t, func(c *config.Config) { c.RedisURL = server.URL() })
	c := start(t, cfg)
	c.ready(t)
	rdb := testenv.ClientOf(t, server)
	crowd(t, rdb, cfg.Namespace, many)
	if err := rdb.ConfigResetStat(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	if got := call[api.FlushResult](t, c, "system.flush", params{"confirm": confirm}); got.Redis.KeysDeleted < many {
		t.Errorf("%d keys deleted", got.Redis.KeysDeleted)
	}
	for _, blocking := range []string{"keys", "del", "flushdb", "flushall"} {
		if n, _ := calls(t, rdb, blocking); n != 0 {
			t.Errorf("%s was called %v times", blocking, n)
		}
	}
	unlinks, took := calls(t, rdb, "unlink")
	scans, _ := calls(t, rdb, "scan")
	if unlinks < many/100 || scans < many/200 {
		t.Errorf("%v UNLINKs and %v SCANs for %d keys: too many keys a call", unlinks, scans, many)
	}
	if took > 2000 {
		t.Errorf("an UNLINK takes %v µs", took)
	}
	testenv.Eventually(t, 20*time.Second, func() (bool, string) {
		freed := stats(t, rdb, "memory")["lazyfreed_objects"]
		n, _ := strconv.Atoi(freed) // 0 if it is missing
		return n >= huge-1, "freed in the background: " + freed
	})
}

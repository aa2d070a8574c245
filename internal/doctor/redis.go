package doctor

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/claudebench/claudebench/internal/redisconn"
)

// oldestRedis is the oldest supported major version.
const oldestRedis = 7

// checkRedis checks that Redis replies, and what it is.
func checkRedis(ctx context.Context, e *exam) []Finding {
	// Settings hides that INFO is forbidden, and PING needs no permission to INFO.
	if err := e.Redis.Ping(ctx).Err(); err != nil {
		return []Finding{{
			Level: Fail, Text: fmt.Sprintf("Redis does not reply: %v", redisconn.Explain(err, e.RedisURL)),
			Do: "start Redis, or correct --redis-url; without Redis the fleet does nothing",
		}}
	}
	s, err := e.settings()
	if err != nil {
		return []Finding{e.unread("the settings of Redis", err)}
	}
	return judgeRedis(s)
}

func judgeRedis(s redisconn.Settings) []Finding {
	what := fmt.Sprintf("%s %s, %s, %s", s.Product, s.Version, s.Mode, s.Role)
	major, err := strconv.Atoi(s.Version[:max(strings.IndexByte(s.Version, '.'), 0)])
	switch {
	case err != nil:
		return []Finding{{Level: Unknown, Text: "Redis does not say which version it is", Do: "permit INFO to the Redis user"}}
	case major < oldestRedis:
		return []Finding{{Level: Fail, Text: what + " is too old", Do: fmt.Sprintf("install Redis %d.0 or newer, or Valkey", oldestRedis)}}
	case s.Role == "slave":
		return []Finding{{
			Level: Warn, Text: what + ": this is a read-only replica, and may be behind its master",
			Do: "pass the address of the master, as the coordinators have it",
		}}
	}
	return []Finding{ok("%s", what)}
}

// checkSettings checks the settings that can lose data.
func checkSettings(_ context.Context, e *exam) []Finding {
	s, err := e.settings()
	if err != nil {
		return []Finding{e.unread("the settings of Redis", err)}
	}
	return judgeSettings(s)
}

// severities has the level of each severity. What many fleets accept is no warning.
var severities = map[redisconn.Severity]Level{
	redisconn.Tolerable: OK, redisconn.Unread: Unknown, redisconn.Serious: Warn, redisconn.Grave: Fail,
}

func judgeSettings(s redisconn.Settings) (list []Finding) {
	for _, r := range s.Risks() {
		list = append(list, Finding{Level: severities[r.Severity], Text: r.What, Do: r.Do})
	}
	if s.Policy == redisconn.Unknown {
		list = append(list, Finding{
			Level: Unknown, Text: "Redis does not let this program read whether it may evict keys", Do: "permit INFO to the Redis user",
		})
	}
	if len(list) == 0 {
		list = append(list, ok("no setting of Redis loses data (maxmemory-policy %s, appendfsync %s)", s.Policy, s.Fsync))
	}
	return list
}

// Shares of the memory from which on a check warns and fails.
const (
	muchMemory    = 0.75
	tooMuchMemory = 0.9
)

// checkMemory checks how much of its memory Redis uses.
func checkMemory(_ context.Context, e *exam) []Finding {
	s, err := e.settings()
	if err != nil {
		return []Finding{e.unread("the memory of Redis", err)}
	}
	return judgeMemory(s)
}

// room returns how much memory Redis may use, and what limits it; 0 if that is unknown.
func room(s redisconn.Settings) (limit int64, of string) {
	switch {
	case s.MaxMemory > 0:
		return s.MaxMemory, "maxmemory"
	case s.MaxMemory == 0 && s.MachineMemory > 0:
		return s.MachineMemory, "the memory of its machine, as maxmemory is not set"
	}
	return 0, ""
}

func judgeMemory(s redisconn.Settings) []Finding {
	most, of := room(s)
	if s.UsedMemory < 0 || most == 0 {
		return []Finding{{Level: Unknown, Text: "Redis does not say how much memory it uses and may use", Do: "permit INFO to the Redis user, or set maxmemory"}}
	}
	share := float64(s.UsedMemory) / float64(most)
	f := ok("Redis uses %s, %.0f%% of %s (%s)", size(s.UsedMemory), 100*share, size(most), of)
	const act = "give Redis more memory; delete finished tasks sooner (--task-retention), or remove old events (docs/guarantees.md)"
	switch {
	case share > tooMuchMemory:
		f.Level, f.Do = Fail, act+". When the memory is full, every command is rejected"
	case share > muchMemory:
		f.Level, f.Do = Warn, act
	}
	return []Finding{f}
}

// size returns a number of bytes for people.
func size(n int64) string {
	const units = "KMGTP"
	if n < 1024 {
		return strconv.FormatInt(n, 10) + " B"
	}
	v, i := float64(n)/1024, 0
	for v >= 1024 && i < len(units)-1 {
		v, i = v/1024, i+1
	}
	return fmt.Sprintf("%.1f %ciB", v, units[i])
}

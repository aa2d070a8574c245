package redisconn

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// Unknown is the value of a setting that Redis does not tell, because its ACL forbids INFO or
// CONFIG GET.
const Unknown = "unknown"

// Settings are what a Redis says about itself. A setting that it does not tell is Unknown, a size
// -1.
type Settings struct {
	Product                 string // Redis or Valkey
	Version                 string
	Mode                    string // standalone, cluster or sentinel
	Role                    string // master or slave
	UsedMemory, MaxMemory   int64  // bytes; a MaxMemory of 0 is no limit
	MachineMemory           int64  // bytes of the machine that Redis runs on
	Policy                  string // maxmemory-policy
	AppendOnly              string // on or off
	Fsync                   string // appendfsync
	LastWrite, LastSnapshot string // ok or err: of the append-only file, and of a snapshot
}

// kept is how long an Inspector reuses settings, so that many callers cost Redis no more than one.
const kept = 5 * time.Second

// Inspector reads the settings of the Redis behind a client. It is safe for concurrent use.
type Inspector struct {
	client redis.UniversalClient
	key    string

	mu    sync.Mutex
	asked time.Time
	last  Settings
	err   error
	// denied is set once the ACL has forbidden CONFIG GET, so that it is not asked again: each
	// attempt is an entry in ACL LOG.
	denied bool
}

// NewInspector returns an Inspector. In a cluster, it asks the node that has the key.
func NewInspector(client redis.UniversalClient, key string) *Inspector {
	return &Inspector{client: client, key: key}
}

// Settings returns the settings as they were at most five seconds ago. An error means that Redis
// does not reply, and is also kept. It returns within about a second, and does not end early with
// ctx, because other callers wait for the same result.
func (i *Inspector) Settings(ctx context.Context) (Settings, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if !i.asked.IsZero() && time.Since(i.asked) < kept {
		return i.last, i.err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	i.last, i.err = i.read(ctx)
	if redis.HasErrorPrefix(i.err, "NOPERM") {
		i.err = nil // INFO is forbidden; the settings are unknown
	}
	i.asked = time.Now()
	return i.last, i.err
}

// read asks Redis. The error is that of INFO.
func (i *Inspector) read(ctx context.Context) (Settings, error) {
	client := redis.Cmdable(i.client)
	s := Settings{
		Product: "Redis", Version: Unknown, Mode: Unknown, Role: Unknown, UsedMemory: -1, MaxMemory: -1, MachineMemory: -1, Policy: Unknown,
		AppendOnly: Unknown, Fsync: Unknown, LastWrite: Unknown, LastSnapshot: Unknown,
	}
	if cluster, ok := i.client.(*redis.ClusterClient); ok {
		node, err := cluster.MasterForKey(ctx, i.key)
		if err != nil {
			return s, err
		}
		client = node
	}
	text, err := info(ctx, client)
	if err != nil {
		return s, err
	}
	for field, to := range map[string]*string{
		"redis_version": &s.Version, "valkey_version": &s.Version, "redis_mode": &s.Mode, "role": &s.Role, "maxmemory_policy": &s.Policy,
		"aof_last_write_status": &s.LastWrite, "rdb_last_bgsave_status": &s.LastSnapshot,
	} {
		if v := text[field]; v != "" && (field != "redis_version" || text["valkey_version"] == "") {
			*to = v
		}
	}
	if text["valkey_version"] != "" {
		s.Product = "Valkey"
	}
	for field, to := range map[string]*int64{
		"used_memory": &s.UsedMemory, "maxmemory": &s.MaxMemory, "total_system_memory": &s.MachineMemory,
	} {
		if n, err := strconv.ParseInt(text[field], 10, 64); err == nil {
			*to = n
		}
	}
	switch text["aof_enabled"] {
	case "1":
		s.AppendOnly = "on"
	case "0":
		s.AppendOnly = "off"
	}
	s.Fsync = i.fsync(ctx, client)
	return s, nil
}

// fsync returns appendfsync. Managed services forbid CONFIG, and so does the ACL of
// docs/operations.md.
func (i *Inspector) fsync(ctx context.Context, client redis.Cmdable) string {
	if i.denied {
		return Unknown
	}
	settings, err := client.ConfigGet(ctx, "appendfsync").Result()
	if value := settings["appendfsync"]; err == nil && value != "" {
		return value
	}
	var refused redis.Error
	i.denied = errors.As(err, &refused) && !redis.HasErrorPrefix(err, "LOADING")
	return Unknown
}

// info returns the fields of INFO that Settings has.
func info(ctx context.Context, client redis.Cmdable) (map[string]string, error) {
	fields := map[string]string{}
	for _, section := range []string{"server", "memory", "persistence", "replication"} {
		text, err := client.Info(ctx, section).Result()
		if err != nil {
			return nil, err
		}
		for line := range strings.SplitSeq(text, "\n") {
			if name, v, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
				fields[name] = v
			}
		}
	}
	return fields, nil
}

// Severity says how bad a Risk is.
type Severity int

// The severities, the least bad first.
const (
	Tolerable Severity = iota // a bounded loss, which many fleets accept
	Unread                    // Redis does not let this program read the setting
	Serious                   // a crash can lose much
	Grave                     // data is lost, or writes fail, at any time
)

// Risk is a setting or a state that can lose data.
type Risk struct {
	Severity Severity
	What, Do string // what can be lost, and what to do about it; neither ends with a full stop
}

// Risks returns the settings that can lose data.
func (s Settings) Risks() []Risk {
	var list []Risk
	add := func(severity Severity, what, do string) { list = append(list, Risk{severity, what, do}) }
	if s.evicts() {
		add(Grave, fmt.Sprintf("Redis may evict keys (maxmemory-policy %s): tasks and events can be lost at any time", s.Policy),
			"set maxmemory-policy to noeviction")
	}
	switch {
	case s.AppendOnly == "off":
		add(Serious, "Redis keeps no append-only file (appendonly no): a crash loses all writes since its last snapshot", "set appendonly to yes")
	case s.AppendOnly == Unknown:
		add(Unread, "Redis does not let this program read whether it keeps an append-only file: what a crash loses is unknown",
			"permit INFO to its user")
	case s.Fsync == Unknown:
		add(Unread, "Redis keeps an append-only file, but does not let this program read appendfsync: a crash loses the writes that were not yet synced",
			"check that appendfsync is always or everysec")
	case s.Fsync == "everysec":
		add(Tolerable, "Redis syncs its append-only file every second (appendfsync everysec): a crash of its machine loses about one second of writes",
			"appendfsync always loses none, and makes commands slower")
	case s.Fsync != "always":
		add(Serious, fmt.Sprintf("Redis leaves syncing to the operating system (appendfsync %s): a crash of its machine can lose half a minute of writes", s.Fsync),
			"set appendfsync to everysec or always")
	}
	if s.LastWrite == "err" {
		add(Grave, "Redis could not write its append-only file (aof_last_write_status err): a crash loses the writes since then", "check its disk")
	}
	if s.LastSnapshot == "err" {
		add(Grave, "Redis could not save its last snapshot (rdb_last_bgsave_status err)", "check its disk and its log")
	}
	return list
}

// Warnings returns the risks, a sentence each, with what to do.
func (s Settings) Warnings() []string {
	list := []string{}
	for _, r := range s.Risks() {
		list = append(list, r.What+"; "+r.Do+".")
	}
	return list
}

// evicts reports whether Redis may evict keys.
func (s Settings) evicts() bool { return s.Policy != "noeviction" && s.Policy != Unknown }

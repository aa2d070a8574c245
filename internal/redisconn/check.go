package redisconn

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// ErrVolatile is the error for a Redis that may evict keys.
var ErrVolatile = errors.New("this Redis may evict keys, which loses tasks and events")

// oldest is the oldest supported major version of Redis.
const oldest = 7

// Check checks the Redis behind a client. warning says in one line what a crash can lose with its
// settings. Check returns an error for a version that is too old, for a cluster node addressed as a
// single server, and, unless allowVolatile is set, for a server that may evict keys.
func Check(ctx context.Context, client redis.UniversalClient, allowVolatile bool) (warning string, err error) {
	text, err := info(ctx, client)
	if err != nil {
		return "", fmt.Errorf("ask Redis for its settings: %w", err)
	}
	version := text["redis_version"]
	major, err := strconv.Atoi(version[:max(strings.IndexByte(version, '.'), 0)])
	if err != nil {
		return "", fmt.Errorf("read the version of Redis: %q is not a version", version)
	}
	if major < oldest {
		return "", fmt.Errorf("redis %s is too old; install Redis %d.0 or newer, or Valkey", version, oldest)
	}
	if _, cluster := client.(*redis.ClusterClient); !cluster && text["redis_mode"] == "cluster" {
		return "", errors.New("this Redis is a node of a cluster; list two or more of its nodes in the URL, separated by commas")
	}
	if policy := text["maxmemory_policy"]; policy != "noeviction" && policy != "" {
		if !allowVolatile {
			return "", fmt.Errorf("%w: its maxmemory-policy is %s; set it to noeviction (CONFIG SET maxmemory-policy noeviction), "+
				"or accept the loss with --allow-volatile", ErrVolatile, policy)
		}
		warning = "Redis may evict keys (maxmemory-policy " + policy + "): tasks and events can be lost at any time. "
	}
	return warning + durability(ctx, client, text["aof_enabled"] == "1"), nil
}

// durability returns what a crash of Redis can lose, as a sentence.
func durability(ctx context.Context, client redis.UniversalClient, appendOnly bool) string {
	if !appendOnly {
		return "Redis keeps no append-only file (appendonly no): a crash loses all writes since its last snapshot."
	}
	// Managed services forbid CONFIG. The setting is then unknown.
	settings, err := client.ConfigGet(ctx, "appendfsync").Result()
	switch {
	case err != nil:
		return "Redis keeps an append-only file, but does not let this program read appendfsync: a crash loses the writes that were not yet synced."
	case settings["appendfsync"] == "always":
		return ""
	case settings["appendfsync"] == "everysec":
		return "Redis syncs its append-only file every second (appendfsync everysec): a crash of its machine loses about one second of writes."
	}
	return "Redis leaves syncing to the operating system (appendfsync no): a crash of its machine can lose half a minute of writes."
}

// info returns the fields of INFO that Check needs.
func info(ctx context.Context, client redis.UniversalClient) (map[string]string, error) {
	fields := map[string]string{}
	for _, section := range []string{"server", "memory", "persistence"} {
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

// Temporary reports whether an error of Check may go away by itself: Redis does not reply or is
// loading its data.
func Temporary(err error) bool {
	var network net.Error
	var certificate *tls.CertificateVerificationError
	var notTLS tls.RecordHeaderError
	if errors.As(err, &certificate) || errors.As(err, &notTLS) {
		return false
	}
	return errors.As(err, &network) || errors.Is(err, io.EOF) || redis.HasErrorPrefix(err, "LOADING") ||
		errors.Is(err, context.DeadlineExceeded)
}

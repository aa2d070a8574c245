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

// Check checks the Redis behind a client. warning says in one line what its settings can lose. Check
// returns an error for a version that is too old, for a cluster node addressed as a single server,
// and, unless allowVolatile is set, for a server that may evict keys.
func (i *Inspector) Check(ctx context.Context, allowVolatile bool) (warning string, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	s, err := i.read(ctx)
	if err != nil {
		return "", fmt.Errorf("ask Redis for its settings: %w", err)
	}
	major, err := strconv.Atoi(s.Version[:max(strings.IndexByte(s.Version, '.'), 0)])
	if err != nil {
		return "", fmt.Errorf("read the version of Redis: %q is not a version", s.Version)
	}
	if major < oldest {
		return "", fmt.Errorf("redis %s is too old; install Redis %d.0 or newer, or Valkey", s.Version, oldest)
	}
	if _, cluster := i.client.(*redis.ClusterClient); !cluster && s.Mode == "cluster" {
		return "", errors.New("this Redis is a node of a cluster; list two or more of its nodes in the URL, separated by commas")
	}
	if s.evicts() && !allowVolatile {
		return "", fmt.Errorf("%w: its maxmemory-policy is %s; set it to noeviction (CONFIG SET maxmemory-policy noeviction), "+
			"or accept the loss with --allow-volatile", ErrVolatile, s.Policy)
	}
	return strings.Join(s.Warnings(), " "), nil
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

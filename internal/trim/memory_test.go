package trim_test

import (
	"strings"
	"testing"

	"github.com/claudebench/claudebench/internal/devstack"
	"github.com/claudebench/claudebench/internal/testenv"
	"github.com/claudebench/claudebench/internal/trim"
)

// A Redis that is full refuses every command that needs memory. That is when trimming must work.
func TestAFullRedisIsTrimmed(t *testing.T) {
	t.Parallel()
	f := on(t, testenv.ClientOf(t, testenv.OwnRedis(t, devstack.RedisOptions{})), 3000)
	f.do("CONFIG", "SET", "maxmemory", "1mb")
	if err := f.Client.Set(t.Context(), "x", strings.Repeat("x", 100), 0).Err(); err == nil || !strings.HasPrefix(err.Error(), "OOM") {
		t.Fatalf("Redis is not full: %v", err)
	}
	f.trim(trim.Policy{Events: 1000})
	f.near(2001)
}

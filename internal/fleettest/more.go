package fleettest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/devstack"
	"github.com/claudebench/claudebench/internal/testenv"
)

// Limited makes a call that must exceed a rate limit.
func (f *Fleet) Limited(r api.Request) Limit {
	f.T.Helper()
	before := f.Seq()
	result, err := f.Call(f.T.(*testing.T).Context(), r) //nolint:forcetypeassert // not used in model tests
	var known *api.Error
	if !errors.As(err, &known) || known.Code != api.CodeRateLimited || known.Message != "Rate limit exceeded" {
		f.T.Fatalf("%s answered %s, %v", r.Params, result, err)
	}
	if f.Seq() != before {
		f.T.Errorf("%s was refused and yet emitted", r.Params)
	}
	data, _ := known.Data.(json.RawMessage)
	return Decoded[Limit](f.T, data)
}

// Limit is the data of a rate limit error.
type Limit struct{ Limit, WindowMs, RetryAfterMs int64 }

// Snapshot returns everything in the namespace.
func (f *Fleet) Snapshot() map[string]any {
	f.T.Helper()
	ctx := context.Background()
	all := map[string]any{}
	for _, key := range f.Scan(f.Keys.Prefix() + "*") {
		switch kind := f.Client.Type(ctx, key).Val(); kind {
		case "hash":
			all[key] = f.Hash(key)
		case "zset":
			all[key] = f.Scores(key)
		case "stream":
			all[key] = f.Client.XLen(ctx, key).Val()
		case "string":
			all[key] = f.Client.Get(ctx, key).Val()
		default:
			f.T.Fatalf("%s is a %s", key, kind)
		}
	}
	return all
}

// Watched pretends that the monitor never stopped, so that an instance that is silent for the TTL
// is dead at once.
func (f *Fleet) Watched() {
	f.T.Helper()
	f.Put([]any{"HSET", f.Keys.Prefix() + "health:monitor", "tick", "99999999999999", "patience", 0})
}

// BuryAll waits until every instance is declared dead.
func (f *Fleet) BuryAll(t *testing.T) {
	t.Helper()
	testenv.Eventually(t, Patience, func() (bool, string) {
		f.CheckHealth(0)
		alive := f.Zset(f.Keys.Alive())
		return len(alive) == 0, fmt.Sprint(alive, " are alive")
	})
}

// ItemsOf returns a JSON array of n items.
func ItemsOf(n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf(`{"n":%d}`, i)
	}
	return "[" + strings.Join(list, ",") + "]"
}

// InternalError reports whether an error is an internal one with this data.
func InternalError(err error, what any) bool {
	var known *api.Error
	return errors.As(err, &known) && known.Code == api.CodeInternal && known.Data == what
}

// OwnFleet returns a fleet on its own Redis.
func OwnFleet(t *testing.T) (*Fleet, *devstack.Redis) {
	t.Helper()
	server := testenv.OwnRedis(t, devstack.RedisOptions{AppendOnly: true, AppendFsync: "always"})
	return New(t, ClientOf(t, testenv.ClientOf(t, server)), commands.Options{}), server
}

// Outcome returns how a call ended.
func Outcome(err error) api.Outcome {
	var failed *api.Error
	_ = errors.As(err, &failed)
	return failed.Outcome()
}

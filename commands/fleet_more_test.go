package commands

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/testenv"
)

// limited makes a call that must be refused for coming too soon.
func (f *fleet) limited(r api.Request) limitJSON {
	f.t.Helper()
	before := f.seq()
	result, err := f.Call(f.t.(*testing.T).Context(), r) //nolint:forcetypeassert // no model test
	var known *api.Error
	if !errors.As(err, &known) || known.Code != api.CodeRateLimited || known.Message != "Rate limit exceeded" {
		f.t.Fatalf("%s answered %s, %v", r.Params, result, err)
	}
	if f.seq() != before {
		f.t.Errorf("%s was refused and yet emitted", r.Params)
	}
	data, _ := known.Data.(json.RawMessage)
	return decoded[limitJSON](f.t, data)
}

type limitJSON struct{ Limit, WindowMs, RetryAfterMs int64 }

// snapshot is all that is in the namespace.
func (f *fleet) snapshot() map[string]any {
	f.t.Helper()
	ctx := context.Background()
	all := map[string]any{}
	for _, key := range f.scan(f.keys.Prefix() + "*") {
		switch kind := f.client.Type(ctx, key).Val(); kind {
		case "hash":
			all[key] = f.hash(key)
		case "zset":
			all[key] = f.scores(key)
		case "stream":
			all[key] = f.client.XLen(ctx, key).Val()
		case "string":
			all[key] = f.client.Get(ctx, key).Val()
		default:
			f.t.Fatalf("%s is a %s", key, kind)
		}
	}
	return all
}

// buryAll waits until every instance is declared dead.
func (f *fleet) buryAll(t *testing.T) {
	t.Helper()
	testenv.Eventually(t, patience, func() (bool, string) {
		f.checkHealth(0)
		alive := f.zset(f.keys.Alive())
		return len(alive) == 0, fmt.Sprint(alive, " are alive")
	})
}

// itemsOf is a JSON array of n items.
func itemsOf(n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf(`{"n":%d}`, i)
	}
	return "[" + strings.Join(list, ",") + "]"
}

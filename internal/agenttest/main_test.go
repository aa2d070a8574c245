package agenttest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/keys"
	"github.com/claudebench/claudebench/internal/server"
	"github.com/claudebench/claudebench/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// ttl is how long a registration lasts on the coordinator of the tests, unless it says otherwise.
const ttl = time.Second

// fleet is a coordinator in this process, with its own namespace on the real Redis.
type fleet struct {
	t      *testing.T
	url    string
	space  keys.Space
	client *redis.Client
}

// newFleet starts a coordinator without rate limits. change modifies its settings.
func newFleet(t *testing.T, change func(*config.Config)) *fleet {
	t.Helper()
	f := &fleet{t: t, client: testenv.Client(t)}
	cfg := &config.Config{
		Listen: "127.0.0.1:0", Namespace: testenv.Namespace(t), RedisURL: testenv.Redis(t).URL(),
		InstanceTTL: ttl, MonitorInterval: 100 * time.Millisecond, TaskRetention: time.Hour, MaxLosses: 10,
		RateLimits: config.RateLimits{Off: true},
	}
	if change != nil {
		change(cfg)
	}
	var err error
	if f.space, err = keys.New(cfg.Namespace); err != nil {
		t.Fatal(err)
	}
	s, err := server.Start(t.Context(), cfg, server.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	f.url = "http://" + s.Addr()
	return f
}

// call makes a call that must succeed, and decodes its result.
func call[R any](f *fleet, method string, params map[string]any) R {
	f.t.Helper()
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
	if err != nil {
		f.t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(f.t.Context(), http.MethodPost, f.url+"/rpc", bytes.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		f.t.Fatal(err)
	}
	defer response.Body.Close()
	var answer struct {
		Result R               `json:"result"`
		Error  json.RawMessage `json:"error"`
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || answer.Error != nil {
		f.t.Fatalf("%s %v: %s, %v", method, params, answer.Error, err)
	}
	return answer.Result
}

// log returns the events of a type.
func (f *fleet) log(of events.Type) []events.Envelope {
	f.t.Helper()
	return slices.DeleteFunc(f.events(), func(e events.Envelope) bool { return e.Type != of })
}

// events returns the events of the log.
func (f *fleet) events() []events.Envelope {
	f.t.Helper()
	entries, err := f.client.XRange(f.t.Context(), f.space.Events(), "-", "+").Result()
	if err != nil {
		f.t.Fatal(err)
	}
	var found []events.Envelope
	for _, entry := range entries {
		text, _ := entry.Values["data"].(string)
		e, err := events.Decode([]byte(text))
		if err != nil {
			f.t.Fatalf("entry %s: %v", entry.ID, err)
		}
		found = append(found, e)
	}
	return found
}

// outlived waits as long as n instances live one after the other that give no sign of life after
// they have registered: for more than n times their TTL, by Redis's clock. ownTTL is theirs, 0 for
// the coordinator's.
func (f *fleet) outlived(n int, ownTTL time.Duration) {
	f.t.Helper()
	for i := range n {
		silent := map[string]any{"id": fmt.Sprintf("silent-%d", i), "roles": []string{"observer"}}
		if ownTTL != 0 {
			silent["ttlMs"] = ownTTL.Milliseconds()
		}
		call[struct{}](f, "system.register", silent)
		testenv.Eventually(f.t, patience, func() (bool, string) {
			return f.gone(events.TypeInstanceFailed, silent["id"]), fmt.Sprint(silent["id"], " is still registered")
		})
	}
}

// gone reports whether the log says that an instance has ended, as a type of event says.
func (f *fleet) gone(how events.Type, id any) bool {
	f.t.Helper()
	return slices.ContainsFunc(f.log(how), func(e events.Envelope) bool {
		var p struct{ ID string }
		if err := json.Unmarshal(e.Payload, &p); err != nil {
			f.t.Fatal(err)
		}
		return p.ID == id
	})
}

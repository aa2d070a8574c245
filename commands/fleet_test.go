package commands

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/keys"
	"github.com/claudebench/claudebench/internal/testenv"
	"github.com/claudebench/claudebench/lua"
)

// patience is how long a test waits for what must come.
const patience = 10 * time.Second

// tb is what a fleet needs of a test: *testing.T and *rapid.T both have it.
type tb interface {
	Helper()
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
}

// fleet is a coordinator in a namespace of its own.
type fleet struct {
	*Coordinator
	options  Options
	keys     keys.Space
	scripts  lua.Scripts                                 // untraced, beside the coordinator's
	dies     func(ctx context.Context, step string) bool // where a flush is left
	t        tb
	client   *redis.Client
	embedded bool // runs on the embedded Redis, which is slow
}

// clientOf is a client as the server makes it: it repeats nothing by itself.
func clientOf(t testing.TB, from *redis.Client) *redis.Client {
	t.Helper()
	client := redis.NewClient(&redis.Options{
		Addr: from.Options().Addr, Password: from.Options().Password, MaxRetries: -1, DialerRetries: 1, DisableIdentity: true,
		ReadTimeout:              time.Minute,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	})
	return client
}

func realRedis(t testing.TB) *redis.Client { t.Helper(); return clientOf(t, testenv.Client(t)) }
func embeddedRedis(t testing.TB) *redis.Client {
	t.Helper()
	return clientOf(t, testenv.EmbeddedClient(t))
}

// unlimited switches every rate limit off.
func unlimited() map[string]int {
	list, err := Methods()
	if err != nil {
		panic(err)
	}
	limits := map[string]int{}
	for _, m := range list {
		limits[m.Name] = 0
	}
	return limits
}

// newFleet makes a coordinator; what o leaves out is the default, but for the rate limits, which are off.
func newFleet(t tb, client *redis.Client, o Options) *fleet {
	t.Helper()
	o.Redis = client
	if o.Namespace == "" {
		o.Namespace = testenv.Namespace(nil) // which asks nothing of a test
	}
	if o.RateLimits == nil {
		o.RateLimits = unlimited()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler) // what is wrong shows in the answers
	}
	f := &fleet{t: t, client: client}
	o.Name = rand.Text()
	o.InstanceTTL = cmp.Or(o.InstanceTTL, 30*time.Second) // the default, which tests read
	o.FlushDies = func(ctx context.Context, step string) bool { return f.dies != nil && f.dies(ctx, step) }
	f.start(o)
	return f
}

// start gives the fleet a coordinator with these options, in place of the one it has.
func (f *fleet) start(o Options) {
	f.t.Helper()
	space, err := keys.New(o.Namespace)
	if err != nil {
		f.t.Fatalf("keys: %v", err)
	}
	f.options, f.keys, f.scripts = o, space, lua.NewRunner(f.client).On(space.Log())
	timeouts := map[string]time.Duration{}
	if f.Coordinator != nil {
		for _, m := range f.Methods() {
			timeouts[m.Name] = m.Timeout
		}
	}
	if f.Coordinator, err = New(o); err != nil {
		f.t.Fatalf("new coordinator: %v", err)
	}
	for _, m := range f.Methods() {
		m.Timeout = cmp.Or(timeouts[m.Name], m.Timeout)
	}
}

// with starts the fleet's coordinator with changed options.
func (f *fleet) with(change func(o *Options)) {
	f.t.Helper()
	o := f.options
	change(&o)
	f.start(o)
}

// beside is a second coordinator in the fleet's namespace.
func (f *fleet) beside() *fleet {
	other := newFleet(f.t, f.client, f.options)
	other.unhurried()
	return other
}

// everywhere runs a test on the real Redis and on the embedded one. In the end the log must tell how the
// state in Redis came about, whatever the test did.
func everywhere(t *testing.T, o Options, test func(t *testing.T, f *fleet)) {
	t.Helper()
	t.Parallel()
	for name, client := range map[string]func(testing.TB) *redis.Client{"redis": realRedis, "embedded": embeddedRedis} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, client(t), o)
			f.embedded = name == "embedded"
			f.unhurried()
			test(t, f)
			f.verify()
		})
	}
}

// unhurried gives every command a minute, so that a busy machine is no outage. How long commands may take
// is for the tests of outages.
func (f *fleet) unhurried() {
	for _, m := range f.Methods() {
		m.Timeout = time.Minute
	}
}

// method is one of the coordinator's methods; nil for none.
func (f *fleet) method(name string) *Method {
	for _, m := range f.Methods() {
		if m.Name == name {
			return m
		}
	}
	return nil
}

// do calls a method as nobody in particular.
func (f *fleet) do(method, params string) (json.RawMessage, error) {
	return f.Call(context.Background(), api.Request{Method: method, Params: json.RawMessage(params), Addr: "192.0.2.1", Cause: "req-1"})
}

var resultSchemas = sync.OnceValue(func() map[string]*jsonschema.Resolved {
	list, err := Methods()
	if err != nil {
		panic(err)
	}
	schemas := map[string]*jsonschema.Resolved{}
	for _, m := range list {
		if schemas[m.Name], err = m.Result.Resolve(nil); err != nil {
			panic(err)
		}
	}
	return schemas
})

// ok calls a method that must answer, and with what its schema says.
func (f *fleet) ok(method, format string, args ...any) json.RawMessage {
	f.t.Helper()
	params := fmt.Sprintf(format, args...)
	result, err := f.do(method, params)
	if err != nil {
		f.t.Fatalf("%s %.300s: %v", method, params, err)
	}
	var instance any
	if err := json.Unmarshal(result, &instance); err != nil {
		f.t.Fatalf("%s answered %s: %v", method, result, err)
	}
	if err := resultSchemas()[method].Validate(instance); err != nil {
		f.t.Fatalf("%s answered %s, which its schema refuses: %v", method, result, err)
	}
	return result
}

// refused calls a method that must answer an error, and change nothing.
func (f *fleet) refused(code int, data, method, format string, args ...any) {
	f.t.Helper()
	before := f.seq()
	params := fmt.Sprintf(format, args...)
	result, err := f.do(method, params)
	var known *api.Error
	if !errors.As(err, &known) {
		f.t.Fatalf("%s %.300s answered %s, %v; want error %d %s", method, params, result, err, code, data)
	}
	got, err := json.Marshal(known.Data)
	if err != nil {
		f.t.Fatalf("the error's data: %v", err)
	}
	if known.Code != code || string(got) != data {
		f.t.Errorf("%s %.300s answered %v; want error %d %s", method, params, known, code, data)
	}
	if after := f.seq(); after != before {
		f.t.Errorf("%s %.300s was refused and yet emitted %d events", method, params, after-before)
	}
}

// seq is the number of the last event.
func (f *fleet) seq() int64 {
	f.t.Helper()
	n, err := f.client.HGet(context.Background(), f.keys.Log(), "seq").Int64()
	if err != nil && !errors.Is(err, redis.Nil) {
		f.t.Fatalf("read the log's seq: %v", err)
	}
	return n
}

// taskJSON is a task as methods answer it.
type taskJSON struct {
	ID          string          `json:"id"`
	Text        string          `json:"text"`
	Status      string          `json:"status"`
	Priority    int             `json:"priority"`
	AssignedTo  string          `json:"assignedTo"`
	Attempt     int             `json:"attempt"`
	Metadata    json.RawMessage `json:"metadata"`
	Result      json.RawMessage `json:"result"`
	Error       json.RawMessage `json:"error"`
	CreatedAt   string          `json:"createdAt"`
	UpdatedAt   string          `json:"updatedAt"`
	CompletedAt string          `json:"completedAt"`
}

type claimJSON struct {
	Claimed bool       `json:"claimed"`
	TaskID  string     `json:"taskId"`
	Task    taskJSON   `json:"task"`
	Tasks   []taskJSON `json:"tasks"`
}

func decoded[T any](t tb, raw json.RawMessage) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatalf("decode %s: %v", raw, err)
	}
	return v
}

// create makes a task and gives its id; more is further params, each with a comma before it.
func (f *fleet) create(text, more string) string {
	f.t.Helper()
	return decoded[taskJSON](f.t, f.ok("task.create", `{"text":%q%s}`, text, more)).ID
}

// register registers an instance; roles and more are JSON.
func (f *fleet) register(id, roles, more string) {
	f.t.Helper()
	f.ok("system.register", `{"id":%q,"roles":%s%s}`, id, roles, more)
}

func (f *fleet) get(id string) taskJSON {
	f.t.Helper()
	return decoded[taskJSON](f.t, f.ok("task.get", `{"id":%q}`, id))
}

// claim claims one task and gives its id, "" for none.
func (f *fleet) claim(worker string) string {
	f.t.Helper()
	return decoded[claimJSON](f.t, f.ok("task.claim", `{"workerId":%q}`, worker)).TaskID
}

// checkHealth declares dead who has been silent for a time given in ms.
func (f *fleet) checkHealth(timeout int) sweepResult {
	f.t.Helper()
	return decoded[sweepResult](f.t, f.ok("system.check_health", `{"timeout":%d}`, timeout))
}

// exists tells which of some keys there are.
func (f *fleet) exists(keys ...string) int64 {
	f.t.Helper()
	n, err := f.client.Exists(context.Background(), keys...).Result()
	if err != nil {
		f.t.Fatalf("exists %q: %v", keys, err)
	}
	return n
}

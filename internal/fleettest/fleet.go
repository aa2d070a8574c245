// Package fleettest is the test bench for commands: a coordinator in its own namespace on a real or
// embedded Redis, short ways to call methods, and a fold of the log that is compared with
// everything in Redis. Only tests import it.
package fleettest

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/command"
	"github.com/claudebench/claudebench/internal/jsontext"
	"github.com/claudebench/claudebench/internal/keys"
	"github.com/claudebench/claudebench/internal/reassign"
	"github.com/claudebench/claudebench/internal/testenv"
	"github.com/claudebench/claudebench/internal/timetravel"
	"github.com/claudebench/claudebench/lua"
)

// Patience is how long a test waits for something that must happen.
const Patience = 10 * time.Second

// TB is what a fleet needs of a test. Both *testing.T and *rapid.T implement it.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
}

// Fleet is a coordinator in its own namespace.
type Fleet struct {
	*commands.Coordinator
	Options  commands.Options
	Keys     keys.Space
	Scripts  lua.Scripts                                 // untraced, unlike the coordinator's
	Dies     func(ctx context.Context, step string) bool // the steps at which a flush stops
	T        TB
	Client   *redis.Client
	Embedded bool // on the embedded Redis, which is slow

	tampered bool // a test has changed schedules as no command does
}

// ClientOf returns a client configured like the server's: it never retries.
func ClientOf(t testing.TB, from *redis.Client) *redis.Client {
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

// RealRedis connects to the Redis of the tests.
func RealRedis(t testing.TB) *redis.Client { t.Helper(); return ClientOf(t, testenv.Client(t)) }

// EmbeddedRedis connects to an embedded Redis.
func EmbeddedRedis(t testing.TB) *redis.Client {
	t.Helper()
	return ClientOf(t, testenv.EmbeddedClient(t))
}

// Unlimited returns options that disable every rate limit.
func Unlimited() map[string]int {
	list, err := commands.Methods()
	if err != nil {
		panic(err)
	}
	limits := map[string]int{}
	for _, m := range list {
		limits[m.Name] = 0
	}
	return limits
}

// New creates a coordinator. Zero fields of o take the defaults, except that rate limits are off.
func New(t TB, client *redis.Client, o commands.Options) *Fleet {
	t.Helper()
	o.Runner = lua.NewRunner(client)
	if o.Keys == (keys.Space{}) {
		space, err := keys.New(testenv.Namespace(nil)) // does not use the test
		if err != nil {
			t.Fatalf("keys: %v", err)
		}
		o.Keys = space
	}
	if o.RateLimits == nil {
		o.RateLimits = Unlimited()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler) // results show what is wrong
	}
	log, err := events.NewReader(client, events.ReaderConfig{Namespace: o.Keys.Namespace(), Logger: o.Logger})
	if err != nil {
		t.Fatalf("log: %v", err)
	}
	o.Past = timetravel.NewCalls(log)
	f := &Fleet{T: t, Client: client}
	o.Name = rand.Text()
	o.InstanceTTL = cmp.Or(o.InstanceTTL, 30*time.Second) // the defaults, which tests read
	o.TaskRetention, o.MaxLosses = cmp.Or(o.TaskRetention, 7*24*time.Hour), cmp.Or(o.MaxLosses, 10)
	o.FlushDies = func(ctx context.Context, step string) bool { return f.Dies != nil && f.Dies(ctx, step) }
	f.start(o)
	return f
}

// start replaces the fleet's coordinator with one that has these options.
func (f *Fleet) start(o commands.Options) {
	f.T.Helper()
	f.Options, f.Keys, f.Scripts = o, o.Keys, o.Runner.On(o.Keys.Log())
	timeouts := map[string]time.Duration{}
	if f.Coordinator != nil {
		for _, m := range f.Methods() {
			timeouts[m.Name] = m.Timeout
		}
	}
	var err error
	if f.Coordinator, err = commands.New(o); err != nil {
		f.T.Fatalf("new coordinator: %v", err)
	}
	if t, ok := f.T.(interface{ Cleanup(f func()) }); ok {
		t.Cleanup(f.Coordinator.Stop)
	}
	for _, m := range f.Methods() {
		m.Timeout = cmp.Or(timeouts[m.Name], m.Timeout)
	}
}

// With restarts the fleet's coordinator with changed options.
func (f *Fleet) With(change func(o *commands.Options)) {
	f.T.Helper()
	o := f.Options
	change(&o)
	f.start(o)
}

// Beside returns a second coordinator in the fleet's namespace.
func (f *Fleet) Beside() *Fleet {
	other := New(f.T, f.Client, f.Options)
	other.Unhurried()
	return other
}

// Everywhere runs a test on the real Redis and on the embedded one. At the end, the fold of the log
// must equal the state in Redis, whatever the test did.
func Everywhere(t *testing.T, o commands.Options, test func(t *testing.T, f *Fleet)) {
	t.Helper()
	t.Parallel()
	for name, client := range map[string]func(testing.TB) *redis.Client{"redis": RealRedis, "embedded": EmbeddedRedis} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := New(t, client(t), o)
			f.Embedded = name == "embedded"
			f.Unhurried()
			test(t, f)
			f.Verify()
		})
	}
}

// Unhurried raises every command's timeout to a minute, so that a busy machine does not look like
// an outage. Tests of outages check the timeouts.
func (f *Fleet) Unhurried() {
	for _, m := range f.Methods() {
		m.Timeout = time.Minute
	}
}

// Method returns one of the coordinator's methods, or nil.
func (f *Fleet) Method(name string) *command.Method {
	for _, m := range f.Methods() {
		if m.Name == name {
			return m
		}
	}
	return nil
}

// Call compacts the params as transports do and calls the coordinator. On success, the error is an
// untyped nil.
func (f *Fleet) Call(ctx context.Context, r api.Request) (json.RawMessage, error) {
	var err error
	if r.Params, err = compact(r.Params); err != nil {
		return nil, err
	}
	result, failed := f.Coordinator.Call(ctx, r)
	if failed != nil {
		return nil, failed
	}
	return result, nil
}

// compact returns params as transports pass them on.
func compact(params json.RawMessage) (json.RawMessage, error) {
	if len(params) == 0 {
		return nil, nil
	}
	text, unread := jsontext.Compact(slices.Clone(params))
	if unread != nil {
		return nil, api.InvalidParams(unread.Why)
	}
	return text, nil
}

// Do calls a method without an instance or a token.
func (f *Fleet) Do(method, params string) (json.RawMessage, error) {
	return f.Call(context.Background(), api.Request{Method: method, Params: json.RawMessage(params), Addr: "192.0.2.1", Cause: "req-1"})
}

var resultSchemas = sync.OnceValue(func() map[string]*jsonschema.Resolved {
	list, err := commands.Methods()
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

// OK calls a method that must succeed with a result that matches its schema.
func (f *Fleet) OK(method, format string, args ...any) json.RawMessage {
	f.T.Helper()
	params := fmt.Sprintf(format, args...)
	result, err := f.Do(method, params)
	if err != nil {
		f.T.Fatalf("%s %.300s: %v", method, params, err)
	}
	var instance any
	if err := json.Unmarshal(result, &instance); err != nil {
		f.T.Fatalf("%s answered %s: %v", method, result, err)
	}
	if err := resultSchemas()[method].Validate(instance); err != nil {
		f.T.Fatalf("%s answered %s, which its schema refuses: %v", method, result, err)
	}
	return result
}

// Refused calls a method that must return an error and change nothing.
func (f *Fleet) Refused(code int, data, method, format string, args ...any) {
	f.T.Helper()
	before := f.Seq()
	params := fmt.Sprintf(format, args...)
	result, err := f.Do(method, params)
	var known *api.Error
	if !errors.As(err, &known) {
		f.T.Fatalf("%s %.300s answered %s, %v; want error %d %s", method, params, result, err, code, data)
	}
	got, err := json.Marshal(known.Data)
	if err != nil {
		f.T.Fatalf("the error's data: %v", err)
	}
	if known.Code != code || string(got) != data {
		f.T.Errorf("%s %.300s answered %v; want error %d %s", method, params, known, code, data)
	}
	if after := f.Seq(); after != before {
		f.T.Errorf("%s %.300s was refused and yet emitted %d events", method, params, after-before)
	}
}

// Seq returns the seq of the last event.
func (f *Fleet) Seq() int64 {
	f.T.Helper()
	n, err := f.Client.HGet(context.Background(), f.Keys.Log(), "seq").Int64()
	if err != nil && !errors.Is(err, redis.Nil) {
		f.T.Fatalf("read the log's seq: %v", err)
	}
	return n
}

// Task is a task in the result of a method.
type Task struct {
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

// Claim is the result of task.claim.
type Claim struct {
	Claimed bool   `json:"claimed"`
	TaskID  string `json:"taskId"`
	Task    Task   `json:"task"`
	Tasks   []Task `json:"tasks"`
}

// Decoded decodes JSON of the given type. It fails the test on an error.
func Decoded[T any](t TB, raw json.RawMessage) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatalf("decode %s: %v", raw, err)
	}
	return v
}

// Create creates a task and returns its id. more is further params, each with a comma before it.
func (f *Fleet) Create(text, more string) string {
	f.T.Helper()
	return Decoded[Task](f.T, f.OK("task.create", `{"text":%q%s}`, text, more)).ID
}

// Register registers an instance. roles and more are JSON.
func (f *Fleet) Register(id, roles, more string) {
	f.T.Helper()
	f.OK("system.register", `{"id":%q,"roles":%s%s}`, id, roles, more)
}

// Get reads a task.
func (f *Fleet) Get(id string) Task {
	f.T.Helper()
	return Decoded[Task](f.T, f.OK("task.get", `{"id":%q}`, id))
}

// Claim claims one task and returns its id, "" for none.
func (f *Fleet) Claim(worker string) string {
	f.T.Helper()
	return Decoded[Claim](f.T, f.OK("task.claim", `{"workerId":%q}`, worker)).TaskID
}

// CheckHealth declares dead all instances that were silent for timeout ms.
func (f *Fleet) CheckHealth(timeout int) api.CheckHealthResult {
	f.T.Helper()
	return Decoded[api.CheckHealthResult](f.T, f.OK("system.check_health", `{"timeout":%d}`, timeout))
}

// Exists returns how many of the keys exist.
func (f *Fleet) Exists(keys ...string) int64 {
	f.T.Helper()
	n, err := f.Client.Exists(context.Background(), keys...).Result()
	if err != nil {
		f.T.Fatalf("exists %q: %v", keys, err)
	}
	return n
}

// Reassigning returns the settings with which the fleet's coordinator reassigns tasks.
func (f *Fleet) Reassigning() reassign.Options {
	return reassign.Options{
		TTL: f.Options.InstanceTTL, Interval: f.Options.MonitorInterval, Losses: f.Options.MaxLosses, Retention: f.Options.TaskRetention,
	}
}

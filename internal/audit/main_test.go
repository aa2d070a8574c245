package audit_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/audit"
	"github.com/claudebench/claudebench/internal/keys"
	"github.com/claudebench/claudebench/internal/testenv"
	"github.com/claudebench/claudebench/lua"
	"github.com/claudebench/claudebench/migrations"
	"github.com/claudebench/claudebench/projections"
)

func TestMain(m *testing.M) { testenv.Main(m) }

var quiet = slog.New(slog.DiscardHandler)

// bundle is a test's own namespace with a coordinator, the projections, and perhaps Postgres.
type bundle struct {
	namespace   string
	space       keys.Space
	client      redis.UniversalClient
	coordinator *commands.Coordinator
	pool        *projections.Pool
	db          *pgxpool.Pool // for the tests' own SQL
	runner      *projections.Runner
}

func newBundle(t testing.TB, postgres bool, options ...func(*commands.Options)) *bundle {
	t.Helper()
	b := &bundle{namespace: testenv.Namespace(t), client: testenv.Client(t)}
	var err error
	if b.space, err = keys.New(b.namespace); err != nil {
		t.Fatal(err)
	}
	b.again(t, options...)
	scripts := lua.NewRunner(b.client).On(b.space.Log())
	inRedis := projections.RedisConfig{Client: b.client, Scripts: scripts, Keys: b.space}
	all := []projections.Projection{projections.NewState(inRedis), projections.NewMetrics(inRedis)}
	if postgres {
		database := testenv.Postgres(t)
		if b.pool, err = projections.OpenPool(t.Context(), database, b.namespace); err != nil {
			t.Fatal(err)
		}
		b.db = testenv.SQL(t, database, migrations.Schema(b.namespace))
		t.Cleanup(b.pool.Close)
		postgres := projections.PostgresConfig{Pool: b.pool, Logger: quiet}
		all = append(all, projections.NewTasks(postgres), projections.NewEvents(postgres))
	}
	b.runner, err = projections.NewRunner(projections.RunnerConfig{
		Client: b.client, Scripts: scripts, Keys: b.space, Projections: all, Logger: quiet,
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// again creates the bundle's coordinator, or replaces it.
func (b *bundle) again(t testing.TB, options ...func(*commands.Options)) {
	t.Helper()
	o := commands.Options{Runner: lua.NewRunner(b.client), Keys: b.space, RateLimits: map[string]int{}, Logger: quiet}
	for _, method := range []string{
		"system.register", "system.heartbeat", "system.unregister", "system.check_health", "system.flush", "task.create",
		"queue.pause", "queue.resume", "limit.set", "limit.delete", "task.get", "task.progress", "task.cancel", "task.retry", "task.update", "task.assign", "task.unassign", "task.claim", "task.complete", "task.delete",
	} {
		o.RateLimits[method] = 0
	}
	for _, option := range options {
		option(&o)
	}
	var err error
	if b.coordinator, err = commands.New(o); err != nil {
		t.Fatal(err)
	}
}

// project folds the log into the projections once.
func (b *bundle) project(t testing.TB) {
	t.Helper()
	names := []string{"state", "metrics"}
	if b.pool != nil {
		names = append(names, "tasks", "events")
	}
	for _, name := range names {
		if err := b.runner.Rebuild(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
}

// follow keeps the projections going until the test ends.
func (b *bundle) follow(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { b.runner.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
}

// do runs a command that must succeed and returns its result.
func (b *bundle) do(t testing.TB, method string, params any) map[string]any {
	t.Helper()
	result, err := b.try(t.Context(), method, params)
	if err != nil {
		t.Fatalf("%s %v: %v", method, params, err)
	}
	return result
}

func (b *bundle) try(ctx context.Context, method string, params any) (map[string]any, error) {
	text, err := json.Marshal(params)
	if err != nil {
		return nil, err
	}
	raw, failed := b.coordinator.Call(ctx, api.Request{Method: method, Params: text, Addr: "127.0.0.1", Cause: "test"})
	if failed != nil {
		return nil, fmt.Errorf("%s: %w", method, failed)
	}
	var result map[string]any
	return result, json.Unmarshal(raw, &result)
}

func (b *bundle) create(t testing.TB, priority int, metadata string) string {
	t.Helper()
	params := map[string]any{"text": `say "hé/llo"` + "\n", "priority": priority}
	if metadata != "" {
		params["metadata"] = json.RawMessage(metadata)
	}
	return b.do(t, "task.create", params)["id"].(string)
}

type object = map[string]any

func (b *bundle) verify(t testing.TB, options ...func(*audit.Options)) *audit.Report {
	t.Helper()
	o := audit.Options{Redis: b.client, Keys: b.space, Postgres: b.pool, Wait: 20 * time.Second}
	for _, option := range options {
		option(&o)
	}
	report, err := audit.Verify(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func clean(t testing.TB, report *audit.Report) {
	t.Helper()
	if !report.OK() {
		var b strings.Builder
		_, _ = report.WriteTo(&b)
		t.Fatalf("verify found:\n%s", b.String())
	}
}

// names fails unless a violation contains every part.
func names(t testing.TB, report *audit.Report, parts ...string) {
	t.Helper()
	if !slices.ContainsFunc(report.Violations, func(v string) bool {
		return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(v, part) })
	}) {
		t.Errorf("no violation holds %q:\n%s", parts, strings.Join(report.Violations, "\n"))
	}
}

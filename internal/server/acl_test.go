package server

import (
	"context"
	"io"
	"net"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/audit"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/devstack"
	"github.com/claudebench/claudebench/internal/redisconn"
	"github.com/claudebench/claudebench/internal/span"
	"github.com/claudebench/claudebench/internal/subscribers"
	"github.com/claudebench/claudebench/internal/taskview"
	"github.com/claudebench/claudebench/internal/testenv"
	"github.com/claudebench/claudebench/internal/trim"
	"github.com/claudebench/claudebench/lua"
	"github.com/claudebench/claudebench/migrations"
	"github.com/claudebench/claudebench/projections"
)

var aclLine = regexp.MustCompile(`(?m)^ACL SETUSER (cb-\w+) (.+)$`)

// makeUsers creates the users of docs/operations.md for a namespace and returns the URL of each.
func makeUsers(t *testing.T, server *devstack.Redis, namespace string) map[string]string {
	t.Helper()
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	admin, urls := testenv.ClientOf(t, server), map[string]string{}
	for _, line := range aclLine.FindAllStringSubmatch(string(page), -1) {
		rules := strings.ReplaceAll(strings.ReplaceAll(line[2], "PASSWORD", "sesame"), "cb:", "cb:{"+namespace+"}:")
		command := []any{"ACL", "SETUSER", line[1]}
		for _, rule := range strings.Fields(rules) {
			command = append(command, rule)
		}
		if err := admin.Do(t.Context(), command...).Err(); err != nil {
			t.Fatalf("%s: %v", line[0], err)
		}
		u, err := url.Parse(server.URL())
		if err != nil {
			t.Fatal(err)
		}
		u.User = url.UserPassword(line[1], "sesame")
		urls[line[1]] = u.String()
	}
	if len(urls) != 4 {
		t.Fatalf("docs/operations.md has users %v", urls)
	}
	return urls
}

// The ACLs of docs/operations.md allow each role its work and nothing more.
func TestRedisUsersOfEachRole(t *testing.T) {
	t.Parallel()
	server := durable(t)
	cfg := settings(t, func(c *config.Config) { c.DatabaseURL, c.RedisURL = testenv.Postgres(t), server.URL() })
	users := makeUsers(t, server, cfg.Namespace)
	cfg.RedisURL = users["cb-coordinator"]
	c := start(t, cfg)
	c.ready(t)
	l := startLoad(t, 4, one(c))
	l.progress(200)
	l.end()
	call[object](t, c, "system.register", params{"id": "w", "roles": []string{"worker"}})
	id := c.create(t, params{"text": "t"})
	for _, do := range []struct {
		method string
		params params
	}{
		{"system.heartbeat", params{"instanceId": "w"}},
		{"system.check_health", params{}},
		{"system.metrics", params{"detailed": true}},
		{"system.get_state", params{}},
		{"system.subscribers", params{}},
		{"system.discover", params{}},
		{"system.info", params{}},
		{"audit.status", params{}},
		{"system.get_state", params{"at": "3"}},
		{"audit.diff", params{"from": "1"}},
		{"system.batch.process", params{"batchId": "b", "instanceId": "w", "items": []any{1, 2}}},
		{"system.quorum.vote", params{"instanceId": "w", "decision": "d", "value": true, "totalInstances": 1}},
		{"task.update", params{"id": id, "updates": params{"priority": 1, "metadata": params{"k": 1}}}},
		{"task.list", params{}},
		{"task.get", params{"id": id}},
		{"task.delete", params{"id": id}},
		{"system.unregister", params{"instanceId": "w"}},
	} {
		call[object](t, c, do.method, do.params)
	}
	follow := followAsService(t, users["cb-service"], cfg.Namespace)
	auditor := openAs(t, users["cb-auditor"], cfg.Namespace)
	pool, err := projections.OpenPool(t.Context(), cfg.DatabaseURL, cfg.Namespace)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	verify := func() {
		t.Helper()
		report, err := audit.Verify(t.Context(), audit.Options{Redis: auditor, Keys: keysOf(t, cfg), ReadOnly: true, Postgres: pool})
		if err != nil || !report.OK() {
			t.Fatalf("verify: %+v, %v", report, err)
		}
	}
	verify()
	if last := verifies(t, c, c); !last.OK {
		t.Errorf("audit.verify by the coordinator: %+v", last)
	}
	if err := testenv.ClientOf(t, server).XTrimMaxLen(t.Context(), keysOf(t, cfg).Topic("task.created"), 1).Err(); err != nil {
		t.Fatal(err)
	}
	parkAsGroup(t, users["cb-group"], cfg.Namespace)
	if parked, err := subscribers.ListParked(t.Context(), auditor, keysOf(t, cfg), "mail"); err != nil || len(parked) != 1 {
		t.Errorf("parked %+v, %v", parked, err)
	}
	verify() // with parked events
	auditing := lua.NewReadOnlyRunner(auditor).On(keysOf(t, cfg).Log())
	if list, err := subscribers.List(t.Context(), auditing, taskview.Checkpoints{}); err != nil || len(list.Subscribers) != 3 || list.Parked != 1 {
		t.Errorf("subscribers: %+v, %v", list, err)
	}
	log, err := span.InRedis(auditor, events.ReaderConfig{Namespace: cfg.Namespace, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	raw := func(text []byte, e *events.Entry) []byte { return append(text, e.Raw...) }
	if done, err := audit.Replay(t.Context(), io.Discard, audit.ReplayOptions{Log: log, Render: raw}); err != nil || done.Printed < 200 {
		t.Errorf("replay: %+v, %v", done, err)
	}
	admin := testenv.ClientOf(t, server)
	if err := admin.HSet(t.Context(), keysOf(t, cfg).Log(), "archive", "a", "archivedClosed", "0-0").Err(); err != nil {
		t.Fatal(err)
	}
	planner, err := trim.NewPlanner(auditor, keysOf(t, cfg))
	if err != nil {
		t.Fatal(err)
	}
	if plan, err := planner.Plan(t.Context(), trim.Policy{Age: time.Hour}); err != nil {
		t.Errorf("plan a trim: %+v, %v", plan, err)
	}
	trimmer, err := trim.New(openAs(t, users["cb-coordinator"], cfg.Namespace), keysOf(t, cfg))
	if err != nil {
		t.Fatal(err)
	}
	if report, err := trimmer.Trim(t.Context(), trim.Policy{Age: time.Hour}, func(context.Context) error { return nil }); err != nil {
		t.Errorf("trim: %+v, %v", report, err)
	}
	call[object](t, c, "system.flush", params{"confirm": "FLUSH_ALL_DATA"})
	c.create(t, params{"text": "after the flush"})
	follow()
	verify()

	// Redis rejected nothing that the roles did, apart from the question how often it syncs its file.
	denied, err := admin.ACLLog(t.Context(), 100).Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range denied {
		if e.Object != "config|get" {
			t.Errorf("Redis has refused %s to %s", e.Object, e.Username)
		}
	}
	for _, user := range []string{"cb-service", "cb-group", "cb-auditor"} {
		refuseWrites(t, openAs(t, users[user], cfg.Namespace), user, cfg.Namespace)
	}
	for _, command := range [][]any{
		{"EVAL", "return redis.call('GET', KEYS[1])", 1, keysOf(t, cfg).Log()},
		{"EVALSHA", lua.Named("read_globals").SHA, 1, keysOf(t, cfg).Log()},
		{"EVAL_RO", "return redis.call('HSET', KEYS[1], 'seq', 1)", 1, keysOf(t, cfg).Log()},
	} {
		mustRefuse(t, openAs(t, users["cb-auditor"], cfg.Namespace), "cb-auditor", command)
	}
	coordinator := openAs(t, users["cb-coordinator"], cfg.Namespace)
	for _, command := range [][]any{{"CONFIG", "GET", "requirepass"}, {"FLUSHALL"}, {"CONFIG", "SET", "appendonly", "no"}, {"ACL", "LIST"}, {"KEYS", "*"}, {"SET", "another", "1"}, {"SHUTDOWN"}} {
		mustRefuse(t, coordinator, "cb-coordinator", command)
	}
}

var grants = regexp.MustCompile("(?s)```sql\n(CREATE ROLE .+?)```")

// makeRole creates the auditor's role of docs/operations.md and returns the URL of the database for it.
func makeRole(t *testing.T, database, namespace string) string {
	t.Helper()
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	found := grants.FindSubmatch(page)
	if found == nil {
		t.Fatal("docs/operations.md has no role for the auditor")
	}
	role := `"cb-auditor-` + namespace + `"` // the roles of the server's databases are the same
	sql := strings.NewReplacer(`"cb-auditor"`, role, "'PASSWORD'", "'sesame'", "SCHEMA public", `SCHEMA "`+migrations.Schema(namespace)+`"`).Replace(string(found[1]))
	db := testenv.SQL(t, database, "")
	if _, err := db.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	t.Cleanup(func() {
		if _, err := db.Exec(context.WithoutCancel(t.Context()), "DROP OWNED BY "+role+"; DROP ROLE "+role); err != nil {
			t.Error(err)
		}
	})
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(strings.Trim(role, `"`), "sesame")
	return u.String()
}

// An auditor whose user and role may only read verifies the whole of a fleet on a replica, while the
// fleet works, and finds what is wrong.
func TestAuditOnAReplica(t *testing.T) {
	t.Parallel()
	server := durable(t)
	host, port, err := net.SplitHostPort(server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	replica := testenv.OwnRedis(t, devstack.RedisOptions{Extra: []string{
		"replicaof " + host + " " + port, "masterauth " + server.Password(), "repl-diskless-sync-delay 0",
	}})
	cfg := settings(t, func(c *config.Config) { c.DatabaseURL, c.RedisURL = testenv.Postgres(t), server.URL() })
	c := start(t, cfg)
	c.ready(t)
	l := startLoad(t, 4, one(c))
	l.progress(200)
	admin := testenv.ClientOf(t, server)
	arrived := func() {
		t.Helper()
		if n, err := admin.Wait(t.Context(), 1, 20*time.Second).Result(); err != nil || n != 1 {
			t.Fatalf("%d replicas, %v", n, err)
		}
	}
	arrived()
	auditor := openAs(t, makeUsers(t, replica, cfg.Namespace)["cb-auditor"], cfg.Namespace)
	database := makeRole(t, cfg.DatabaseURL, cfg.Namespace)
	pool, err := projections.OpenPool(t.Context(), database, cfg.Namespace)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	verify := func() *audit.Report {
		t.Helper()
		report, err := audit.Verify(t.Context(), audit.Options{Redis: auditor, Keys: keysOf(t, cfg), ReadOnly: true, Postgres: pool})
		if err != nil {
			t.Fatal(err)
		}
		return report
	}
	if report := verify(); !report.OK() || report.Events < 200 || report.Rows == 0 {
		t.Errorf("while the fleet works: %+v", report)
	}
	l.end()
	if err := admin.HSet(t.Context(), keysOf(t, cfg).State(), "tasks.failed", 77).Err(); err != nil {
		t.Fatal(err)
	}
	arrived()
	if report := verify(); report.OK() || !strings.Contains(strings.Join(report.Violations, "\n"), "tasks.failed") {
		t.Errorf("of a state that was changed: %+v", report)
	}
	for _, statement := range []string{"DELETE FROM {}.tasks", "UPDATE {}.tasks SET status = 'failed'", "DROP TABLE {}.tasks", "CREATE TABLE {}.mine (a int)", "TRUNCATE {}.events"} {
		statement = strings.ReplaceAll(statement, "{}", `"`+migrations.Schema(cfg.Namespace)+`"`)
		if _, err := pool.Exec(t.Context(), statement); err == nil {
			t.Errorf("the auditor may run %s", statement)
		}
	}
}

func openAs(t *testing.T, url, namespace string) redis.UniversalClient {
	t.Helper()
	client, err := redisconn.Open(url, namespace)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// followAsService reads the log to its end and returns a function that reads on until an event
// arrives.
func followAsService(t *testing.T, url, namespace string) (more func()) {
	t.Helper()
	reader, err := events.NewReader(openAs(t, url, namespace), events.ReaderConfig{Namespace: namespace, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	last, err := reader.Last(t.Context())
	if err != nil {
		t.Fatalf("a service: %v", err)
	}
	var at events.ID
	for at != last {
		batch, err := reader.Read(t.Context(), at)
		if err != nil {
			t.Fatalf("a service: %v", err)
		}
		at = batch.Last()
	}
	return func() {
		t.Helper()
		for {
			batch, err := reader.Read(t.Context(), at)
			if err != nil {
				t.Fatalf("a service, after the flush: %v", err)
			}
			if len(batch.Entries) > 0 {
				return
			}
			at = batch.Last()
		}
	}
}

// parkAsGroup reads a topic as a member of a consumer group: it takes an event that was trimmed from
// the topic, and fails until it is parked.
func parkAsGroup(t *testing.T, url, namespace string) {
	t.Helper()
	sub, err := events.NewGroupSubscriber(openAs(t, url, namespace), events.GroupSubscriberConfig{
		Namespace: namespace, Group: "mail", MaxDeliveries: 2, NackDelay: time.Millisecond, Block: 50 * time.Millisecond, ClaimEvery: time.Millisecond, Logger: quiet,
	})
	if err != nil {
		t.Fatal(err)
	}
	messages, err := sub.Subscribe(t.Context(), "task.created")
	if err != nil {
		t.Fatalf("a member of a group: %v", err)
	}
	for range 2 {
		(<-messages).Nack()
	}
	(<-messages).Ack()
	if err := sub.Close(); err != nil {
		t.Error(err)
	}
}

// refuseWrites tries what a role that only reads must not be able to do.
func refuseWrites(t *testing.T, client redis.UniversalClient, user, namespace string) {
	t.Helper()
	prefix := "cb:{" + namespace + "}:"
	for _, command := range [][]any{
		{"XADD", prefix + "stream:events", "*", "data", "forged"},
		{"XTRIM", prefix + "stream:events", "MAXLEN", 0},
		{"DEL", prefix + "stream:events"},
		{"UNLINK", prefix + "log"},
		{"HSET", prefix + "log", "seq", 1},
		{"SET", prefix + "stream:new", 1},
		{"EXPIRE", prefix + "stream:events", 1},
		{"EVAL", "return redis.call('XTRIM', KEYS[1], 'MAXLEN', 0)", 1, prefix + "stream:events"},
		{"EVAL", "return redis.call('HSET', KEYS[1], 'seq', 1)", 1, prefix + "log"},
		{"GET", "another"},
		{"FLUSHALL"},
		{"CONFIG", "SET", "appendonly", "no"},
		{"ACL", "LIST"},
	} {
		mustRefuse(t, client, user, command)
	}
}

func mustRefuse(t *testing.T, client redis.UniversalClient, user string, command []any) {
	t.Helper()
	err := client.Do(context.WithoutCancel(t.Context()), command...).Err()
	if err == nil || !strings.Contains(err.Error(), "NOPERM") && !strings.Contains(err.Error(), "can't") && !strings.Contains(err.Error(), "ACL failure") {
		t.Errorf("%s may run %v: %v", user, command, err)
	}
}

// A start that cannot succeed says why, and what to do.
func TestStartNamesWhatRedisRefuses(t *testing.T) {
	t.Parallel()
	server := durable(t)
	admin := testenv.ClientOf(t, server)
	at := "@" + server.Addr()
	for _, user := range [][]any{
		{"limited", "on", ">sesame", "~*", "+@all", "-info"},
		{"unscripted", "on", ">sesame", "~*", "+@all", "-evalsha"},
	} {
		if err := admin.Do(t.Context(), append([]any{"ACL", "SETUSER"}, user...)...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if err := admin.Set(t.Context(), "cb:{taken}:stream:events", "mine", 0).Err(); err != nil {
		t.Fatal(err)
	}
	for url, want := range map[string]string{
		"redis://limited:sesame" + at:                  `the Redis user "limited" lacks a permission; docs/operations.md`,
		"redis://unscripted:sesame" + at:               `the Redis user "unscripted" lacks a permission; docs/operations.md`,
		"redis://limited:wrong" + at:                   `Redis rejects the password of user "limited"`,
		"redis://" + server.Addr():                     "Redis requires a password",
		server.URL() + "?db=0":                         "cb:{taken}:stream:events is a string, not a stream",
		strings.TrimSuffix(server.URL(), "/0") + "/99": "does not have the database",
	} {
		cfg := settings(t, func(c *config.Config) { c.RedisURL, c.Namespace = url, "taken" })
		s, err := Start(t.Context(), cfg, Options{Logger: quiet})
		if err == nil {
			_ = s.Stop(context.WithoutCancel(t.Context()))
			t.Errorf("%s: it starts", want)
			continue
		}
		if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "sesame") || strings.Contains(err.Error(), server.Password()) {
			t.Errorf("%v; want %q", err, want)
		}
	}
}

// A wrong password or database name for Postgres is reported as such. Like an unavailable Postgres,
// it makes task.list unavailable.
func TestWhatPostgresRefusesIsNamed(t *testing.T) {
	t.Parallel()
	right, err := url.Parse(testenv.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	password, database := *right, *right
	password.User = url.UserPassword("nobody_of_that_name", "sesame")
	database.Path = "/no_such_database"
	for want, wrong := range map[string]url.URL{
		"it rejects the user or password of --database-url": password,
		"it does not have the database of --database-url":   database,
	} {
		c := start(t, settings(t, func(cfg *config.Config) { cfg.DatabaseURL = wrong.String() }))
		if status, r := c.readyz(t); status != 200 || !r.Degraded || r.Postgres != "unavailable: "+want {
			t.Errorf("/readyz: %d %+v, want %q", status, r, want)
		}
		if refusal := refused(t, c, api.CodeInternal, "task.list", params{}); !strings.HasPrefix(refusal.text(), api.PostgresUnavailable) {
			t.Errorf("task.list: %v", refusal)
		}
	}
}

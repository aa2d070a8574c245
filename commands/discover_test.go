package commands_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/jsonschema-go/jsonschema"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/commands/system"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/fleettest"
)

// discovered are the schemas of a method that system.discover returns.
type discovered struct{ input, output *jsonschema.Resolved }

func (d discovered) accepts(params string) bool {
	if params == "" {
		params = "{}"
	}
	var v any
	return json.Unmarshal([]byte(params), &v) == nil && d.input.Validate(v) == nil
}

// unreadable ends the errors for text that SQL cannot read. A validator sees U+FFFD instead of an
// unpaired surrogate.
const unreadable = " must not contain U+0000 or an unpaired surrogate, which SQL cannot read"

// betweenParams matches the rules between the params of a list of tasks or of a task, and those of a
// cursor.
var betweenParams = regexp.MustCompile(`(statuses|metadata|cursor|createdBefore|updatedBefore|filter|ids|cancelled|delayMs|dependsOn|onDependencyFailure) parameter: `)

// beyondSchema reports whether a sentence is about a rule that a schema cannot express: a length in
// bytes, a rule between params, that an item of a batch is a task if it has a text, or which text names
// types of events, a position in the log or a time.
func beyondSchema(sentence string) bool {
	sentence = strings.TrimPrefix(sentence, "task parameter is not valid: ") // of schedule.put
	return strings.HasPrefix(sentence, "items parameter is not valid: item ") || strings.HasSuffix(sentence, "bytes long") || strings.HasSuffix(sentence, unreadable) || strings.Contains(sentence, "(taskId is another name for it)") ||
		strings.HasPrefix(sentence, "taskId parameter must equal id") || strings.HasPrefix(sentence, "types parameter: ") || strings.Contains(sentence, " parameter: it is not a time in ISO 8601 ") ||
		strings.HasPrefix(sentence, "cron parameter: ") || strings.Contains(sentence, ": not a position in the log; ") || strings.HasPrefix(sentence, "since parameter: ") || betweenParams.MatchString(sentence)
}

// infos returns what system.discover would return, without a call of Redis.
func infos(c *fleettest.Checker, t fleettest.TB) (all []api.MethodInfo) {
	t.Helper()
	for _, m := range c.Methods() {
		info, err := system.Describe(m)
		if err != nil {
			t.Fatalf("describe %s: %v", m.Name, err)
		}
		all = append(all, info)
	}
	return all
}

func schemaFrom(t fleettest.TB, text api.Object) *jsonschema.Resolved {
	t.Helper()
	var schema jsonschema.Schema
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatalf("decode %s: %v", text, err)
	}
	resolved, err := schema.Resolve(nil)
	if err != nil {
		t.Fatalf("resolve %s: %v", text, err)
	}
	return resolved
}

// discoveredSchemas returns the schemas of all methods, read from the result of system.discover.
func discoveredSchemas(t fleettest.TB, methods []api.MethodInfo) map[string]discovered {
	t.Helper()
	all := map[string]discovered{}
	for _, m := range methods {
		all[m.Name] = discovered{schemaFrom(t, m.InputSchema), schemaFrom(t, m.OutputSchema)}
	}
	return all
}

func discoverOn(f *fleettest.Fleet, params string) []api.MethodInfo {
	f.T.Helper()
	// api.Object does not decode itself.
	var raw struct {
		Methods []struct {
			Name, Description         string
			InputSchema, OutputSchema json.RawMessage
			Metadata                  api.MethodMetadata
		}
	}
	if err := json.Unmarshal(f.OK("system.discover", "%s", params), &raw); err != nil {
		f.T.Fatalf("system.discover: %v", err)
	}
	list := make([]api.MethodInfo, len(raw.Methods))
	for i, m := range raw.Methods {
		list[i] = api.MethodInfo{
			Name: m.Name, Description: m.Description, InputSchema: api.Object(m.InputSchema), OutputSchema: api.Object(m.OutputSchema),
			Metadata: m.Metadata,
		}
	}
	return list
}

func namesOf(methods []api.MethodInfo) []string {
	names := []string{}
	for _, m := range methods {
		names = append(names, m.Name)
	}
	return names
}

func TestDiscover(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{RateLimits: map[string]int{"task.create": 7, "task.get": 0}}, func(t *testing.T, f *fleettest.Fleet) {
		all, err := commands.MethodNames()
		if err != nil {
			t.Fatal(err)
		}
		methods := discoverOn(f, `{}`)
		if diff := cmp.Diff(all, namesOf(methods)); diff != "" {
			t.Errorf("methods: -want +got\n%s", diff)
		}
		for _, domain := range []string{"system", "task", "queue", "session", "instance", "event", "audit", "nothing", "syste", "task.get", "."} {
			want := slices.DeleteFunc(slices.Clone(all), func(name string) bool { return !strings.HasPrefix(name, domain+".") })
			if domain == "task.get" || domain == "." {
				want = []string{}
			}
			got := discoverOn(f, fmt.Sprintf(`{"domain":%q}`, domain))
			if diff := cmp.Diff(want, namesOf(got)); diff != "" {
				t.Errorf("domain %s: -want +got\n%s", domain, diff)
			}
		}
		if got := string(f.OK("system.discover", `{"domain":"nothing"}`)); got != `{"methods":[]}` {
			t.Errorf("an unknown domain: %s", got)
		}
		for _, m := range methods {
			limit := f.Method(m.Name).Limit
			want := api.MethodMetadata{Persist: true, RateLimit: limit, TokenRateLimit: 5 * limit, Roles: f.Method(m.Name).Roles}
			switch m.Name {
			case "task.create":
				want.RateLimit, want.TokenRateLimit = 7, 35
			case "task.get", "task.list", "limit.list", "schedule.get", "schedule.list", "session.get", "session.list", "event.get", "event.list", "task.history", "instance.history", "system.health", "system.metrics", "system.get_state", "system.info", "system.subscribers", "audit.status", "audit.diff", "system.discover":
				want.Persist = false
				if m.Name == "task.get" {
					want.RateLimit, want.TokenRateLimit = 0, 0
				}
				if !slices.Contains(m.Metadata.Roles, api.RoleAuditor) {
					t.Errorf("an auditor may not call %s", m.Name)
				}
			}
			if diff := cmp.Diff(want, m.Metadata); diff != "" || m.Description == "" || len(m.Metadata.Roles) == 0 {
				t.Errorf("%s, %q: -want +got\n%s", m.Name, m.Description, diff)
			}
		}
		if got := f.Seq(); got != 0 {
			t.Errorf("system.discover emitted %d events", got)
		}
	})
}

// The test runs through all methods. Each request and each result is valid by the schemas that
// system.discover returns.
func TestDiscoveredSchemasHoldForARun(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		v := &fleettest.View{
			SessionList: []api.Session{fleettest.SomeSession("s").Session}, NextSession: 3,
			SessionByID: map[string]*api.SessionDetails{"s": fleettest.SomeSession("s")},
			EventList: []json.RawMessage{
				json.RawMessage(`{"seq":7,"id":"1700000000000-7","type":"task.claimed","v":1,"timestamp":1700000000000,"attempt":1,"actor":"w","cause":"c","trace":"t","payload":{"a":[1.50]}}`),
				json.RawMessage(`{"seq":8,"id":"1700000000000-8","type":"leader.elected","v":1,"timestamp":1700000000000,"actor":"w","payload":{}}`),
			}, NextEvent: 8,
		}
		f.With(func(o *commands.Options) { o.Tasks, o.Index, o.MCP = v, v, true })
		schemas := discoveredSchemas(t, discoverOn(f, `{}`))
		called := map[string]bool{}
		for _, step := range []struct{ method, params string }{
			{"system.get_state", `{}`},
			{"system.subscribers", `{}`},
			{"system.metrics", `{}`},
			{"system.info", `{}`},
			{"audit.status", `{}`},
			{"audit.verify", `{}`},
			{"audit.verify", `{}`},
			{"audit.status", `{}`},
			{"audit.diff", `{"from":"0","to":"99"}`},
			{"system.register", `{"id":"w","roles":["worker","go"],"metadata":{"maxTasks":0,"sessionId":"s","more":[1.5,null]}}`},
			{"system.register", `{"id":"v","roles":[]}`},
			{"system.heartbeat", `{"instanceId":"w"}`},
			{"system.heartbeat", `{"instanceId":"v"}`},
			{"system.heartbeat", `{"instanceId":"nobody"}`},
			{"task.create", `{"text":"a","priority":70,"metadata":{"roles":["go"]},"idempotencyKey":"k"}`},
			{"task.create", `{"text":"b"}`},
			{"task.create", `{"text":"c"}`},
			{"task.create_many", `{"tasks":[{"text":"d","priority":0,"idempotencyKey":"kd"},{"text":"e","metadata":{"roles":["none"]}}]}`},
			{"task.create", `{"text":"f","delayMs":3600000,"retry":{"maxAttempts":3,"backoffMs":5,"factor":1.5,"maxBackoffMs":50,"jitter":0.5},"timeoutMs":60000}`},
			{"task.create", `{"text":"g","runAt":"2126-01-02T03:04:05.678+01:00"}`},
			{"task.cancel", `{"id":"D","reason":"not needed"}`},
			{"task.cancel", `{"id":"D"}`},
			{"task.complete_many", `{"items":[{"id":"t-1"},{"id":"A","workerId":"w","attempt":1,"result":{}}]}`},
			{"task.get", `{"id":"A"}`},
			{"task.update", `{"id":"B","updates":{"text":"bb","priority":1,"metadata":{"x":{}}}}`},
			{"task.assign", `{"taskId":"B","instanceId":"v"}`},
			{"task.unassign", `{"taskId":"B"}`},
			{"system.get_state", `{}`},
			{"task.claim", `{"workerId":"w","maxTasks":2}`},
			{"task.claim", `{"workerId":"v"}`},
			{"task.claim", `{"workerId":"v"}`},
			{"system.get_state", `{}`},
			{"system.metrics", `{"detailed":true}`},
			{"task.progress", `{"id":"C","workerId":"w","attempt":1,"percent":12.5,"message":"half","data":{"a":[1.50]}}`},
			{"task.cancel", `{"id":"C","graceMs":60000}`},
			{"task.get", `{"id":"C"}`},
			{"system.heartbeat", `{"instanceId":"w"}`},
			{"task.progress", `{"id":"C","workerId":"w","attempt":1}`},
			{"task.complete", `{"id":"C","workerId":"w","attempt":1,"cancelled":true}`},
			{"task.complete", `{"id":"A","workerId":"w","attempt":1,"result":[1]}`},
			{"task.complete", `{"taskId":"B","error":"bad","retryable":false}`},
			{"task.get", `{"id":"A"}`},
			{"task.list", `{"status":"completed","role":"go","text":"A","limit":1,"offset":0,"orderBy":"priority","order":"asc"}`},
			{"task.list", `{"statuses":["failed","cancelled"],"error":"bad","metadata":{"a":[1]},"createdAfter":"2026-01-02T03:04:05Z","updatedBefore":"2026-01-02T03:04:05+01:00"}`},
			{"task.retry", `{"id":"C"}`},
			{"task.retry", `{"ids":["C","A","t-999"]}`},
			{"task.create", `{"text":"ties","delayMs":0,"retry":{"maxAttempts":3,"jitter":0.5},"timeoutMs":60000,"dependsOn":["A"],"onDependencyFailure":"run","uniqueKey":"u","limitKey":"l"}`},
			{"task.create", `{"text":"ties","uniqueKey":"u"}`},
			{"task.create", `{"text":"later","runAt":"2099-01-02T03:04:05+01:00"}`},
			{"task.cancel_many", `{"filter":{"text":"later"},"limit":5,"reason":"over","graceMs":0}`},
			{"task.retry_many", `{"filter":{"status":"cancelled"}}`},
			{"task.delete_many", `{"filter":{"text":"nothing"}}`},
			{"limit.set", `{"key":"l","concurrent":1}`},
			{"limit.list", `{}`},
			{"limit.delete", `{"key":"l"}`},
			{"task.delete", `{"id":"C"}`},
			{"schedule.put", `{"id":"s","cron":"30 2 * * *","timezone":"Europe/Berlin","task":{"text":"x","metadata":{"a":1}},"paused":true,"catchUp":"all"}`},
			{"schedule.put", `{"id":"s","cron":"@every 1h","task":{"text":"x"}}`},
			{"schedule.get", `{"id":"s"}`},
			{"schedule.list", `{"limit":1,"cursor":"a"}`},
			{"schedule.list", `{}`},
			{"schedule.delete", `{"id":"s"}`},
			{"session.list", `{"instanceId":"w","active":true,"limit":1,"cursor":"7"}`},
			{"session.list", `{}`},
			{"session.get", `{"id":"s"}`},
			{"event.get", `{"seq":1}`},
			{"task.history", `{"id":"A","limit":1,"cursor":"1","order":"desc"}`},
			{"task.history", `{"id":"A"}`},
			{"instance.history", `{"id":"w","limit":1,"cursor":"1","order":"desc"}`},
			{"instance.history", `{"id":"w"}`},
			{"event.list", `{"types":"instance.*,quorum.voted","since":"2026-01-02T03:04:05Z","limit":1,"cursor":"7","order":"asc"}`},
			{"event.list", `{}`},
			{"queue.pause", `{"roles":["b","a"],"reason":"why"}`},
			{"queue.pause", `{"roles":[]}`},
			{"queue.pause", `{}`},
			{"system.get_state", `{}`},
			{"system.metrics", `{}`},
			{"queue.resume", `{"roles":["a","b"]}`},
			{"queue.resume", `{"roles":[]}`},
			{"queue.resume", `{}`},
			{"system.batch.process", `{"batchId":"b","instanceId":"v","items":["x",{"text":"y"},null]}`},
			{"system.quorum.vote", `{"instanceId":"v","decision":"d","value":"yes"}`},
			{"system.quorum.vote", `{"instanceId":"w","decision":"d","value":"yes","totalInstances":3}`},
			{"hook.record", `{"hook":{"hook_event_name":"Stop","session_id":"s","last_assistant_message":["any"]}}`},
			{"system.health", `{}`},
			{"system.check_health", `{}`},
			{"system.unregister", `{"instanceId":"w","sessionId":"s","timestamp":1}`},
			{"system.check_health", `{"timeout":0}`},
			{"system.discover", `{"domain":"task"}`},
			{"system.get_state", `{"at":"9"}`},
			{"audit.diff", `{"from":"3"}`},
			{"system.get_state", `{}`},
			{"system.metrics", `{"detailed":true}`},
		} {
			if f.Method(step.method) == nil {
				continue
			}
			called[step.method] = true
			params := step.params
			for letter, id := range map[string]string{"A": "t-4", "B": "t-5", "C": "t-6", "D": "t-9"} {
				params = strings.ReplaceAll(params, `"`+letter+`"`, `"`+id+`"`)
			}
			schema := schemas[step.method]
			if !schema.accepts(params) {
				t.Errorf("%s: the schema refuses %s", step.method, params)
			}
			result := f.OK(step.method, "%s", params)
			if step.method == "task.get" {
				v.Tasks, v.Total = []json.RawMessage{result}, 1
			}
			if err := schema.output.Validate(fleettest.Decoded[any](t, result)); err != nil {
				t.Errorf("%s: the schema refuses the result %s: %v", step.method, result, err)
			}
		}
		for _, m := range f.Methods() {
			if !called[m.Name] && m.Name != "system.flush" {
				t.Errorf("%s is not in this run: add it", m.Name)
			}
		}
	})
}

package commands_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/claudebench/claudebench/internal/fleettest"
	"github.com/claudebench/claudebench/internal/params"
	"github.com/google/jsonschema-go/jsonschema"
)

// lawfulParams are valid params for each method, which seed the fuzzing. They refer to the content
// of a fuzzWorld.
var lawfulParams = map[string][]string{
	"system.register": {
		`{"id":"w","roles":["worker"],"metadata":{"maxTasks":3,"sessionId":"s"}}`, `{"id":"a:{b}:*?[c]","roles":["worker","gpu","gpu","worker"]}`,
		`{"id":"` + strings.Repeat("x", params.MaxIDBytes) + `","roles":[]}`, `{"id":"😀\ud83d\ude00","roles":["é"],"metadata":{"a":{"b":[1e999,-0,null]}}}`,
	},
	"system.heartbeat":    {`{"instanceId":"w"}`, `{"instanceId":"a:{b}:*?[c]"}`, `{"instanceId":"nobody"}`},
	"system.unregister":   {`{"instanceId":"w","sessionId":"s","timestamp":1}`, `{"instanceId":"nobody","timestamp":"2026-01-01T00:00:00Z"}`},
	"system.health":       {`{}`},
	"system.check_health": {`{}`, `{"timeout":30000}`, `{"timeout":9007199254740991}`},
	"system.metrics":      {`{}`, `{"detailed":true}`},
	"system.get_state":    {`{}`, `{"at":"42","limit":200}`},
	"system.info":         {`{}`},
	"audit.verify":        {`{}`},
	"queue.pause":         {`{}`, `{"roles":["gpu","é","gpu"],"reason":"why \u0001"}`, `{"roles":[]}`, `{"roles":["*"]}`},
	"queue.resume":        {`{"roles":["gpu","é"]}`, `{"roles":[]}`, `{}`},
	"audit.status":        {`{}`},
	"audit.diff":          {`{"from":"1700000000000-1","to":"2026-01-02T03:04:05Z","limit":1}`, `{"from":"0"}`},
	"system.subscribers":  {`{}`},
	"system.batch.process": {
		`{"batchId":"b","instanceId":"w","items":[1,"two",{"text":"three","priority":99},null,[],{}]}`,
		`{"batchId":"a:{b}:*","instanceId":"w","items":[{"text":"\u0001"},{"txet":7},{"text":"x","metadata":{"roles":["gpu"]}},1e999]}`,
	},
	"system.quorum.vote": {
		`{"instanceId":"w","decision":"d","value":"yes","totalInstances":1}`, `{"instanceId":"w","decision":"a:{b}:*","value":{"b":1,"a":[1e999]}}`,
	},
	"system.discover": {`{}`, `{"domain":"task"}`, `{"domain":""}`},
	"system.flush":    {`{"confirm":"FLUSH_ALL_DATA"}`, `{"confirm":"FLUSH_ALL_DATA","includePostgres":false}`},
	"task.create": {
		`{"text":"write","priority":90,"metadata":{"roles":["gpu"],"n":1.10},"idempotencyKey":"k"}`,
		`{"text":"\u0001\u2028😀<&>","metadata":{"roles":null,"":{}},"idempotencyKey":"\u0001"}`,
		`{"text":"later","delayMs":1,"retry":{"maxAttempts":3,"backoffMs":0,"factor":1.5,"maxBackoffMs":9,"jitter":1},"timeoutMs":1000}`,
		`{"text":"then","runAt":"2126-01-02T03:04:05.678+01:00","retry":{}}`,
	},
	"task.create_many": {
		`{"tasks":[{"text":"a"},{"text":"b","priority":0,"metadata":{"roles":["gpu"]},"idempotencyKey":"m"},{"text":"\u0001😀"}]}`,
	},
	"task.complete_many": {`{"items":[{"id":"t-5","workerId":"w","attempt":1,"result":1},{"taskId":"t-6","error":"no"}]}`},
	"task.update": {
		`{"id":"t-4","updates":{"text":"again","priority":0,"metadata":{"roles":[]}}}`, `{"id":"t-3","updates":{"status":"in_progress"}}`,
		`{"id":"t-5","updates":{"status":"completed"}}`, `{"id":"t-5","updates":{"status":"pending"}}`,
	},
	"task.assign":   {`{"taskId":"t-4","instanceId":"w"}`, `{"taskId":"t-9999999999999999999","instanceId":"w"}`},
	"task.unassign": {`{"taskId":"t-4"}`, `{"taskId":"t-03"}`},
	"task.claim":    {`{"workerId":"w"}`, `{"workerId":"w","maxTasks":10,"idempotencyKey":"k"}`},
	"task.complete": {
		`{"id":"t-5","workerId":"w","attempt":1,"result":{"a":[1e999,-0.0,"\ud83d\ude00"]},"idempotencyKey":"k"}`,
		`{"taskId":"t-6","error":"no luck","retryable":false}`, `{"id":"t-5","cancelled":true}`, `{"id":"t-7","error":null,"result":null}`,
	},
	"task.progress": {`{"id":"t-5","workerId":"w","attempt":1,"percent":99.5,"message":"\u0001😀","data":{"a":[1e999]}}`, `{"id":"t-6","workerId":"w","attempt":0}`},
	"task.cancel":   {`{"id":"t-4","reason":"\u2028","graceMs":0}`, `{"id":"t-5"}`, `{"id":"t--1"}`},

	"task.cancel_many": {`{"filter":{"status":"pending"},"limit":1,"reason":"x","graceMs":0}`},
	"task.retry_many":  {`{"filter":{"statuses":["failed"]}}`},
	"task.delete_many": {`{"filter":{"metadata":{"a":1e9}}}`},
	"task.retry":       {`{"id":"t-4"}`, `{"ids":["t-4","t-5"]}`},
	"limit.set":        {`{"key":"l","concurrent":0}`},
	"limit.delete":     {`{"key":"l"}`},
	"limit.list":       {`{}`},
	"task.list": {
		`{}`, `{"status":"pending","assignedTo":"w","priority":50,"role":"go","text":"x","limit":1,"offset":9007199254740991,"orderBy":"priority","order":"desc"}`,
		`{"statuses":["failed","cancelled"],"error":"x","metadata":{"a":1e999},"createdAfter":"2026-01-02T03:04:05.678+01:00","updatedBefore":"2026-01-02T03:04:05Z"}`,
		`{"cursor":"AQUet_Cw22DwBAc","order":"asc"}`,
	},
	"task.get":    {`{"id":"t-4"}`, `{"id":"t--1"}`, `{"id":"t-1:{x}*"}`},
	"task.delete": {`{"id":"t-4"}`, `{"id":"t-5"}`},
	"hook.record": {
		`{"hook":{"hook_event_name":"PreToolUse","session_id":"s","tool_name":"Bash","tool_input":{"command":"ls"},"tool_use_id":"u"}}`,
		`{"hook":{"hook_event_name":"TaskCreated","session_id":"a:{b}:*","task_id":"1","task_subject":"\u0001\u2028😀<&>"}}`,
		`{"hook":{"hook_event_name":"PostToolUse","session_id":"s","tool_name":"TodoWrite","tool_input":{"todos":[{"content":"a"},7,{"id":1e999}]}}}`, `{"hook":{}}`,
	},

	"schedule.put": {
		`{"id":"s","cron":"*/15 2-4 1,15 JAN-MAR MON","timezone":"Europe/Berlin","task":{"text":"x","metadata":{"roles":["gpu"],"n":1.10},"delayMs":5,"retry":{"maxAttempts":2}},"paused":true,"catchUp":"all"}`,
		`{"id":"a:{b}:*?[c]","cron":"@every 1h","task":{"text":"\u0001\u2028😀<&>"}}`,
	},
	"schedule.get":    {`{"id":"s"}`, `{"id":"a:{b}:*?[c]"}`},
	"schedule.list":   {`{}`, `{"limit":1,"cursor":"a:{x}*"}`},
	"schedule.delete": {`{"id":"s"}`, `{"id":"a:{b}:*?[c]"}`},

	"session.list": {`{}`, `{"instanceId":"w","active":true,"limit":1,"cursor":"9007199254740991"}`},
	"session.get":  {`{"id":"s"}`, `{"id":"s:{x}*"}`},
	"event.get":    {`{"seq":1}`, `{"seq":9007199254740991}`},

	"task.history":     {`{"id":"t-4"}`, `{"id":"t-4","limit":1000,"cursor":"9007199254740991","order":"desc"}`, `{"id":"t--1"}`},
	"instance.history": {`{"id":"w"}`, `{"id":"w:{x}*","limit":1,"cursor":"7","order":"asc"}`},
	"event.list":       {`{}`, `{"types":"instance.*, quorum.voted","since":"2026-01-02T03:04:05.678+01:00","limit":1,"cursor":"7","order":"asc"}`},
}

// nastyValues replace each param in turn.
var nastyValues = []string{
	`null`, `true`, `false`, `0`, `-0`, `-1`, `1.5`, `1e999`, `-1e999`, `1e-999`, `9007199254740993`, `99999999999999999999`, `50.000`,
	`""`, `" "`, `"\u0000"`, `"a\u0000b"`, `"\n"`, `"\ud800"`, `"\udc00\ud800"`, `"\u2028"`, `"é"`, `"😀"`, `"a:b{c}:*?[d]\\"`, `"t-3"`, `"w"`, `"0"`,
	`[]`, `[[]]`, `[null]`, `["a","a"]`, `["",1]`, `{}`, `{"":null}`, `{"a":1,"a":2}`, `{"roles":["gpu","gpu"]}`, `{"roles":["a"],"roles":["b"]}`,
	`{"text":"a","text":"b"}`, `{"__proto__":{}}`, `{"maxTasks":1e2,"sessionId":"s"}`,
}

// longValues are too long for IDs. They replace each required param.
func longValues() []string {
	text := func(letter string, n int) string { return `"` + strings.Repeat(letter, n) + `"` }
	return []string{
		text("x", 256), text("x", 257), text("é", 128), text("é", 129), text(`\u0041`, 257), text("😀", 500), text("x", 501), text("x", 70_000),
		strings.Repeat("[", 60) + strings.Repeat("]", 60), strings.Repeat(`{"a":`, 60) + "1" + strings.Repeat("}", 60),
		"[" + strings.Repeat(`"r",`, 64) + `"r"]`, "[" + strings.Repeat(`0,`, 999) + `0]`,
	}
}

// nastyParams returns params of a method that are wrong or unusual in one place.
func nastyParams(schema *jsonschema.Schema, lawful string) []string {
	all := []string{
		``, ` `, `null`, `[]`, `[{}]`, `"x"`, `0`, `{`, `{}`, "{\"\xff\":1}", `{"a":1}`, `{"":1}`, `{"__proto__":1}`, "\ufeff{}", `{"\u0000":0}`,
		lawful[:len(lawful)-1], lawful + "x", " " + strings.ReplaceAll(lawful, ":", " :\n\t"),
	}
	if lawful == "{}" {
		lawful = `{"x":1}`
	}
	all = append(all, strings.TrimSuffix(lawful, "}")+","+lawful[1:]) // each member twice
	for _, name := range slices.Sorted(maps.Keys(schema.Properties)) {
		values := nastyValues
		if slices.Contains(schema.Required, name) {
			values = append(slices.Clone(values), longValues()...)
		}
		for _, v := range values {
			all = append(all, with(schema, name, v))
		}
		nested := schema.Properties[name]
		for _, inner := range slices.Sorted(maps.Keys(nested.Properties)) {
			for _, v := range nastyValues {
				all = append(all, with(schema, name, fmt.Sprintf(`{%q:%s}`, inner, v)))
			}
		}
	}
	return all
}

// with returns params in which one member has the given value. The other required members have
// valid values.
func with(schema *jsonschema.Schema, name, value string) string {
	parts := []string{fmt.Sprintf("%q:%s", name, value)}
	for _, other := range schema.Required {
		if other == name {
			continue
		}
		fits := `"w"`
		switch p := schema.Properties[other]; {
		case p.Const != nil:
			fits = fleettest.JSONText(fmt.Sprint(*p.Const))
		case p.Items != nil:
			fits = `["worker"]`
		case p.Type == "object":
			fits = `{"text":"x"}`
		case strings.HasSuffix(other, "d") && strings.HasPrefix(strings.ToLower(other), "task"), other == "id":
			fits = `"t-4"`
		}
		parts = append(parts, fmt.Sprintf("%q:%s", other, fits))
	}
	return "{" + strings.Join(parts, ",") + "}"
}

// A new method needs params that seed the fuzzing.
func TestEveryMethodHasSeeds(t *testing.T) {
	t.Parallel()
	c := fleettest.NewChecker(t)
	for _, m := range c.Methods() {
		if len(lawfulParams[m.Name]) == 0 {
			t.Errorf("%s has no params in lawfulParams", m.Name)
		}
	}
	for method, list := range lawfulParams {
		for _, params := range list {
			if refused := c.Refuses(t, method, params); refused != "" {
				t.Errorf("%s %.300s is meant to be lawful: %s", method, params, refused)
			}
		}
	}
}

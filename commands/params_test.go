package commands_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/jsonschema-go/jsonschema"
	"pgregory.net/rapid"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/fleettest"
	"github.com/claudebench/claudebench/internal/params"
)

func TestUnknownMethod(t *testing.T) {
	t.Parallel()
	_, err := fleettest.NewChecker(t).Call(t.Context(), api.Request{Method: "task.nothing"})
	var known *api.Error
	if !errors.As(err, &known) || known.Code != api.CodeMethodNotFound || known.Data != "task.nothing" {
		t.Errorf("answered %v", err)
	}
}

func TestParams(t *testing.T) {
	t.Parallel()
	c := fleettest.NewChecker(t)
	long := strings.Repeat("x", 257)
	wide := strings.Repeat("é", 129) // 258 bytes
	schemas := discoveredSchemas(t, infos(c, t))
	taskStatuses := strings.Join(api.TaskStatuses, ", ")
	const noTime = " parameter: it is not a time in ISO 8601 with a time zone, such as 2026-01-02T03:04:05Z"
	orders := strings.Trim(strings.ReplaceAll(fmt.Sprint(api.TaskOrders), " ", ", "), "[]")
	for _, test := range []struct{ method, params, want string }{
		{"system.register", ``, "id parameter is required"},
		{"system.register", `[]`, "id parameter is required"},
		{"system.register", `null`, "id parameter is required"},
		{"system.register", `[{}]`, "params must be an object"},
		{"system.health", `[]`, ""},
		{"system.health", ` [ ] `, ""},
		{"system.health", `null`, ""},
		{"system.check_health", `[]`, ""},
		{"system.register", `"x"`, "params must be an object"},
		{"system.register", `{"id":"a"}`, "roles parameter is required"},
		{"system.register", `{"id":"","roles":[]}`, "id parameter must not be empty"},
		{"system.register", `{"id":null,"roles":[]}`, "id parameter must be a string"},
		{"system.register", `{"id":1,"roles":[]}`, "id parameter must be a string"},
		{"system.register", `{"id":"a\u0000","roles":[]}`, "id parameter" + unreadable},
		{"system.register", `{"id":"a\nb","roles":[]}`, "id parameter must not contain control characters"},
		{"system.register", `{"id":"` + long + `","roles":[]}`, "id parameter must be at most 256 bytes long"},
		{"system.register", `{"id":"` + wide + `","roles":[]}`, "id parameter must be at most 256 bytes long"},
		{"system.register", `{"id":"` + wide[2:] + `","roles":[]}`, ""},
		{"system.register", `{"id":"a","roles":"worker"}`, "roles parameter must be an array"},
		{"system.register", `{"id":"a","roles":null}`, "roles parameter must be an array"},
		{"system.register", `{"id":"a","roles":["b",""]}`, "roles parameter item 1 must not be empty"},
		{"system.register", `{"id":"a","roles":["b",2]}`, "roles parameter item 1 must be a string"},
		{"system.register", `{"id":"a","roles":[` + strings.Repeat(`"x",`, 64) + `"x"]}`, "roles parameter must contain at most 64 items, but contains 65"},
		{"system.register", `{"id":"a","roles":[],"metadata":null}`, "metadata parameter must be an object"},
		{"system.register", `{"id":"a","roles":[],"metadata":[]}`, "metadata parameter must be an object"},
		{"system.register", `{"id":"a","roles":[],"metadata":{"maxTasks":-1}}`, "metadata parameter is not valid: maxTasks must be an integer from 0 to 10000"},
		{"system.register", `{"id":"a","roles":[],"metadata":{"maxTasks":"5"}}`, "metadata parameter is not valid: maxTasks must be an integer from 0 to 10000"},
		{"system.register", `{"id":"a","roles":[],"metadata":{"maxTasks":5.0}}`, ""},
		{"system.register", `{"id":"a","roles":[],"metadata":{"sessionId":5}}`, "metadata parameter is not valid: sessionId must be a string"},
		{"system.register", `{"id":"a","roles":[],"metadata":{"sessionId":"` + long + `"}}`, "metadata parameter is not valid: sessionId must be at most 256 bytes long"},
		{"system.register", `{"id":"a","roles":[],"metadata":{"sessionId":"` + strings.Repeat(`\u0041`, 256) + `"}}`, ""},
		{"system.register", `{"id":"a","roles":[],"metadata":{"other":[null]}}`, ""},
		{"system.register", `{"id":"a","roles":[],"rôle":1}`, "unknown parameter 'rôle'; the parameters are id, metadata, roles, ttlMs"},
		{"system.register", ` { "id" : "a" , "roles" : [ ] } `, ""},
		{"system.register", `{"id":"a","roles":[],"id":"b"}`, "id parameter is repeated"},
		{"system.heartbeat", `{}`, "instanceId parameter is required"},
		{"system.heartbeat", `{"instanceId":"a","x":1}`, "unknown parameter 'x'; the parameters are instanceId"},
		{"system.unregister", `{}`, "instanceId parameter is required"},
		{"system.unregister", `{"instanceId":"a","sessionId":null}`, "sessionId parameter must be a string"},
		{"system.unregister", `{"instanceId":"a","timestamp":{"any":"thing"}}`, ""},
		{"system.check_health", ``, ""},
		{"system.check_health", `{"timeout":0}`, ""},
		{"system.check_health", `{"timeout":-1}`, "timeout parameter must be an integer of at least 0"},
		{"system.check_health", `{"timeout":1.5}`, "timeout parameter must be an integer of at least 0"},
		{"system.check_health", `{"timeout":1e300}`, "timeout parameter must be an integer of at most 9007199254740991"},
		{"system.check_health", `{"timeout":9007199254740991}`, ""},
		{"system.check_health", `{"timeout":9007199254740992}`, "timeout parameter must be an integer of at most 9007199254740991"},
		{"system.check_health", `{"timeout":4503599627370497.5}`, "timeout parameter must be an integer of at least 0"},
		{"system.check_health", `{"timeout":9007199254740990.6}`, "timeout parameter must be an integer of at least 0"},
		{"system.check_health", `{"timeout":1e-400}`, "timeout parameter must be an integer of at least 0"},
		{"task.complete", `{"id":"t-1","attempt":9007199254740993}`, "attempt parameter must be an integer of at most 9007199254740991"},
		{"task.complete", `{"id":"t-1","attempt":9007199254740993.0}`, "attempt parameter must be an integer of at most 9007199254740991"},
		{"system.quorum.vote", `{"instanceId":"w","decision":"d","value":1,"totalInstances":9007199254740993}`, "totalInstances parameter must be an integer of at most 9007199254740991"},
		{"task.list", `{"priority":99999999999999999999}`, "priority parameter must be an integer from 0 to 100"},
		{"system.check_health", `{"timeout":true}`, "timeout parameter must be an integer of at least 0"},
		{"system.health", ``, ""},
		{"system.metrics", `{"detailed":false}`, ""},
		{"system.metrics", `{"detailed":"yes"}`, "detailed parameter must be true or false"},
		{"system.discover", `{"domain":"task"}`, ""},
		{"system.discover", `{"domain":null}`, "domain parameter must be a string"},
		{"task.create", `{}`, "text parameter is required"},
		{"task.create", `{"text":""}`, "text parameter must not be empty"},
		{"task.create", `{"text":"` + strings.Repeat("😀", 500) + `"}`, ""},
		{"task.create", `{"text":"` + strings.Repeat("😀", 501) + `"}`, "text parameter must be at most 500 characters long, but has 501"},
		{"task.create", `{"text":"x","priority":100}`, ""},
		{"task.create", `{"text":"x","priority":101}`, "priority parameter must be an integer from 0 to 100"},
		{"task.create", `{"text":"x","priority":-1}`, "priority parameter must be an integer from 0 to 100"},
		{"task.create", `{"text":"x","priority":null}`, "priority parameter must be an integer from 0 to 100"},
		{"task.create", `{"text":"x","priority":5e1}`, ""},
		{"task.create", `{"text":"x","metadata":"y"}`, "metadata parameter must be an object"},
		{"task.create", `{"text":"x","metadata":{"roles":"y"}}`, "metadata parameter is not valid: roles must be an array"},
		{"task.create", `{"text":"x","metadata":{"roles":[1]}}`, "metadata parameter is not valid: roles item 0 must be a string"},
		{"task.create", `{"text":"x","metadata":{"roles":null}}`, ""},
		{"task.create", `{"text":"x","idempotencyKey":""}`, "idempotencyKey parameter must not be empty"},
		{"task.create", `{"text":"x","idempotencyKey":"` + long + `"}`, "idempotencyKey parameter must be at most 256 characters long, but has 257"},
		{"task.create", `{"text":"x","metadata":{"a":["\u0000"]}}`, "metadata parameter" + unreadable},
		{"task.create", `{"text":"x","metadata":{"\u0000":1}}`, "metadata parameter" + unreadable},
		{"task.create", `{"text":"x","metadata":{"a":"\ud800"}}`, "metadata parameter" + unreadable},
		{"task.create", `{"text":"x","metadata":{"a":"\\u0000 \ud83d\ude00"}}`, ""},
		{"task.create", `{"text":"a\u0000"}`, "text parameter" + unreadable},
		{"task.create", `{"text":"a\udc00"}`, "text parameter" + unreadable},
		{"task.create", `{"text":"x","idempotencyKey":"\u0000"}`, "idempotencyKey parameter" + unreadable},
		{"task.update", `{"id":"t-1","updates":{"metadata":{"a":"\u0000"}}}`, "updates parameter is not valid: updates.metadata parameter" + unreadable},
		{"task.complete", `{"id":"t-1","result":["\ud800\ud800"]}`, "result parameter" + unreadable},
		{"task.complete", `{"id":"t-1","error":"\u0000"}`, "error parameter" + unreadable},
		{"system.register", `{"id":"a","roles":["\ud800"]}`, "roles parameter" + unreadable},
		{"system.register", `{"id":"a","roles":[],"metadata":{"sessionId":"\ud800"}}`, "metadata parameter" + unreadable},
		{"system.batch.process", `{"batchId":"b","instanceId":"w","items":[{"text":"x","metadata":{"a":"\u0000"}}]}`, "items parameter" + unreadable},
		{"system.quorum.vote", `{"instanceId":"w","decision":"d","value":"\udfff"}`, "value parameter" + unreadable},
		{"task.create", `{"text":"x","status":"completed"}`, "unknown parameter 'status'; the parameters are delayMs, dependsOn, idempotencyKey, limitKey, metadata, onDependencyFailure, priority, retry, runAt, text, timeoutMs, uniqueKey"},
		{"task.update", `{"id":"t-1"}`, "updates parameter is required"},
		{"task.update", `{"id":"t-1","updates":{}}`, "updates parameter must contain at least one of text, status, priority, metadata"},
		{"task.update", `{"id":"t-1","updates":[]}`, "updates parameter must be an object"},
		{"task.update", `{"id":"t-1","updates":{"attempt":1}}`, "updates parameter is not valid: unknown parameter 'updates.attempt'; the parameters are updates.metadata, updates.priority, updates.status, updates.text"},
		{"task.update", `{"id":"t-1","updates":{"text":""}}`, "updates parameter is not valid: updates.text parameter must not be empty"},
		{"task.update", `{"id":"t-1","updates":{"status":"done"}}`, "updates parameter is not valid: updates.status parameter must be one of pending, in_progress, completed, failed"},
		{"task.update", `{"id":"t-1","updates":{"status":null}}`, "updates parameter is not valid: updates.status parameter must be a string"},
		{"task.update", `{"id":"t-1","updates":{"text":"a"},"updates":{"priority":1}}`, "updates parameter is repeated"},
		{"task.update", `{"id":"t-1","updates":{"text":"a","te\u0078t":"b"}}`, "updates parameter is not valid: updates.text parameter is repeated"},
		{"task.assign", `{"taskId":"t-1"}`, "instanceId parameter is required"},
		{"task.assign", `{"instanceId":"w"}`, "taskId parameter is required"},
		{"task.unassign", `{"id":"t-1"}`, "unknown parameter 'id'; the parameters are taskId"},
		{"task.claim", `{"workerId":"w","maxTasks":0}`, "maxTasks parameter must be an integer from 1 to 100"},
		{"task.claim", `{"workerId":"w","maxTasks":101}`, "maxTasks parameter must be an integer from 1 to 100"},
		{"task.claim", `{"workerId":"w","maxTasks":10}`, ""},
		{"task.complete", `{}`, "id parameter is required (taskId is another name for it)"},
		{"task.complete", `{"id":"t-1","taskId":"t-2"}`, "taskId parameter must equal id if both are present"},
		{"task.complete", `{"id":"t-1","taskId":"t-1","result":null,"error":null}`, ""},
		{"task.complete", `{"id":"t-1","attempt":-1}`, "attempt parameter must be an integer of at least 0"},
		{"task.list", `{"limit":1001}`, "limit parameter must be an integer from 1 to 1000"},
		{"task.list", `{"limit":0}`, "limit parameter must be an integer from 1 to 1000"},
		{"task.list", `{"offset":-1}`, "offset parameter must be an integer of at least 0"},
		{"task.list", `{"offset":1000000000000000000}`, "offset parameter must be an integer of at most 9007199254740991"},
		{"task.list", `{"status":"done"}`, "status parameter must be one of " + taskStatuses},
		{"task.list", `{"status":["pending"]}`, "status parameter must be a string"},
		{"task.list", `{"statuses":["pending","done"]}`, "statuses parameter item 1 must be one of " + taskStatuses},
		{"task.list", `{"statuses":["scheduled","blocked","pending","in_progress","completed","failed","cancelled"]}`, ""},
		{"task.list", `{"statuses":["pending","pending"]}`, ""},
		{"task.list", `{"statuses":[` + strings.Repeat(`"failed",`, 7) + `"failed"]}`, "statuses parameter must contain at most 7 items, but contains 8"},
		{"task.list", `{"statuses":[]}`, "statuses parameter must contain at least 1 items"},
		{"task.list", `{"statuses":"failed"}`, "statuses parameter must be an array"},
		{"task.list", `{"statuses":["failed"],"status":"failed"}`, "statuses parameter: it cannot be together with status"},
		{"task.list", `{"text":"` + strings.Repeat("é", 501) + `"}`, "text parameter must be at most 500 characters long, but has 501"},
		{"task.list", `{"error":"` + strings.Repeat("é", 501) + `"}`, "error parameter must be at most 500 characters long, but has 501"},
		{"task.list", `{"error":"` + strings.Repeat("é", 500) + `"}`, ""},
		{"task.list", `{"error":""}`, "error parameter must not be empty"},
		{"task.list", `{"metadata":{}}`, "metadata parameter must contain at least 1 members"},
		{"task.list", `{"metadata":{"1":1,"2":1,"3":1,"4":1,"5":1,"6":1,"7":1,"8":1}}`, ""},
		{"task.list", `{"metadata":{"1":1,"2":1,"3":1,"4":1,"5":1,"6":1,"7":1,"8":1,"9":1}}`, "metadata parameter must contain at most 8 members, but contains 9"},
		{"task.list", `{"metadata":["a"]}`, "metadata parameter must be an object"},
		{"task.list", `{"metadata":{"a":1,"\u0061":2}}`, `metadata parameter: "a" is repeated`},
		{"task.list", `{"metadata":{"a":"` + strings.Repeat("x", 4088) + `"}}`, ""},
		{"task.list", `{"metadata":{"a":"` + strings.Repeat("x", 4089) + `"}}`, "metadata parameter must be at most 4096 bytes long"},
		{"task.list", `{"metadata":{"a":"\u0000"}}`, "metadata parameter" + unreadable},
		{"task.list", `{"metadata":{"roles":"any","a":null}}`, ""},
		{"task.list", `{"createdAfter":"2026-01-02T03:04:05.678+01:00"}`, ""},
		{"task.list", `{"createdAfter":"2026-01-02"}`, "createdAfter" + noTime},
		{"task.list", `{"createdBefore":"2026-01-02T03:04:05"}`, "createdBefore" + noTime},
		{"task.list", `{"updatedAfter":"1969-12-31T23:59:59Z"}`, "updatedAfter" + noTime},
		{"task.list", `{"updatedBefore":""}`, "updatedBefore parameter must not be empty"},
		{"task.list", `{"createdAfter":"2026-01-02T03:04:05Z","createdBefore":"2026-01-02T03:04:05.001Z"}`, ""},
		{"task.list", `{"createdAfter":"2026-01-02T03:04:05Z","createdBefore":"2026-01-02T04:04:05+01:00"}`, "createdBefore parameter: it must be later than createdAfter"},
		{"task.list", `{"updatedAfter":"2026-01-02T03:04:05Z","updatedBefore":"2026-01-02T03:04:04Z"}`, "updatedBefore parameter: it must be later than updatedAfter"},
		{"task.list", `{"cursor":""}`, "cursor parameter must match ^[A-Za-z0-9_-]{1,64}$"},
		{"task.list", `{"cursor":"7"}`, "cursor parameter: it is not the nextCursor of a page of task.list"},
		{"task.list", `{"cursor":"7","offset":0}`, "cursor parameter: it cannot be together with offset"},
		{"task.list", `{"cursor":"7","orderBy":"updatedAt"}`, "cursor parameter: only a list by createdAt has one, because tasks change their places in the other orders"},
		{"task.list", `{"orderBy":"drop table"}`, "orderBy parameter must be one of " + orders},
		{"task.list", `{"order":"up"}`, "order parameter must be one of asc, desc"},
		{"task.get", `{"id":"anything"}`, ""},
		{"task.get", `{"id":["t-1"]}`, "id parameter must be a string"},
		{"task.delete", `{"id":true}`, "id parameter must be a string"},
	} {
		if got := c.Refuses(t, test.method, test.params); got != test.want {
			t.Errorf("%s %.200s: %q, want %q", test.method, test.params, got, test.want)
		}
		if !comparable([]byte(test.params)) {
			continue
		}
		if told := schemas[test.method].accepts(test.params); told != (test.want == "") && !beyondSchema(test.want) {
			t.Errorf("%s %.200s: by the schema of system.discover %t, want %q", test.method, test.params, told, test.want)
		}
	}
	for _, m := range c.Methods() { // every method rejects unknown params
		params := fmt.Sprintf(`{"unknown%s":1}`, strings.ReplaceAll(m.Name, ".", "_"))
		if got := c.Refuses(t, m.Name, params); !strings.HasPrefix(got, "unknown parameter 'unknown") {
			t.Errorf("%s takes %s: %q", m.Name, params, got)
		}
	}
}

// A method accepts exactly the params that its schema in system.discover accepts, so a caller may
// rely on the schema. The test leaves out the one rule that a schema cannot express: the maximum
// length of IDs in bytes.
func TestParamsAgreeWithTheirSchema(t *testing.T) {
	t.Parallel()
	c := fleettest.NewChecker(t)
	for _, m := range c.Methods() {
		t.Run(m.Name, func(t *testing.T) {
			t.Parallel()
			schema, err := m.Params.Resolve(nil)
			if err != nil {
				t.Fatal(err)
			}
			rapid.Check(t, func(t *rapid.T) {
				params := drawObject(t, m.Params, m.Params.Properties, m.Params.Required)
				var instance any
				if err := json.Unmarshal([]byte(params), &instance); err != nil {
					t.Fatalf("%s: %v", params, err)
				}
				valid := schema.Validate(instance)
				refused := c.Refuses(t, m.Name, params)
				switch refused {
				case "id parameter is required (taskId is another name for it)", "taskId parameter must equal id if both are present":
					return // a rule between params
				}
				if strings.HasSuffix(refused, unreadable) {
					return // a rule about text that SQL cannot read
				}
				if strings.HasPrefix(refused, "types parameter: ") || strings.HasPrefix(refused, "cron parameter: ") || strings.Contains(refused, ": not a position in the log; ") || strings.Contains(refused, " parameter: it is not a time in ISO 8601 ") || betweenParams.MatchString(refused) {
					return // a rule about types of events, cron expressions, positions, times or filters of tasks
				}
				if (valid == nil) != (refused == "") {
					t.Fatalf("%.300s\nthe schema says %v\nthe method says %q", params, valid, refused)
				}
			})
		})
	}
}

// drawObject draws an object with mostly valid members.
func drawObject(t *rapid.T, schema *jsonschema.Schema, properties map[string]*jsonschema.Schema, required []string) string {
	var names []string
	for name := range properties {
		names = append(names, name)
	}
	slices.Sort(names)
	var parts []string
	for _, name := range names {
		if slices.Contains(required, name) && rapid.IntRange(0, 19).Draw(t, "leave out") > 0 || rapid.Bool().Draw(t, name) {
			parts = append(parts, fleettest.JSONText(name)+":"+drawValue(t, properties[name]))
		}
	}
	if rapid.IntRange(0, 9).Draw(t, "add") == 0 {
		parts = append(parts, `"more":`+drawAny(t))
	}
	return "{" + strings.Join(rapid.Permutation(parts).Draw(t, "order"), rapid.SampledFrom([]string{",", " ,\n "}).Draw(t, "space")) + "}"
}

func drawAny(t *rapid.T) string {
	return rapid.SampledFrom([]string{
		`null`, `true`, `false`, `0`, `-0`, `1`, `50`, `5e1`, `50.0`, `1.5`, `-1`, `1e300`, `9007199254740992`, `9007199254740994`, `1e2`,
		`""`, `"x"`, `"50"`, `"\u0000"`, `"a\u0085b"`, `"\ud800"`, `"t-1"`, `[]`, `[null]`, `["a"]`, `["a",""]`, `{}`, `{"a":1}`, `{"roles":[]}`,
	}).Draw(t, "any")
}

func drawValue(t *rapid.T, schema *jsonschema.Schema) string {
	if rapid.IntRange(0, 5).Draw(t, "unlawful") == 0 {
		return drawAny(t)
	}
	if len(schema.Enum) > 0 {
		return fleettest.JSONText(fmt.Sprint(rapid.SampledFrom(schema.Enum).Draw(t, "enum")))
	}
	switch {
	case schema.Format == params.MomentFormat:
		return rapid.SampledFrom([]string{`"2026-01-02T03:04:05Z"`, `"2026-01-02T03:04:05.678901+01:00"`, `"1970-01-01T00:00:00Z"`}).Draw(t, "time")
	case schema.Type == "string":
		n := 600
		if schema.MaxLength != nil {
			n = *schema.MaxLength
		}
		letter := rapid.SampledFrom([]string{"x", `\u0041`, "/", `\"`}).Draw(t, "letter")
		if schema.Pattern != params.NoControls {
			letter = rapid.SampledFrom([]string{letter, "😀", `\ud83d\ude00`, "é", `\n`}).Draw(t, "letter")
		}
		return `"` + strings.Repeat(letter, rapid.SampledFrom([]int{0, 1, 2, n - 1, n, n + 1}).Draw(t, "length")) + `"`
	case schema.Type == "integer":
		low, high := -3.0, 1e9
		if schema.Minimum != nil {
			low = *schema.Minimum
		}
		if schema.Maximum != nil {
			high = *schema.Maximum
		}
		n := rapid.SampledFrom([]float64{low - 1, low, low + 1, high - 1, high, high + 2}).Draw(t, "integer")
		return rapid.SampledFrom([]string{fmt.Sprintf("%.0f", n), fmt.Sprintf("%.2f", n), fmt.Sprintf("%.17e", n)}).Draw(t, "form")
	case schema.Items != nil:
		most := 66
		if schema.MaxItems != nil {
			most = *schema.MaxItems + 1
		}
		n := rapid.SampledFrom([]int{0, 1, 2, 3, most - 1, most}).Draw(t, "items")
		items := make([]string, n)
		for i := range items {
			items[i] = `"x"`
			if i < 3 {
				items[i] = drawValue(t, schema.Items)
			}
		}
		return "[" + strings.Join(items, ",") + "]"
	case schema.Type == "object":
		return drawObject(t, schema, schema.Properties, schema.Required)
	}
	return drawAny(t)
}

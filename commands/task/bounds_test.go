package task_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/fleettest"
)

// bound is members of a call's params. refused is how the error begins, "" if they are allowed.
type bound struct{ members, refused string }

// Each option may have the values that the API documents, up to the last one, and the error names the
// param and the bound.
func TestBoundsOfTheOptions(t *testing.T) {
	t.Parallel()
	c := fleettest.NewChecker(t)
	const (
		noTime  = "runAt parameter: it is not a time in ISO 8601 with a time zone"
		bytes   = " parameter must be at most 256 bytes long"
		empty   = " parameter must not be empty"
		codes   = " parameter must not contain control characters"
		inRetry = "retry parameter is not valid: "
	)
	xs := func(n int) string { return strings.Repeat("x", n) }
	wide := func(n int) string { return strings.Repeat("é", n) }
	between := func(name, low, high string) string {
		return name + " parameter must be an integer from " + low + " to " + high
	}
	delay, timeout := between("delayMs", "0", "31536000000"), between("timeoutMs", "1000", "604800000")
	tries, backoff := inRetry+between("retry.maxAttempts", "1", "100"), inRetry+between("retry.backoffMs", "0", "31536000000")
	longest, grace := inRetry+between("retry.maxBackoffMs", "0", "31536000000"), between("graceMs", "0", "86400000")
	const factor, jitter = inRetry + "retry.factor parameter must be a number from 1 to 100", inRetry + "retry.jitter parameter must be a number from 0 to 1"
	for method, test := range map[string]struct {
		always string // members that each call has
		bounds []bound
	}{
		"task.create": {`"text":"x"`, []bound{
			{`"delayMs":0`, ""},
			{`"delayMs":31536000000`, ""},
			{`"delayMs":31536000001`, delay},
			{`"delayMs":-1`, delay},
			{`"delayMs":1.5`, delay},
			{`"delayMs":0,"runAt":"2030-01-01T00:00:00Z"`, "delayMs parameter: it cannot be together with runAt"},
			{`"runAt":"2030-01-01T00:00:00Z"`, ""},
			{`"runAt":"2030-01-01T00:00:00-12:00"`, ""},
			{`"runAt":"2030-01-01T00:00:00"`, noTime},
			{`"runAt":"2030-01-01"`, noTime},
			{`"runAt":"2030-02-30T00:00:00Z"`, noTime},
			{`"runAt":""`, "runAt" + empty},
			{`"timeoutMs":999`, timeout},
			{`"timeoutMs":1000`, ""},
			{`"timeoutMs":604800000`, ""},
			{`"timeoutMs":604800001`, timeout},
			{`"retry":{}`, ""},
			{`"retry":{"more":1}`, inRetry + "unknown parameter 'retry.more'"},
			{`"retry":{"maxAttempts":0}`, tries},
			{`"retry":{"maxAttempts":1}`, ""},
			{`"retry":{"maxAttempts":100}`, ""},
			{`"retry":{"maxAttempts":101}`, tries},
			{`"retry":{"backoffMs":0,"maxBackoffMs":0}`, ""},
			{`"retry":{"backoffMs":31536000000,"maxBackoffMs":31536000000}`, ""},
			{`"retry":{"backoffMs":-1}`, backoff},
			{`"retry":{"backoffMs":31536000001}`, backoff},
			{`"retry":{"maxBackoffMs":31536000001}`, longest},
			{`"retry":{"factor":1}`, ""},
			{`"retry":{"factor":100}`, ""},
			{`"retry":{"factor":0.99}`, factor},
			{`"retry":{"factor":100.1}`, factor},
			{`"retry":{"jitter":0}`, ""},
			{`"retry":{"jitter":1}`, ""},
			{`"retry":{"jitter":-0.1}`, jitter},
			{`"retry":{"jitter":1.01}`, jitter},
			{`"dependsOn":["` + ids(1, 100) + `"]`, ""},
			{`"dependsOn":["` + ids(1, 101) + `"]`, "dependsOn parameter must contain at most 100 items, but contains 101"},
			{`"dependsOn":[]`, "dependsOn parameter must contain at least 1 items"},
			{`"dependsOn":["t-1","t-2","t-1"]`, `dependsOn parameter: it contains "t-1" twice`},
			{`"dependsOn":["t-1"],"onDependencyFailure":"wait"`, "onDependencyFailure parameter must be one of cancel, run"},
			{`"onDependencyFailure":"run"`, "onDependencyFailure parameter: it belongs to dependsOn"},
			{`"uniqueKey":"` + xs(256) + `","limitKey":"` + xs(256) + `"`, ""},
			{`"uniqueKey":"` + wide(128) + `","limitKey":"` + wide(128) + `"`, ""},
			{`"uniqueKey":"` + xs(257) + `"`, "uniqueKey" + bytes},
			{`"uniqueKey":"` + wide(129) + `"`, "uniqueKey" + bytes},
			{`"uniqueKey":""`, "uniqueKey" + empty},
			{`"uniqueKey":"a\nb"`, "uniqueKey" + codes},
			{`"limitKey":"` + xs(257) + `"`, "limitKey" + bytes},
			{`"limitKey":"` + wide(129) + `"`, "limitKey" + bytes},
			{`"limitKey":""`, "limitKey" + empty},
			{`"limitKey":"a\u007fb"`, "limitKey" + codes},
		}},
		"task.progress": {`"id":"t-1","workerId":"w","attempt":1`, []bound{
			{`"percent":0`, ""},
			{`"percent":99.5`, ""},
			{`"percent":100`, ""},
			{`"percent":-0.1`, "percent parameter must be a number from 0 to 100"},
			{`"percent":100.1`, "percent parameter must be a number from 0 to 100"},
			{`"percent":"50"`, "percent parameter must be a number from 0 to 100"},
			{`"message":""`, ""},
			{`"message":"` + wide(500) + `"`, ""},
			{`"message":"` + wide(501) + `"`, "message parameter must be at most 500 characters long, but has 501"},
			{`"data":"` + xs(16<<10-2) + `"`, ""},
			{`"data":{ "a": "` + xs(16<<10-8) + `" }`, ""}, // white space does not count
			{`"data":"` + xs(16<<10-1) + `"`, "data parameter must be at most 16384 bytes long, but has 16385"},
			{`"data":null`, ""},
		}},
		"task.cancel": {`"id":"t-1"`, []bound{
			{`"reason":"` + wide(500) + `"`, ""},
			{`"reason":"` + wide(501) + `"`, "reason parameter must be at most 500 characters long, but has 501"},
			{`"graceMs":0`, ""},
			{`"graceMs":86400000`, ""},
			{`"graceMs":86400001`, grace},
			{`"graceMs":-1`, grace},
		}},
		"task.cancel_many": {`"filter":{"text":"x"}`, []bound{
			{`"limit":1`, ""},
			{`"limit":10000,"graceMs":86400000`, ""},
			{`"limit":0`, between("limit", "1", "10000")},
			{`"limit":10001`, between("limit", "1", "10000")},
			{`"graceMs":86400001`, grace},
		}},
		"limit.set": {`"key":"` + wide(128) + `"`, []bound{
			{`"concurrent":0`, ""},
			{`"concurrent":1000000`, ""},
			{`"concurrent":1000001`, between("concurrent", "0", "1000000")},
			{`"concurrent":-1`, between("concurrent", "0", "1000000")},
		}},
	} {
		for _, b := range test.bounds {
			got := c.Refuses(t, method, `{`+test.always+`,`+b.members+`}`)
			if (got == "") != (b.refused == "") || !strings.HasPrefix(got, b.refused) {
				t.Errorf("%s %.80s: %q, want %q", method, b.members, got, b.refused)
			}
		}
	}
	for params, refused := range map[string]string{
		`{}`:                              "ids parameter: pass either id or ids",
		`{"id":"t-1","ids":["t-2"]}`:      "ids parameter: pass either id or ids",
		`{"id":"t-1"}`:                    "",
		`{"ids":[]}`:                      "ids parameter must contain at least 1 items",
		`{"ids":["` + ids(1, 100) + `"]}`: "",
		`{"ids":["` + ids(1, 101) + `"]}`: "ids parameter must contain at most 100 items, but contains 101",
	} {
		if got := c.Refuses(t, "task.retry", params); got != refused {
			t.Errorf("task.retry %.80s: %q, want %q", params, got, refused)
		}
	}
}

// ids returns the ids of tasks with `","` between two.
func ids(from, to int) string {
	var list []string
	for n := from; n <= to; n++ {
		list = append(list, fmt.Sprint("t-", n))
	}
	return strings.Join(list, `","`)
}

// What is as large as it may be is stored, and comes back as it was.
func TestTheLargestOptions(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", `["worker"]`, "")
		key, message := strings.Repeat("é", 128), strings.Repeat("é", 500)
		options := fmt.Sprintf(`"retry":{"maxAttempts":100,"backoffMs":31536000000,"factor":100,"maxBackoffMs":31536000000,"jitter":1},`+
			`"timeoutMs":604800000,"uniqueKey":%q,"limitKey":%q`, key, key)
		f.OK("limit.set", `{"key":%q,"concurrent":1000000}`, key)
		seq := f.Seq()
		id := f.Create("x", ","+options)
		f.Holds(f.Emitted(seq, "task.created")[0], "{"+options+"}")
		claimSoon(t, f, "w", id)
		data := `{"a":"` + strings.Repeat("x", 16<<10-8) + `"}`
		f.OK("task.progress", `{"id":%q,"workerId":"w","attempt":1,"percent":100,"message":%q,"data":%s}`, id, message, data)
		got := timedTask(f, id)
		progress := fleettest.Decoded[map[string]any](t, got.Progress)
		if progress["message"] != message || !strings.Contains(string(got.Progress), `"data":`+data) {
			t.Errorf("the progress is %.100s", got.Progress)
		}
		now := redisTime(f)
		if at := moment(t, got.TimeoutAt); at < now+604800000-60_000 || at > now+604800000 {
			t.Errorf("the time limit is over at %s", got.TimeoutAt)
		}
		// The second pause would be a hundred years.
		f.OK("task.complete", `{"id":%q,"error":1}`, id)
		if at := moment(t, timedTask(f, id).RunAt); at < now || at > redisTime(f)+2*31536000000 {
			t.Errorf("the next try is %d ms later", at-now)
		}
		for _, needs := range []string{ids(9000, 9099), id + `","t-9999`} {
			first, _, _ := strings.Cut(strings.TrimPrefix(needs, id+`","`), `"`)
			f.Refused(api.CodeNotFound, fmt.Sprintf(`{"id":%q}`, first), "task.create", `{"text":"x","dependsOn":["%s"]}`, needs)
		}
	})
}

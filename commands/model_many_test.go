package commands_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"pgregory.net/rapid"

	"github.com/claudebench/claudebench/internal/fleettest"
)

// kept is the first call with an idempotency key. A repeat must return its result.
type kept struct {
	method, params string // without the key
	result         string
}

// item is one item of a call with many.
type item struct {
	params     string // members of a JSON object, without the key
	key        string
	invalid    bool
	completion completion
}

// String returns the item's JSON.
func (i item) String() string {
	if i.key != "" {
		return fmt.Sprintf(`{%s,"idempotencyKey":%q}`, i.params, i.key)
	}
	return "{" + i.params + "}"
}

// manyAnswers is the result of a method with many items.
type manyAnswers struct {
	Succeeded, Failed int
	Answers           []struct {
		Result json.RawMessage
		Error  *struct {
			Code    int
			Message string
			Data    json.RawMessage
		}
	}
}

// drawItems draws the items of a call. Some have an idempotency key, and some of these repeat the
// params that their key was first used with.
func (m *model) drawItems(t *rapid.T, method string, draw func() item) []item {
	items := make([]item, rapid.OneOf(rapid.IntRange(1, 5), rapid.IntRange(1, 70)).Draw(t, "items"))
	first := map[string]item{} // by key
	for i := range items {
		items[i] = draw()
		if rapid.IntRange(0, 2).Draw(t, "keyed") == 0 && !items[i].invalid {
			key := rapid.SampledFrom([]string{"k1", "k2", "k3", "k4", "k5", "k6"}).Draw(t, "key")
			if rapid.IntRange(0, 3).Draw(t, "the same") > 0 {
				if before, ok := first[key]; ok {
					items[i] = before
				} else if before, ok := m.kept[method+key]; ok {
					items[i] = item{params: before.params}
				}
			}
			items[i].key = key
			if _, ok := first[key]; !ok {
				first[key] = items[i]
			}
		}
	}
	return items
}

// many runs a call with many items and compares each answer with that of a call of the single
// method. want returns the error that an item must have, or "". emitted applies the events of an
// item that succeeded and returns the events after them.
func (m *model) many(t *rapid.T, method, single, member string, items []item, want func(item) string,
	emitted func(i item, result json.RawMessage, news []fleettest.Event) (left []fleettest.Event),
) {
	texts := make([]string, len(items))
	for i, one := range items {
		texts[i] = one.String()
	}
	result, err := m.do(t, method, fmt.Sprintf(`{%q:[%s]}`, member, strings.Join(texts, ",")))
	if err != nil {
		t.Fatalf("%s %s: %v", method, texts, err)
	}
	answer, news, succeeded := fleettest.Decoded[manyAnswers](t, result), m.news(t), 0
	if len(answer.Answers) != len(items) {
		t.Fatalf("%s %s answered %s", method, texts, result)
	}
	for n, one := range items {
		got, known, wanted := "", m.kept[single+one.key], ""
		if e := answer.Answers[n].Error; e != nil {
			got = failure(t, e.Code, e.Message, e.Data)
		}
		repeat := one.key != "" && known.method != "" && !one.invalid
		switch {
		case one.invalid:
			wanted = "Invalid params"
		case repeat && known.params != one.params:
			wanted = "IDEMPOTENCY_KEY_REUSED"
		case !repeat:
			wanted = want(one)
		}
		if got != wanted || (got == "") != (answer.Answers[n].Result != nil) {
			t.Fatalf("%s %s: item %d %s answered %q, want error %q", method, texts, n, one, got, wanted)
		}
		if got != "" {
			continue
		}
		succeeded++
		text := string(answer.Answers[n].Result)
		if repeat {
			if text != known.result {
				t.Fatalf("%s: the repeat %s answered %s, and first %s", method, one, text, known.result)
			}
			continue
		}
		news = emitted(one, answer.Answers[n].Result, news)
		if one.key != "" {
			m.kept[single+one.key] = kept{method: single, params: one.params, result: text}
		}
	}
	if len(news) > 0 || answer.Succeeded != succeeded || answer.Failed != len(items)-succeeded {
		t.Fatalf("%s %s answered %d, %d, and emitted also %v", method, texts, answer.Succeeded, answer.Failed, news)
	}
}

func (m *model) doCreateMany(t *rapid.T) {
	invalid := []string{`"text":""`, `"priority":1`, `"text":"x","priority":101`, `"text":"x","metadata":[]`, `"text":"x","more":1`}
	items := m.drawItems(t, "task.create", func() item {
		if rapid.IntRange(0, 5).Draw(t, "invalid") == 0 {
			return item{params: rapid.SampledFrom(invalid).Draw(t, "params"), invalid: true}
		}
		params := fmt.Sprintf(`"text":%q,"priority":%d`, rapid.SampledFrom([]string{"x", "y"}).Draw(t, "text"),
			rapid.SampledFrom([]int{0, 50, 50, 100}).Draw(t, "priority"))
		if rapid.IntRange(0, 2).Draw(t, "roles") == 0 {
			params += fmt.Sprintf(`,"metadata":{"n":1.0,"roles":%s}`, drawRoles(t, "x", "y"))
		}
		params += drawOptions(t)
		return item{params: params}
	})
	m.many(t, "task.create_many", "task.create", "tasks", items, func(item) string { return "" },
		func(i item, result json.RawMessage, news []fleettest.Event) []fleettest.Event {
			if len(news) == 0 || news[0].Type != "task.created" || !sameAnswer(result, news[0].Payload) {
				t.Fatalf("%s answered %s, and emitted %v", i, result, news)
			}
			m.take(t, news[0])
			m.sameTask(t, fleettest.Decoded[fleettest.Task](t, result))
			return news[1:]
		})
}

func (m *model) doCompleteMany(t *rapid.T) {
	invalid := []string{`"workerId":"a"`, `"id":"t-1","taskId":"t-2"`, `"id":"t-1","attempt":-1`, `"id":"t-1","more":1`}
	items := m.drawItems(t, "task.complete", func() item {
		if rapid.IntRange(0, 5).Draw(t, "invalid") == 0 {
			return item{params: rapid.SampledFrom(invalid).Draw(t, "params"), invalid: true}
		}
		c := m.drawCompletion(t)
		return item{params: c.params, completion: c}
	})
	want := func(i item) string { return m.refusal(i.completion) }
	m.many(t, "task.complete_many", "task.complete", "items", items, want,
		func(i item, result json.RawMessage, news []fleettest.Event) []fleettest.Event {
			events := 1
			if m.told.Tasks[i.completion.id].Status == "pending" {
				events = 2 // it is claimed first
			}
			if len(news) < events {
				t.Fatalf("%s answered %s, and emitted %v", i, result, news)
			}
			for _, e := range news[:events] {
				m.take(t, e)
			}
			m.finished(t, i.completion)
			task := m.told.Tasks[i.completion.id]
			want := fmt.Sprintf(`{"id":%q,"status":%q,"completedAt":%q}`, task.ID, task.Status, task.CompletedAt)
			if task.Status == "scheduled" {
				want = fmt.Sprintf(`{"id":%q,"status":%q,"runAt":%q}`, task.ID, task.Status, task.RunAt)
			}
			if string(result) != want {
				t.Fatalf("%s answered %s, want %s", i, result, want)
			}
			// What waited for the task goes on at once.
			for news = news[events:]; len(news) > 0 && (news[0].Type == "task.unblocked" || isBecauseOf(news[0])); news = news[1:] {
				m.take(t, news[0])
			}
			return news
		})
}

// doRepeat calls the single method with the key and params of an earlier call.
func (m *model) doRepeat(t *rapid.T) {
	if len(m.kept) == 0 {
		t.Skip("no key was used")
	}
	name := rapid.SampledFrom(slices.Sorted(maps.Keys(m.kept))).Draw(t, "key")
	first := m.kept[name]
	again := item{params: first.params, key: strings.TrimPrefix(name, first.method)}
	result, events := m.call(t, "", first.method, again.String())
	if string(result) != first.result || len(events) > 0 {
		t.Fatalf("the repeat %s answered %s, and first %s; emitted %v", again, result, first.result, events)
	}
}

// completion is how a task is to be finished.
type completion struct {
	id, worker string
	attempt    int64 // -1 for none
	failed     bool
	final      bool
	cancelled  bool
	params     string // members of a JSON object
}

func (m *model) drawCompletion(t *rapid.T) completion {
	id, task := m.drawTask(t)
	c := completion{id: id, attempt: -1, params: fmt.Sprintf(`"id":%q`, id)}
	if rapid.Bool().Draw(t, "worker") {
		if c.worker = m.drawInstance(t); task != nil && task.AssignedTo != "" && rapid.Bool().Draw(t, "owner") {
			c.worker = task.AssignedTo
		}
		c.params += `,"workerId":` + fleettest.JSONText(c.worker)
	}
	if rapid.Bool().Draw(t, "attempt") {
		if c.attempt = rapid.Int64Range(0, 2).Draw(t, "attempt"); task != nil && rapid.Bool().Draw(t, "right") {
			c.attempt = task.Attempt
		}
		c.params += fmt.Sprintf(`,"attempt":%d`, c.attempt)
	}
	if c.failed = rapid.Bool().Draw(t, "failed"); c.failed {
		c.params += rapid.SampledFrom([]string{`,"error":{"why":[]}`, `,"error":"` + strings.Repeat("ü", 600) + `"`}).Draw(t, "error")
		if c.final = rapid.IntRange(0, 3).Draw(t, "final") == 0; c.final {
			c.params += `,"retryable":false`
		}
	} else if c.cancelled = rapid.IntRange(0, 3).Draw(t, "cancelled") == 0; c.cancelled {
		c.params += `,"cancelled":true`
	}
	return c
}

// refusal returns the error of a completion now, or "".
func (m *model) refusal(c completion) string {
	task := m.told.Tasks[c.id]
	switch {
	case task == nil:
		return "Not found"
	case !task.Open():
		return "ALREADY_FINISHED"
	case task.AssignedTo == "":
		return "NOT_ASSIGNED"
	case c.worker != "" && c.worker != task.AssignedTo:
		return "NOT_OWNER"
	case c.attempt > task.Attempt:
		return "UNKNOWN_ATTEMPT"
	case c.attempt >= 0 && c.attempt != task.Attempt:
		return "STALE_ATTEMPT"
	case c.cancelled && task.Cancel == "":
		return "CANCEL_NOT_REQUESTED"
	}
	return ""
}

func (m *model) finished(t *rapid.T, c completion) {
	task, want := m.told.Tasks[c.id], "completed"
	switch {
	case c.cancelled:
		want = "cancelled"
	case c.failed && !c.final && task.Retry != nil && task.Cancel == "" && task.Failures < task.Retry.MaxAttempts:
		want = "scheduled"
	case c.failed:
		want = "failed"
	}
	if task.Status != want {
		t.Fatalf("%s is %s, want %s", c.id, task.Status, want)
	}
}

// sameAnswer reports whether an answer of task.create has what the event has.
func sameAnswer(result, payload json.RawMessage) bool {
	answer, event := map[string]any{}, map[string]any{}
	if json.Unmarshal(result, &answer) != nil || json.Unmarshal(payload, &event) != nil || answer["created"] != true {
		return false
	}
	for _, name := range []string{"created", "failures", "losses", "errors"} {
		delete(answer, name)
	}
	if answer["runAt"] == nil {
		delete(answer, "runAt")
	}
	return reflect.DeepEqual(answer, event)
}

// isBecauseOf reports whether an event cancels a task because of one that it depends on.
func isBecauseOf(e fleettest.Event) bool {
	return e.Type == "task.cancelled" && strings.Contains(string(e.Payload), `"reason":"dependency t-`)
}

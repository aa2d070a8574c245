package commands_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/claudebench/claudebench/internal/fleettest"
)

// drawOptions draws members of the params of task.create. Most tasks have none. A later time is
// either some ms away or out of the test's reach.
func drawOptions(t *rapid.T) string {
	if rapid.IntRange(0, 2).Draw(t, "options") > 0 {
		return ""
	}
	options := ""
	switch rapid.IntRange(0, 4).Draw(t, "time") {
	case 0:
		options += `,"delayMs":3600000`
	case 1:
		options += fmt.Sprintf(`,"delayMs":%d`, rapid.IntRange(0, 3).Draw(t, "delay"))
	case 2:
		options += `,"runAt":"2001-02-03T04:05:06+01:00"`
	}
	if rapid.Bool().Draw(t, "retry") {
		options += fmt.Sprintf(`,"retry":{"maxAttempts":%d,"backoffMs":%d,"jitter":0.5}`,
			rapid.IntRange(1, 12).Draw(t, "tries"), rapid.SampledFrom([]int{0, 1, 3_600_000}).Draw(t, "backoff"))
	}
	if rapid.Bool().Draw(t, "limited") {
		options += fmt.Sprintf(`,"timeoutMs":%d`, rapid.SampledFrom([]int{1000, 604_800_000}).Draw(t, "timeout"))
	}
	return options
}

// drawTies draws options that tie a task to others.
func (m *model) drawTies(t *rapid.T) (options, unique string, needs []string) {
	if rapid.IntRange(0, 2).Draw(t, "ties") > 0 {
		return "", "", nil
	}
	if rapid.Bool().Draw(t, "depends") {
		for range rapid.IntRange(1, 3).Draw(t, "needs") {
			if id, _ := m.drawTask(t); !slices.Contains(needs, id) {
				needs = append(needs, id)
			}
		}
		options = fmt.Sprintf(`,"dependsOn":["%s"],"onDependencyFailure":%q`, strings.Join(needs, `","`),
			rapid.SampledFrom([]string{"cancel", "run"}).Draw(t, "policy"))
	}
	if rapid.IntRange(0, 3).Draw(t, "unique") == 0 {
		unique = rapid.SampledFrom([]string{"u1", "u \\ \"2"}).Draw(t, "unique key")
		options += `,"uniqueKey":` + fleettest.JSONText(unique)
	}
	if rapid.Bool().Draw(t, "limited") {
		options += fmt.Sprintf(`,"limitKey":%q`, rapid.SampledFrom([]string{"l1", "l:2"}).Draw(t, "limit key"))
	}
	return options, unique, needs
}

func (m *model) doLimit(t *rapid.T) {
	key := rapid.SampledFrom([]string{"l1", "l:2"}).Draw(t, "limit key")
	if rapid.IntRange(0, 3).Draw(t, "delete") == 0 {
		_, there := m.told.Limits[key]
		result, events := m.call(t, "", "limit.delete", fmt.Sprintf(`{"key":%q}`, key))
		if want := fmt.Sprintf(`{"key":%q,"deleted":%t}`, key, there); string(result) != want || !there && len(events) > 0 {
			t.Fatalf("answered %s, want %s; emitted %v", result, want, events)
		}
		return
	}
	n := rapid.IntRange(0, 4).Draw(t, "concurrent")
	m.call(t, "", "limit.set", fmt.Sprintf(`{"key":%q,"concurrent":%d}`, key, n))
	if m.told.Limits[key] != int64(n) {
		t.Fatalf("the limit is %d", m.told.Limits[key])
	}
}

// revival returns the error of a revival now, or "".
func (m *model) revival(id string) string {
	task := m.told.Tasks[id]
	switch {
	case task == nil:
		return "Not found"
	case task.Status != "failed" && task.Status != "cancelled":
		return "NOT_FAILED"
	case len(m.sorted(func(other *fleettest.FoldTask) bool {
		return task.UniqueKey != "" && other.Open() && other.UniqueKey == task.UniqueKey
	})) > 0:
		return "UNIQUE_KEY_TAKEN"
	}
	return ""
}

func (m *model) doRevive(t *rapid.T) {
	id, task := m.drawTask(t)
	want := m.revival(id)
	result, _ := m.call(t, want, "task.retry", fmt.Sprintf(`{"id":%q}`, id))
	if want == "" && string(result) != fmt.Sprintf(`{"id":%q,"status":%q,"attempt":%d}`, id, task.Status, task.Attempt) {
		t.Fatalf("answered %s, and it is %+v", result, task)
	}
}

// soon reports whether a scheduled task becomes due within the test.
func soon(t *fleettest.FoldTask) bool {
	moment, err := time.Parse(time.RFC3339Nano, t.RunAt)
	return t.Status == "scheduled" && err == nil && time.Until(moment) < time.Minute
}

// awaitSoon waits until each scheduled task that becomes due within the test is due by the clock of
// Redis: a few ms.
func (m *model) awaitSoon(t *rapid.T) {
	last := int64(0)
	for _, task := range m.sorted(soon) {
		moment, err := time.Parse(time.RFC3339Nano, task.RunAt)
		if err != nil {
			t.Fatal(err)
		}
		last = max(last, moment.UnixMilli())
	}
	for last > 0 {
		now, err := m.Client.Time(context.Background()).Result()
		if err != nil {
			t.Fatal(err)
		}
		if now.UnixMilli() >= last {
			return
		}
	}
}

// cancelling returns the tasks that an instance is to end, those with the shortest grace first.
func (m *model) cancelling(instance string) []string {
	list := m.sorted(func(t *fleettest.FoldTask) bool { return t.CancelAt != "" && t.AssignedTo == instance })
	slices.SortFunc(list, func(a, b *fleettest.FoldTask) int {
		if a.CancelAt != b.CancelAt {
			return strings.Compare(a.CancelAt, b.CancelAt)
		}
		return strings.Compare(a.ID, b.ID)
	})
	ids := make([]string, len(list))
	for i, task := range list {
		ids[i] = task.ID
	}
	return ids
}

func (m *model) doProgress(t *rapid.T) {
	c := m.drawCompletion(t)
	if c.worker == "" {
		c.worker = m.drawInstance(t)
	}
	c.attempt = max(c.attempt, 0)
	if task := m.told.Tasks[c.id]; task != nil && task.AssignedTo != "" && rapid.Bool().Draw(t, "all right") {
		c.worker, c.attempt = task.AssignedTo, task.Attempt
	}
	c.cancelled = false
	want := m.refusal(c)
	task := m.told.Tasks[c.id]
	if task != nil && task.AssignedTo == c.worker && task.Status == "pending" {
		want = "NOT_CLAIMED"
	}
	said := rapid.SampledFrom([]string{"", `,"percent":12.50`, `,"message":"half \"way\"","data":{"n":1.0}`}).Draw(t, "said")
	result, _ := m.call(t, want, "task.progress", fmt.Sprintf(`{"id":%q,"workerId":%s,"attempt":%d%s}`, c.id, fleettest.JSONText(c.worker), c.attempt, said))
	if want != "" {
		return
	}
	answer := fmt.Sprintf(`{"cancelRequested":%t}`, task.Cancel != "")
	if task.TimeoutAt != "" {
		answer = fmt.Sprintf(`{"cancelRequested":%t,"timeoutAt":%q}`, task.Cancel != "", task.TimeoutAt)
	}
	if string(result) != answer {
		t.Fatalf("answered %s, want %s", result, answer)
	}
}

func (m *model) doCancel(t *rapid.T) {
	id, task := m.drawTask(t)
	want, claimed, before := "", false, fleettest.FoldTask{}
	if task != nil {
		claimed, before = task.Status == "in_progress", *task
	}
	switch {
	case task == nil:
		want = "Not found"
	case task.Status == "completed" || task.Status == "failed":
		want = "ALREADY_FINISHED"
	}
	grace := rapid.SampledFrom([]string{"", `,"graceMs":0`, `,"graceMs":1`}).Draw(t, "grace")
	result, events := m.call(t, want, "task.cancel", fmt.Sprintf(`{"id":%q,"reason":"so \"be\" it"%s}`, id, grace))
	if want != "" {
		return
	}
	answer := fmt.Sprintf(`{"id":%q,"status":"cancelled","cancelRequested":false,"completedAt":%q}`, id, task.CompletedAt)
	if task.Status != "cancelled" {
		answer = fmt.Sprintf(`{"id":%q,"status":"in_progress","cancelRequested":true,"cancelAt":%q}`, id, task.CancelAt)
	}
	if string(result) != answer {
		t.Fatalf("answered %s, want %s", result, answer)
	}
	switch again := before.Cancel != ""; {
	case again && len(events) > 0:
		t.Fatalf("cancelled twice, and emitted %v", events)
	case !again && (task.Status == "cancelled") != (!claimed || strings.Contains(grace, ":0")):
		t.Fatalf("%s is %s", id, task.Status)
	}
}

// doTime lets the time come for which tasks wait, and checks what it brings about.
func (m *model) doTime(t *rapid.T) {
	m.awaitSoon(t)
	for range 100 {
		m.T, m.other.T = t, t
		changed, err := m.other.StepTimers(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		m.catchUp(t)
		if changed == 0 {
			break
		}
	}
	if late := m.sorted(soon); len(late) > 0 && late[0].RunAt < time.UnixMilli(m.told.At).UTC().Format(time.RFC3339Nano) {
		t.Fatalf("%s is due, and still scheduled", late[0].ID)
	}
}

package commands_test

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"pgregory.net/rapid"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/fleettest"
	"github.com/claudebench/claudebench/internal/taskview"
)

// modelView is the task view of the model. It finds the tasks in the fold of the log, so the model
// needs no Postgres. Only the methods that change tasks by a filter read it.
type modelView struct {
	*fleettest.View
	model *model
	stale bool     // it also finds tasks whose status has changed meanwhile, and one that does not exist
	found []string // all that it has found since the call began
}

// Matching knows the filters that the model draws.
func (v *modelView) Matching(_ context.Context, f api.TaskFilter, after int64, limit int) (taskview.Matches, error) {
	matches := taskview.Matches{At: events.ID{MS: math.MaxInt64, Seq: math.MaxInt64}}
	type match struct {
		id  string
		num int64
	}
	all := []match{}
	if v.stale {
		all = append(all, match{"t-999999999", 999_999_999})
	}
	for id, t := range v.model.told.Tasks {
		num, _ := strconv.ParseInt(strings.TrimPrefix(id, "t-"), 10, 64)
		if (v.stale || slices.Contains(f.Statuses, t.Status) && !(f.NotCalledOff && t.Cancel != "")) &&
			(f.Priority == nil || *f.Priority == t.Priority) && (f.AssignedTo == "" || f.AssignedTo == t.AssignedTo) {
			all = append(all, match{id, num})
		}
	}
	slices.SortFunc(all, func(a, b match) int { return cmp.Compare(a.num, b.num) })
	for _, one := range all {
		if one.num > after && len(matches.IDs) < limit {
			matches.IDs, matches.Last = append(matches.IDs, one.id), one.num
		}
	}
	v.found = append(v.found, matches.IDs...)
	return matches, nil
}

// doMatching changes all tasks that match a filter.
func (m *model) doMatching(t *rapid.T) {
	method := rapid.SampledFrom([]string{"task.cancel_many", "task.retry_many", "task.delete_many"}).Draw(t, "method")
	statuses := map[string][]string{
		"task.cancel_many": {"scheduled", "blocked", "pending", "in_progress"}, "task.retry_many": {"failed", "cancelled"}, "task.delete_many": api.TaskStatuses,
	}[method]
	filter := rapid.SampledFrom([]string{`"priority":100`, `"priority":0`, `"assignedTo":"a"`}).Draw(t, "filter")
	if rapid.Bool().Draw(t, "one status") {
		statuses = []string{rapid.SampledFrom(statuses).Draw(t, "status")}
		filter += fmt.Sprintf(`,"status":%q`, statuses[0])
	}
	more := ""
	limit := math.MaxInt
	if rapid.Bool().Draw(t, "limited") {
		limit = rapid.IntRange(1, 4).Draw(t, "limit")
		more = fmt.Sprintf(`,"limit":%d`, limit)
	}
	if method == "task.cancel_many" {
		more += rapid.SampledFrom([]string{"", `,"graceMs":0`, `,"reason":"all \"of\" them","graceMs":1`}).Draw(t, "grace")
	}
	m.view.stale, m.view.found = rapid.IntRange(0, 3).Draw(t, "stale") == 0, nil
	result, err := m.do(t, method, fmt.Sprintf(`{"filter":{%s}%s}`, filter, more))
	if err != nil {
		t.Fatalf("%s %s: %v", method, filter, err)
	}
	news, done := m.news(t), 0
	for _, id := range m.view.found {
		task := m.told.Tasks[id]
		if task == nil || !slices.Contains(statuses, task.Status) || method == "task.cancel_many" && task.Cancel != "" ||
			method == "task.retry_many" && m.revival(id) != "" {
			continue
		}
		types := map[string][]string{
			"task.cancel_many": {"task.cancelled", "task.cancel_requested"}, "task.retry_many": {"task.revived"}, "task.delete_many": {"task.deleted"},
		}[method]
		if len(news) == 0 || !slices.Contains(types, news[0].Type) || fleettest.Decoded[struct{ ID string }](t, news[0].Payload).ID != id {
			t.Fatalf("%s %s%s, at %s: emitted %v", method, filter, more, id, news)
		}
		done++
		m.take(t, news[0])
		for news = news[1:]; len(news) > 0 && news[0].Type == "task.unblocked"; news = news[1:] { // another task has its turn
			m.take(t, news[0])
		}
	}
	got := fleettest.Decoded[api.MatchingResult](t, result)
	if got.Matched != len(m.view.found) || got.Done != done || done > limit || got.Incomplete || got.Behind != nil || len(news) > 0 {
		t.Fatalf("%s %s%s answered %s, want %d of %d; emitted also %v", method, filter, more, result, done, len(m.view.found), news)
	}
}

// doReviveSeveral revives tasks together. Each of them has its own answer.
func (m *model) doReviveSeveral(t *rapid.T) {
	ids := make([]string, rapid.IntRange(1, 6).Draw(t, "tasks"))
	for i := range ids {
		ids[i], _ = m.drawTask(t)
	}
	result, err := m.do(t, "task.retry", fmt.Sprintf(`{"ids":["%s"]}`, strings.Join(ids, `","`)))
	if err != nil {
		t.Fatalf("task.retry %q: %v", ids, err)
	}
	news, revived, answers := m.news(t), 0, make([]string, len(ids))
	for i, id := range ids {
		if reason := m.revival(id); reason != "" {
			if reason == "Not found" {
				reason = "NOT_FOUND"
			}
			answers[i] = fmt.Sprintf(`{"id":%q,"reason":%q}`, id, reason)
			continue
		}
		if len(news) == 0 || news[0].Type != "task.revived" {
			t.Fatalf("task.retry %q answered %s, and emitted %v", ids, result, news)
		}
		m.take(t, news[0])
		news = news[1:]
		revived++
		task := m.told.Tasks[id]
		answers[i] = fmt.Sprintf(`{"id":%q,"status":%q`, id, task.Status)
		if task.Attempt > 0 {
			answers[i] += fmt.Sprintf(`,"attempt":%d`, task.Attempt)
		}
		answers[i] += "}"
	}
	if want := fmt.Sprintf(`{"retried":%d,"tasks":[%s]}`, revived, strings.Join(answers, ",")); string(result) != want || len(news) > 0 {
		t.Fatalf("task.retry %q answered %s, want %s; emitted also %v", ids, result, want, news)
	}
}

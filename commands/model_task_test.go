package commands_test

import (
	"fmt"
	"strings"

	"github.com/claudebench/claudebench/internal/fleettest"
	"pgregory.net/rapid"
)

func (m *model) doUpdate(t *rapid.T) {
	id, task := m.drawTask(t)
	var updates []string
	if rapid.Bool().Draw(t, "priority") {
		updates = append(updates, fmt.Sprintf(`"priority":%d`, rapid.IntRange(0, 100).Draw(t, "priority")))
	}
	roleset := ""
	if task != nil {
		roleset = task.Roleset
	}
	if rapid.IntRange(0, 2).Draw(t, "metadata") == 0 {
		roles := drawRoles(t, "x", "y")
		updates = append(updates, fmt.Sprintf(`"metadata":{"k%d":1.0,"roles":%s}`, m.told.Seq, roles))
		if roleset = roles; roles == "[]" {
			roleset = ""
		}
	}
	status := ""
	if rapid.Bool().Draw(t, "status") || len(updates) == 0 {
		status = rapid.SampledFrom([]string{"pending", "in_progress", "completed", "failed"}).Draw(t, "status")
		updates = append(updates, fmt.Sprintf(`"status":%q`, status))
	}
	want := ""
	switch {
	case task == nil:
		want = "Not found"
	case status != "" && !task.Open():
		want = "ALREADY_FINISHED"
	case status != "" && (status != "pending" || task.Status == "scheduled" || task.Status == "blocked") && task.AssignedTo == "":
		want = "NOT_ASSIGNED"
	case status != "" && status != "pending" && task.Status == "pending" && !m.told.May(task.AssignedTo, &fleettest.FoldTask{Roleset: roleset}):
		want = "ROLES_MISSING"
	case status == "in_progress" && task.Status == "pending" && m.told.Stopped(roleset):
		want = "QUEUE_PAUSED"
	}
	result, _ := m.call(t, want, "task.update", fmt.Sprintf(`{"id":%q,"updates":{%s}}`, id, strings.Join(updates, ",")))
	if want == "" {
		m.sameTask(t, fleettest.Decoded[fleettest.Task](t, result))
		if status == "pending" && task.Cancel != "" {
			status = "cancelled" // instead of a return to the queue
		}
		if status != "" && task.Status != status {
			t.Fatalf("%s is %s, want %s", id, task.Status, status)
		}
	}
}

// sameTask compares a task that a command returned with the fold of the log.
func (m *model) sameTask(t *rapid.T, got fleettest.Task) {
	told := m.told.Tasks[got.ID]
	if told == nil || got.Status != told.Status || got.AssignedTo != told.AssignedTo || int64(got.Attempt) != told.Attempt ||
		got.Priority != told.Priority || fleettest.Text(got.Metadata) != told.Metadata || got.UpdatedAt != told.UpdatedAt || got.CompletedAt != told.CompletedAt {
		t.Fatalf("answered %+v, the log tells of %+v", got, told)
	}
}

func (m *model) doAssign(t *rapid.T) {
	id, task := m.drawTask(t)
	instance := m.drawInstance(t)
	want := ""
	switch {
	case task == nil:
		want = "Not found"
	case !task.Open():
		want = "ALREADY_FINISHED"
	case task.Status == "scheduled" || task.Status == "blocked":
		want = "NOT_PENDING"
	case task.AssignedTo != "":
		want = "ALREADY_ASSIGNED"
	case m.told.Instances[instance] == nil:
		want = "Instance not registered"
	case !m.told.May(instance, task):
		want = "ROLES_MISSING"
	}
	m.call(t, want, "task.assign", fmt.Sprintf(`{"taskId":%q,"instanceId":%s}`, id, fleettest.JSONText(instance)))
	if want == "" && task.AssignedTo != instance {
		t.Fatalf("it is with %q", task.AssignedTo)
	}
}

func (m *model) doUnassign(t *rapid.T) {
	id, task := m.drawTask(t)
	want := ""
	switch {
	case task == nil:
		want = "Not found"
	case !task.Open():
		want = "ALREADY_FINISHED"
	case task.AssignedTo == "":
		want = "NOT_ASSIGNED"
	}
	m.call(t, want, "task.unassign", fmt.Sprintf(`{"taskId":%q}`, id))
}

func (m *model) doClaim(t *rapid.T) {
	worker, most := m.drawInstance(t), rapid.OneOf(rapid.IntRange(1, 3), rapid.IntRange(2, 100)).Draw(t, "most")
	params := fmt.Sprintf(`{"workerId":%s,"maxTasks":%d}`, fleettest.JSONText(worker), most)
	if m.told.Instances[worker] == nil {
		m.call(t, "Instance not registered", "task.claim", params)
		return
	}
	if len(m.sorted(func(t *fleettest.FoldTask) bool { return soon(t) && (len(t.Waits) > 0 || t.LimitKey != "") })) > 0 {
		m.doTime(t) // what becomes of these depends on their order
	}
	m.awaitSoon(t)
	// Those that task.assign gave to it, then the best of those that were auto-assigned or wait.
	want := m.sorted(func(t *fleettest.FoldTask) bool {
		return t.Status == "pending" && t.AssignedTo == worker && !t.Auto && !m.told.Stopped(t.Roleset)
	})
	free := map[string]bool{}
	for _, task := range m.waiting(worker) {
		free[task.ID] = true
	}
	for _, task := range m.sorted(soon) { // the claim moves them to their queues first, unless it finds enough given ones
		free[task.ID] = m.told.May(worker, task) && !m.told.Stopped(task.Roleset)
	}
	want = append(want, m.sorted(func(t *fleettest.FoldTask) bool {
		return free[t.ID] || t.Status == "pending" && t.AssignedTo == worker && t.Auto && !m.told.Stopped(t.Roleset)
	})...)
	want = want[:min(most, len(want))]
	lawful := map[string]bool{}
	if len(want) == 0 { // a task of the instance with the most tasks that may be taken
		counts, can := map[string]int{}, map[string][]string{}
		for id, task := range m.told.Tasks {
			if task.Auto && task.AssignedTo != worker {
				counts[task.AssignedTo]++
				if m.told.May(worker, task) && !m.told.Stopped(task.Roleset) {
					can[task.AssignedTo] = append(can[task.AssignedTo], id)
				}
			}
		}
		greatest := 0
		for victim := range can {
			greatest = max(greatest, counts[victim])
		}
		for victim, ids := range can {
			for _, id := range ids {
				lawful[id] = counts[victim] == greatest
			}
		}
	}
	result, _ := m.call(t, "", "task.claim", params)
	claim := fleettest.Decoded[fleettest.Claim](t, result)
	tasks := claim.Tasks
	if most == 1 && claim.Claimed {
		tasks = []fleettest.Task{claim.Task}
	}
	if claim.Claimed != (len(want) > 0 || len(lawful) > 0) || claim.Claimed && tasks[0].ID != claim.TaskID {
		t.Fatalf("claimed %s, want %v or one of %v", result, want, lawful)
	}
	if len(want) == 0 && claim.Claimed && (len(tasks) != 1 || !lawful[claim.TaskID]) {
		t.Fatalf("took %s, want one of %v", result, lawful)
	}
	for i, task := range want {
		if len(tasks) != len(want) || tasks[i].ID != task.ID {
			t.Fatalf("claimed %s, want %v", result, want)
		}
	}
	for _, task := range tasks {
		m.sameTask(t, task)
	}
}

func (m *model) doComplete(t *rapid.T) {
	c := m.drawCompletion(t)
	want := m.refusal(c)
	m.call(t, want, "task.complete", "{"+c.params+"}")
	if want == "" {
		m.finished(t, c)
	}
}

func (m *model) doDelete(t *rapid.T) {
	id, task := m.drawTask(t)
	want := ""
	if task == nil {
		want = "Not found"
	}
	m.call(t, want, "task.delete", fmt.Sprintf(`{"id":%q}`, id))
	if m.told.Tasks[id] != nil {
		t.Fatalf("%s is there", id)
	}
}

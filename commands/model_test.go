package commands_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/fleettest"
	"github.com/claudebench/claudebench/internal/jsontext"
	"github.com/claudebench/claudebench/lua"
)

// The test runs random commands by several actors through two coordinators. The fold of the log
// predicts the answer of each command. Each event must be valid, and in the end the fold must equal
// the state in Redis.
func TestModel(t *testing.T) {
	t.Parallel()
	for name, connect := range map[string]func(testing.TB) *redis.Client{"redis": fleettest.RealRedis, "embedded": fleettest.EmbeddedRedis} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := connect(t)
			rapid.Check(t, func(t *rapid.T) {
				if name == "embedded" && rapid.IntRange(0, 9).Draw(t, "pass over") > 0 {
					return // the embedded Redis is ten times slower
				}
				m := &model{told: fleettest.NewFold(), last: "-", kept: map[string]kept{}}
				m.view = &modelView{View: &fleettest.View{}, model: m}
				m.Fleet = fleettest.New(t, client, commands.Options{Tasks: m.view})
				m.other = m.Beside()
				t.Repeat(map[string]func(*rapid.T){
					"":         m.check,
					"register": m.doRegister, "again": m.doRegister, "heartbeat": m.doHeartbeat, "unregister": m.doUnregister,
					"create": m.doCreate, "create more": m.doCreate, "update": m.doUpdate, "assign": m.doAssign, "unassign": m.doUnassign,
					"claim": m.doClaim, "claim more": m.doClaim, "complete": m.doComplete, "delete": m.doDelete, "progress": m.doProgress, "cancel": m.doCancel, "time": m.doTime, "limit": m.doLimit, "revive": m.doRevive, "die": m.doDie, "crash": m.doCrash,
					"come back": m.doComeBack, "create many": m.doCreateMany, "complete many": m.doCompleteMany, "pause": m.doPause, "resume": m.doResume, "resume more": m.doResume,
					"repeat": m.doRepeat, "revive several": m.doReviveSeveral, "matching": m.doMatching,
					"schedule": m.doSchedule, "unschedule": m.doUnschedule, "fire": m.doFire,
				})
				m.doTime(t)
				m.T = t
				told := m.Verify()
				if told.Seq != m.told.Seq {
					t.Fatalf("the log went on to %d behind the model, which is at %d", told.Seq, m.told.Seq)
				}
			})
		})
	}
}

type model struct {
	*fleettest.Fleet
	other *fleettest.Fleet // a second coordinator
	told  *fleettest.Fold
	last  string          // ID of the last event that the model has applied
	kept  map[string]kept // by method and idempotency key
	view  *modelView
}

// check holds after every command: each unfinished task is in one queue, and no other task is in any.
func (m *model) check(t *rapid.T) {
	m.T = t
	m.Placed(m.told, instances, []string{`["x"]`, `["y"]`, `["x","y"]`})
}

// call runs a command through one of the coordinators and applies the events that it emitted. It
// compares the command's error with the one that it wants: "" for none, else the reason of a
// conflict or the message of another error.
func (m *model) call(t *rapid.T, want, method, params string) (json.RawMessage, []fleettest.Event) {
	result, err := m.do(t, method, params)
	got := ""
	var known *api.Error
	if errors.As(err, &known) {
		data, _ := known.Data.(json.RawMessage)
		got = failure(t, known.Code, known.Message, data)
	}
	if got != want {
		t.Fatalf("%s %s answered %s, %v; want error %q", method, params, result, err, want)
	}
	events := m.catchUp(t)
	if want != "" && len(events) > 0 {
		t.Fatalf("%s %s was refused and emitted %v", method, params, events)
	}
	return result, events
}

// do runs a command through one of the coordinators.
func (m *model) do(t *rapid.T, method, params string) (json.RawMessage, error) {
	m.T, m.other.T = t, t
	through := m.Fleet
	if rapid.Bool().Draw(t, "other coordinator") {
		through = m.other
	}
	return through.Do(method, params)
}

// failure returns the reason of a conflict, or the message of another error.
func failure(t *rapid.T, code int, message string, data json.RawMessage) string {
	if code == api.CodeConflict && data != nil {
		return fleettest.Decoded[struct{ Reason string }](t, data).Reason
	}
	return message
}

// catchUp applies the new events and returns them.
func (m *model) catchUp(t *rapid.T) []fleettest.Event {
	events := m.news(t)
	for _, e := range events {
		m.take(t, e)
	}
	return events
}

// take applies the next event.
func (m *model) take(t *rapid.T, e fleettest.Event) {
	if e.Seq != m.told.Seq+1 {
		t.Fatalf("event %s follows %d", e.ID, m.told.Seq)
	}
	m.told.Apply(e)
	m.last = e.ID
	if len(m.told.Broken) > 0 {
		t.Fatalf("unlawful: %s", strings.Join(m.told.Broken, "\n"))
	}
}

// news returns the events that the model has not applied.
func (m *model) news(t *rapid.T) []fleettest.Event {
	after := "-"
	if m.last != "-" {
		after = "(" + m.last
	}
	entries, err := m.Client.XRange(context.Background(), m.Keys.Events(), after, "+").Result()
	if err != nil {
		t.Fatalf("read the log: %v", err)
	}
	events := make([]fleettest.Event, 0, len(entries))
	for _, entry := range entries {
		events = append(events, m.DecodeEntry(entry))
	}
	return events
}

var instances = []string{"a", "b:c", "d\"", "e"}

func (m *model) drawInstance(t *rapid.T) string {
	return rapid.SampledFrom(instances).Draw(t, "instance")
}

// drawTask draws the ID of a task, usually of an existing one.
func (m *model) drawTask(t *rapid.T) (string, *fleettest.FoldTask) {
	ids := append(slices.Sorted(maps.Keys(m.told.Tasks)), "t-0")
	id := rapid.SampledFrom(ids).Draw(t, "task")
	return id, m.told.Tasks[id]
}

func drawRoles(t *rapid.T, from ...string) string {
	var roles []string
	for _, role := range from {
		if rapid.IntRange(0, 2).Draw(t, role) == 0 {
			roles = append(roles, role)
		}
	}
	return jsontext.Array(roles)
}

// waiting returns the waiting tasks that an instance may take, the best first.
func (m *model) waiting(instance string) []*fleettest.FoldTask {
	return m.sorted(func(t *fleettest.FoldTask) bool {
		return t.Status == "pending" && t.AssignedTo == "" && m.told.May(instance, t) && !m.told.Stopped(t.Roleset)
	})
}

func (m *model) held(instance string) int {
	return len(m.sorted(func(t *fleettest.FoldTask) bool { return t.Open() && t.AssignedTo == instance }))
}

func (m *model) sorted(which func(*fleettest.FoldTask) bool) []*fleettest.FoldTask {
	var list []*fleettest.FoldTask
	for _, t := range m.told.Tasks {
		if which(t) {
			list = append(list, t)
		}
	}
	slices.SortFunc(list, func(a, b *fleettest.FoldTask) int {
		if fleettest.Place(a) < fleettest.Place(b) {
			return -1
		}
		return 1
	})
	return list
}

// room returns the number of tasks that auto-assignment may still give a worker.
func (m *model) room(id string) int {
	workers := 0
	for _, i := range m.told.Instances {
		if i.Worker() {
			workers++
		}
	}
	i := m.told.Instances[id]
	if i == nil || !i.Worker() {
		return 0
	}
	open := len(m.sorted(func(t *fleettest.FoldTask) bool { return t.Status == "pending" || t.Status == "in_progress" }))
	return max(0, min((open+workers-1)/workers, i.MaxTasks)-m.held(id))
}

func (m *model) doRegister(t *rapid.T) {
	id := m.drawInstance(t)
	metadata := ""
	if rapid.Bool().Draw(t, "with metadata") {
		metadata = fmt.Sprintf(`,"metadata":{"sessionId":%q,"maxTasks":%d}`,
			rapid.SampledFrom([]string{"", "s1", "s2"}).Draw(t, "session"), rapid.IntRange(0, 5).Draw(t, "maxTasks"))
	}
	roles := drawRoles(t, "worker", "worker", "x", "y")
	autoAssigned := m.sorted(func(t *fleettest.FoldTask) bool { return t.Auto && t.AssignedTo == id })
	_, events := m.call(t, "", "system.register", fmt.Sprintf(`{"id":%s,"roles":%s%s}`, fleettest.JSONText(id), roles, metadata))
	if m.told.Leader == "" {
		t.Fatalf("registered, and nobody leads: %v", events)
	}
	for _, task := range autoAssigned {
		if task.AssignedTo != "" && !task.Auto {
			t.Fatalf("%s was auto-assigned and is now bound to %s", task.ID, task.AssignedTo)
		}
	}
	if i := m.told.Instances[id]; i.Worker() && m.room(id) > 0 && len(m.waiting(id)) > 0 {
		t.Fatalf("%s has room for %d, and %d wait", id, m.room(id), len(m.waiting(id)))
	}
}

// doComeBack registers an instance that holds claimed and auto-assigned tasks again, with another
// session and fewer roles. One step sets both kinds of tasks aside.
func (m *model) doComeBack(t *rapid.T) {
	id := m.drawInstance(t)
	register := func(session, roles string) {
		m.call(t, "", "system.register", fmt.Sprintf(`{"id":%s,"roles":%s,"metadata":{"sessionId":%q,"maxTasks":20}}`,
			fleettest.JSONText(id), roles, session))
	}
	for range rapid.IntRange(2, 4).Draw(t, "tasks") {
		m.doCreate(t)
	}
	register("before", `["worker","x","y"]`)
	for range rapid.IntRange(0, 2).Draw(t, "claims") {
		m.call(t, "", "task.claim", fmt.Sprintf(`{"workerId":%s}`, fleettest.JSONText(id)))
	}
	crash := rapid.Bool().Draw(t, "crash")
	if crash { // the coordinator stops right after the script; the instance registers once more before another coordinator continues
		m.setAside(t, id, "between", `["worker","x"]`)
	}
	register(rapid.SampledFrom([]string{"before", "after"}).Draw(t, "session"), drawRoles(t, "worker", "x"))
	if crash {
		m.sweep(t)
		m.catchUp(t)
	}
}

// setAside registers an instance and leaves the tasks that this sets aside to the next caller.
func (m *model) setAside(t *rapid.T, id, session, roles string) {
	metadata := fmt.Sprintf(`{"sessionId":%q,"maxTasks":20}`, session)
	if _, err := m.Scripts.Run(context.Background(), lua.Named("register_instance"), lua.EventContext(id, "", ""), "", 0, id, roles, 1,
		metadata, session, 20, m.Options.InstanceTTL.Milliseconds(), "", ""); err != nil {
		t.Fatalf("register: %v", err)
	}
	m.catchUp(t)
}

func (m *model) doHeartbeat(t *rapid.T) {
	id := m.drawInstance(t)
	result, events := m.call(t, "", "system.heartbeat", fmt.Sprintf(`{"instanceId":%s}`, fleettest.JSONText(id)))
	want := `{"alive":false}`
	if m.told.Instances[id] != nil {
		want = `{"alive":true}`
		if m.told.Leader == id {
			want = fmt.Sprintf(`{"alive":true,"isLeader":true,"term":%d}`, m.told.Term)
		}
		if ids := m.cancelling(id); len(ids) > 0 {
			want = fmt.Sprintf(`%s,"cancel":%s}`, strings.TrimSuffix(want, "}"), jsontext.Array(ids))
		}
	}
	if string(result) != want || m.told.Instances[id] != nil && m.told.Leader == "" {
		t.Fatalf("answered %s, want %s; emitted %v", result, want, events)
	}
}

func (m *model) doUnregister(t *rapid.T) {
	id, session := m.drawInstance(t), rapid.SampledFrom([]string{"", "s1", "s2"}).Draw(t, "session")
	held, i := m.held(id), m.told.Instances[id]
	leaves := i != nil && (session == "" || i.Session == "" || session == i.Session)
	if !leaves {
		held = 0
	}
	result, events := m.call(t, "", "system.unregister", fmt.Sprintf(`{"instanceId":%s,"sessionId":%q}`, fleettest.JSONText(id), session))
	if want := fmt.Sprintf(`{"unregistered":true,"tasksReassigned":%d}`, held); string(result) != want || leaves != (len(events) > 0) {
		t.Fatalf("answered %s, want %s; emitted %v", result, want, events)
	}
	m.left(t, held > 0, id)
}

// left checks that instances that are gone hold no tasks, and that no other instance has room while
// tasks wait for it.
func (m *model) left(t *rapid.T, something bool, gone ...string) {
	for _, id := range gone {
		if m.told.Instances[id] == nil && m.held(id) > 0 {
			t.Fatalf("%s is gone and holds %d", id, m.held(id))
		}
	}
	for id := range m.told.Instances {
		if something && m.room(id) > 0 && len(m.waiting(id)) > 0 {
			t.Fatalf("%s has room for %d, and %d wait", id, m.room(id), len(m.waiting(id)))
		}
	}
}

// doDie makes some instances silent, and then calls system.check_health or the monitor.
func (m *model) doDie(t *rapid.T) {
	var dead []string
	held := 0
	for _, id := range slices.Sorted(maps.Keys(m.told.Instances)) {
		if rapid.Bool().Draw(t, id) {
			dead = append(dead, id)
			held += m.held(id)
			m.Put([]any{"ZADD", m.Keys.Alive(), "XX", 1000 + len(dead), id})
		}
	}
	if rapid.Bool().Draw(t, "monitor") {
		m.sweep(t)
		m.catchUp(t)
	} else {
		result, _ := m.call(t, "", "system.check_health", `{"timeout":20000}`)
		answer := fleettest.Decoded[api.CheckHealthResult](t, result)
		reassigned := 0
		for _, n := range answer.Reassigned {
			reassigned += n
		}
		if !slices.Equal(answer.Failed, dead) && len(dead) > 0 || reassigned != held || len(answer.Healthy) != len(m.told.Instances) {
			t.Fatalf("answered %s; dead are %v, who held %d", result, dead, held)
		}
	}
	for _, id := range dead {
		if m.told.Instances[id] != nil {
			t.Fatalf("%s is not dead", id)
		}
	}
	m.left(t, held > 0, dead...)
}

func (m *model) sweep(t *rapid.T) {
	m.Watched()
	if err := m.other.Sweep(context.Background()); err != nil {
		t.Fatalf("sweep: %v", err)
	}
}

// doCrash stops the coordinator right after the script by which an instance leaves. Another
// coordinator continues.
func (m *model) doCrash(t *rapid.T) {
	id := m.drawInstance(t)
	held := m.held(id)
	if _, err := m.Scripts.Run(context.Background(), lua.Named("unregister_instance"), lua.EventContext(id, "", ""), "", 0, id, "", ""); err != nil {
		t.Fatalf("unregister: %v", err)
	}
	m.sweep(t)
	m.catchUp(t)
	m.left(t, held > 0, id)
}

func (m *model) doCreate(t *rapid.T) {
	metadata := ""
	if rapid.IntRange(0, 2).Draw(t, "roles") == 0 {
		metadata = fmt.Sprintf(`,"metadata":{"n":%d,"roles":%s}`, m.told.Seq, drawRoles(t, "x", "y"))
	}
	ties, unique, needs := m.drawTies(t)
	existing := ""
	for _, task := range m.told.Tasks {
		if unique != "" && task.Open() && task.UniqueKey == unique {
			existing = task.ID
		}
	}
	want := ""
	if existing == "" && slices.ContainsFunc(needs, func(id string) bool { return m.told.Tasks[id] == nil }) {
		want = "Not found"
	}
	next := fmt.Sprintf("t-%d", m.told.Seq+1)
	result, events := m.call(t, want, "task.create", fmt.Sprintf(`{"text":"x","priority":%d%s%s%s}`,
		rapid.SampledFrom([]int{0, 50, 50, 100}).Draw(t, "priority"), metadata, drawOptions(t), ties))
	if want != "" {
		return
	}
	got := fleettest.Decoded[fleettest.Task](t, result)
	if existing != "" {
		if got.ID != existing || len(events) > 0 || !strings.HasSuffix(string(result), `,"created":false}`) {
			t.Fatalf("answered %s, want %s; emitted %v", result, existing, events)
		}
		return
	}
	if got.ID != next || m.told.Tasks[next] == nil || !strings.HasSuffix(string(result), `,"created":true}`) {
		t.Fatalf("answered %s, want %s", result, next)
	}
	m.sameTask(t, got)
}

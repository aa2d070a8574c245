package commands

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/internal/jsontext"
)

// verify holds the fold of the log against all that is in Redis. What instances left behind is put back first.
func (f *fleet) verify() *fold {
	f.t.Helper()
	if _, err := newReassigner(f.scripts, f.options.InstanceTTL).requeue(context.Background()); err != nil {
		f.t.Fatalf("put back orphans: %v", err)
	}
	events := f.events()
	told := newFold()
	for _, e := range events {
		told.apply(e)
	}
	f.compare(told)
	for _, e := range events {
		told.apply(e)
	}
	if told.seq != f.seq() {
		told.broken = append(told.broken, fmt.Sprintf("the log ends with %d, and its hash says %d", told.seq, f.seq()))
	}
	if len(told.broken) > 0 {
		f.t.Fatalf("the log and the state do not agree:\n%s", strings.Join(told.broken, "\n"))
	}
	return told
}

// differ notes a difference between what the log tells and what is in Redis.
func (f *fleet) differ(told *fold, what string, want, got any) {
	if diff := cmp.Diff(want, got); diff != "" {
		told.broken = append(told.broken, what+": -told +found\n"+diff)
	}
}

func (f *fleet) hash(key string) map[string]string {
	f.t.Helper()
	h, err := f.client.HGetAll(context.Background(), key).Result()
	if err != nil {
		f.t.Fatalf("read %s: %v", key, err)
	}
	return h
}

func (f *fleet) scores(key string) map[string]float64 {
	f.t.Helper()
	z, err := f.client.ZRangeWithScores(context.Background(), key, 0, -1).Result()
	if err != nil {
		f.t.Fatalf("read %s: %v", key, err)
	}
	m := map[string]float64{}
	for _, member := range z {
		m[fmt.Sprint(member.Member)] = member.Score
	}
	return m
}

func place(t *foldTask) float64 {
	n, _ := strconv.ParseInt(t.ID[2:], 10, 64)
	return float64(int64(100-t.Priority)<<46 + n)
}

func (f *fleet) compare(told *fold) {
	f.t.Helper()
	queues := map[string]map[string]float64{}
	put := func(queue, member string, score float64) {
		if queues[queue] == nil {
			queues[queue] = map[string]float64{}
		}
		queues[queue][member] = score
	}
	sets, held := map[string]string{}, map[string]int{}
	for _, id := range slices.Sorted(maps.Keys(told.tasks)) {
		t := told.tasks[id]
		f.compareTask(told, t)
		if !t.open() {
			continue
		}
		score := place(t)
		put(f.keys.Open(), id, score)
		if t.Roleset != "" {
			n, _ := strconv.Atoi(sets[t.Roleset])
			sets[t.Roleset] = strconv.Itoa(n + 1)
		}
		switch {
		case t.Status == "in_progress":
			put(f.keys.Active(t.AssignedTo), id, score)
			held[t.AssignedTo]++
		case t.AssignedTo != "":
			put(f.keys.Assigned(t.AssignedTo), id, score)
			held[t.AssignedTo]++
			if t.Auto {
				put(f.keys.Auto(t.AssignedTo), id, score)
				put(f.keys.Stealable(), t.AssignedTo, float64(len(queues[f.keys.Auto(t.AssignedTo)])))
			}
		case t.Roleset != "":
			put(f.keys.RoleQueue(t.Roleset), id, score)
		default:
			put(f.keys.Pending(), id, score)
		}
	}
	for id := range told.deleted {
		if f.exists(f.keys.Task(id)) != 0 {
			told.broken = append(told.broken, id+" was deleted and is there")
		}
	}
	f.compareInstances(told, held, put)
	f.differ(told, "sets of roles", sets, f.hash(f.keys.RoleSets()))

	// Every queue there is, so that none is left that should not be.
	for _, key := range f.scan(f.keys.Prefix() + "queue:*") {
		if key == f.keys.RoleSets() {
			continue
		}
		f.differ(told, key, queues[key], f.scores(key))
		delete(queues, key)
	}
	for key := range queues {
		told.broken = append(told.broken, fmt.Sprintf("%s is missing: %v", key, queues[key]))
	}
}

func (f *fleet) compareTask(told *fold, t *foldTask) {
	f.t.Helper()
	h := f.hash(f.keys.Task(t.ID))
	if len(h) == 0 && !t.open() {
		return // kept for a time only
	}
	want := map[string]string{
		"id": t.ID, "text": t.Text, "status": t.Status, "priority": strconv.Itoa(t.Priority), "attempt": strconv.FormatInt(t.Attempt, 10),
		"createdAt": t.CreatedAt, "updatedAt": t.UpdatedAt, "seq": strconv.FormatInt(t.Seq, 10),
	}
	for name, v := range map[string]string{
		"assignedTo": t.AssignedTo, "metadata": t.Metadata, "result": t.Result, "error": t.Error, "completedAt": t.CompletedAt,
	} {
		if v != "" {
			want[name] = v
		}
	}
	if h["roleset"] != t.Roleset {
		told.broken = append(told.broken, t.ID+" asks for "+t.Roleset+" and is kept with "+h["roleset"])
	}
	for _, internal := range []string{"queuedAt", "claimedAt", "assignedSeq", "previousAssignment", "roleset", "creator"} {
		delete(h, internal)
	}
	f.differ(told, f.keys.Task(t.ID), want, h)
}

func (f *fleet) compareInstances(told *fold, held map[string]int, put func(queue, member string, score float64)) {
	f.t.Helper()
	roles, alive, workers := map[string]string{}, map[string]bool{}, map[string]bool{}
	for id, i := range told.instances {
		roles[id] = jsontext.Array(i.Roles)
		alive[id] = true
		if i.worker() {
			workers[id] = true
		}
		h := f.hash(f.keys.Instance(id))
		if len(h) == 0 { // expired, and nobody has come by yet
			if n, ok := f.scores(f.keys.Available())[id]; ok {
				put(f.keys.Available(), id, n)
			}
			continue
		}
		if i.worker() && held[id] < i.MaxTasks {
			put(f.keys.Available(), id, float64(held[id]))
		}
		got := map[string]string{}
		for _, name := range []string{"id", "roles", "metadata", "sessionId", "registeredAt"} {
			got[name] = h[name]
		}
		f.differ(told, f.keys.Instance(id), map[string]string{
			"id": id, "roles": roles[id], "metadata": i.Metadata, "sessionId": i.Session, "registeredAt": i.RegisteredAt,
		}, got)
		active := f.client.ZCard(context.Background(), f.keys.Active(id)).Val()
		if status := h["status"]; status != "ACTIVE" && (status == "BUSY") != (active > 0) {
			told.broken = append(told.broken, fmt.Sprintf("%s is %s with %d claimed tasks", id, status, active))
		}
	}
	f.differ(told, "roles", roles, f.hash(f.keys.Prefix()+"health:roles"))
	members := func(key string) map[string]bool {
		m := map[string]bool{}
		for id := range f.scores(key) {
			m[id] = true
		}
		return m
	}
	f.differ(told, "liveness", alive, members(f.keys.Alive()))
	f.differ(told, "live workers", workers, members(f.keys.Prefix()+"health:workers"))
	leader := f.hash(f.keys.Leader())
	if told.term > 0 && leader["until"] != "0" {
		f.differ(told, "leader", told.leader, leader["id"])
	}
	if told.term > 0 {
		f.differ(told, "term", strconv.FormatInt(told.term, 10), f.hash(f.keys.Log())["term"])
	}
}

// scan lists the keys of a pattern; only a test may.
func (f *fleet) scan(pattern string) []string {
	f.t.Helper()
	var found []string
	iterator := f.client.Scan(context.Background(), 0, pattern, 10_000).Iterator()
	for iterator.Next(context.Background()) {
		found = append(found, iterator.Val())
	}
	if err := iterator.Err(); err != nil {
		f.t.Fatalf("scan %s: %v", pattern, err)
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// zset reads the members of a sorted set in order.
func (f *fleet) zset(key string) []string {
	f.t.Helper()
	list, err := f.client.ZRange(context.Background(), key, 0, -1).Result()
	if err != nil {
		f.t.Fatalf("read %s: %v", key, err)
	}
	return list
}

// put lets a test write into Redis what the coordinator did not.
func (f *fleet) put(commands ...[]any) {
	f.t.Helper()
	for _, c := range commands {
		if err := f.client.Do(context.Background(), c...).Err(); err != nil && err != redis.Nil { //nolint:errorlint // as it comes
			f.t.Fatalf("%v: %v", c, err)
		}
	}
}

// jsonText gives a string as JSON.
func jsonText(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(b)
}

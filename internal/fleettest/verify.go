package fleettest

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/internal/jsontext"
	"github.com/claudebench/claudebench/internal/reassign"
)

// Verify compares the fold of the log with everything in Redis. It returns the tasks that instances
// left first.
func (f *Fleet) Verify() *Fold {
	f.T.Helper()
	if _, err := reassign.New(f.Scripts, f.Reassigning()).Requeue(context.Background()); err != nil {
		f.T.Fatalf("put back orphans: %v", err)
	}
	events := f.Events()
	told := NewFold()
	told.tampered = f.tampered
	for _, e := range events {
		told.Apply(e)
	}
	f.compare(told)
	for _, e := range events {
		told.Apply(e)
	}
	if told.Seq != f.Seq() {
		told.Broken = append(told.Broken, fmt.Sprintf("the log ends with %d, and its hash says %d", told.Seq, f.Seq()))
	}
	if len(told.Broken) > 0 {
		f.T.Fatalf("the log and the state do not agree:\n%s", strings.Join(told.Broken, "\n"))
	}
	return told
}

// differ reports a difference between the log and Redis.
func (f *Fleet) differ(told *Fold, what string, want, got any) {
	if diff := cmp.Diff(want, got); diff != "" {
		told.Broken = append(told.Broken, what+": -told +found\n"+diff)
	}
}

// Hash reads a hash.
func (f *Fleet) Hash(key string) map[string]string {
	f.T.Helper()
	h, err := f.Client.HGetAll(context.Background(), key).Result()
	if err != nil {
		f.T.Fatalf("read %s: %v", key, err)
	}
	return h
}

// Scores reads a sorted set with its scores.
func (f *Fleet) Scores(key string) map[string]float64 {
	f.T.Helper()
	z, err := f.Client.ZRangeWithScores(context.Background(), key, 0, -1).Result()
	if err != nil {
		f.T.Fatalf("read %s: %v", key, err)
	}
	m := map[string]float64{}
	for _, member := range z {
		m[fmt.Sprint(member.Member)] = member.Score
	}
	return m
}

// Place returns the score of a task in a queue.
func Place(t *FoldTask) float64 {
	n, _ := strconv.ParseInt(t.ID[2:], 10, 64)
	return float64(int64(100-t.Priority)<<46 + n)
}

func (f *Fleet) compare(told *Fold) {
	f.T.Helper()
	queues := map[string]map[string]float64{}
	put := func(queue, member string, score float64) {
		if queues[queue] == nil {
			queues[queue] = map[string]float64{}
		}
		queues[queue][member] = score
	}
	unique, waiting := map[string]string{}, map[string][]string{}
	sets, held := map[string]string{}, map[string]int{}
	for _, id := range slices.Sorted(maps.Keys(told.Tasks)) {
		t := told.Tasks[id]
		f.compareTask(told, t)
		if !t.Open() {
			continue
		}
		score := Place(t)
		put(f.Keys.Open(), id, score)
		if t.Doomed != "" {
			told.Broken = append(told.Broken, id+" should be cancelled because of "+t.Doomed)
		}
		if t.LimitKey != "" && (t.Status == "pending" || t.Status == "in_progress") {
			put(f.Keys.Limited(t.LimitKey), id, score)
		}
		if t.UniqueKey != "" {
			unique[t.UniqueKey] = id
		}
		for needed := range t.Waits {
			waiting[f.Keys.Dependents(needed)] = append(waiting[f.Keys.Dependents(needed)], id)
		}
		if t.Roleset != "" {
			n, _ := strconv.Atoi(sets[t.Roleset])
			sets[t.Roleset] = strconv.Itoa(n + 1)
		}
		if t.TimeoutAt != "" || t.CancelAt != "" {
			put(f.Keys.Deadlines(), id, min(millis(t.TimeoutAt), millis(t.CancelAt)))
		}
		if t.CancelAt != "" {
			put(f.Keys.Cancelling(t.AssignedTo), id, millis(t.CancelAt))
		}
		switch {
		case t.Status == "scheduled":
			put(f.Keys.Scheduled(), id, millis(t.RunAt))
		case t.Status == "blocked":
			put(f.Keys.Blocked(), id, score)
			if len(t.Waits) == 0 {
				put(f.Keys.Turns(t.LimitKey), id, score)
				if limit, ok := told.Limits[t.LimitKey]; !ok || told.running(t.LimitKey) < limit {
					told.Broken = append(told.Broken, id+" waits for a turn that it could have")
				}
			}
		case t.Status == "in_progress":
			put(f.Keys.Active(t.AssignedTo), id, score)
			held[t.AssignedTo]++
		case t.AssignedTo != "":
			put(f.Keys.Assigned(t.AssignedTo), id, score)
			held[t.AssignedTo]++
			if t.Auto {
				put(f.Keys.Auto(t.AssignedTo), id, score)
				put(f.Keys.Stealable(), t.AssignedTo, float64(len(queues[f.Keys.Auto(t.AssignedTo)])))
			}
		case t.Roleset != "":
			put(f.Keys.RoleQueue(t.Roleset), id, score)
		default:
			put(f.Keys.Pending(), id, score)
		}
	}
	for id := range told.deleted {
		if f.Exists(f.Keys.Task(id)) != 0 {
			told.Broken = append(told.Broken, id+" was deleted and is there")
		}
	}
	f.compareInstances(told, held, put)
	f.compareSchedules(told)
	f.differ(told, "unique keys", unique, f.Hash(f.Keys.Unique()))
	limits := map[string]string{}
	for key, n := range told.Limits {
		limits[key] = strconv.FormatInt(n, 10)
	}
	f.differ(told, "limits", limits, f.Hash(f.Keys.Limits()))
	for key, ids := range waiting {
		there := f.Scores(key)
		for _, id := range ids {
			if _, ok := there[id]; !ok {
				told.Broken = append(told.Broken, key+" has not "+id)
			}
		}
	}
	f.differ(told, "sets of roles", sets, f.Hash(f.Keys.RoleSets()))

	paused, some := map[string]bool{}, ""
	for queue := range f.Hash(f.Keys.Paused()) {
		paused[queue], some = true, "1"
	}
	f.differ(told, "paused queues", told.Paused, paused)
	f.differ(told, "whether queues are paused", some, f.Hash(f.Keys.Log())["paused"])

	// All existing queues, to find those that should not exist.
	for _, key := range f.Scan(f.Keys.Prefix() + "queue:*") {
		if key == f.Keys.RoleSets() || key == f.Keys.Wakeups() || key == f.Keys.Waiting() || key == f.Keys.Paused() || key == f.Keys.Unique() || key == f.Keys.Limits() ||
			strings.HasPrefix(key, f.Keys.Dependents("")) {
			continue
		}
		if key == f.Keys.RoleSetOwners() {
			for set := range f.Hash(key) {
				if sets[set] == "" {
					told.Broken = append(told.Broken, fmt.Sprintf("%s has an owner of %s, which no open task asks for", key, set))
				}
			}
			continue
		}
		f.differ(told, key, queues[key], f.Scores(key))
		delete(queues, key)
	}
	for key := range queues {
		told.Broken = append(told.Broken, fmt.Sprintf("%s is missing: %v", key, queues[key]))
	}
}

func (f *Fleet) compareTask(told *Fold, t *FoldTask) {
	f.T.Helper()
	h := f.Hash(f.Keys.Task(t.ID))
	if len(h) == 0 && !t.Open() {
		return // kept only for a time
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
	if t.Extras {
		want["extras"] = "1"
	}
	for name, n := range map[string]int64{"failures": t.Failures, "losses": t.Losses} {
		if n != 0 {
			want[name] = strconv.FormatInt(n, 10)
		}
	}
	for name, at := range map[string]string{"runAt": t.RunAt, "timeoutAt": t.TimeoutAt, "cancelAt": t.CancelAt} {
		if at != "" {
			want[name] = strconv.FormatInt(int64(millis(at)), 10)
		}
	}
	for name, v := range map[string]string{"errors": strings.Join(t.Errors, "\x1e"), "progress": t.Progress, "cancel": t.Cancel} {
		if v != "" {
			want[name] = v
		}
	}
	if t.Open() && t.HadWaits {
		want["open"] = strconv.Itoa(len(t.Waits))
	}
	if !t.Open() {
		delete(h, "open")
	}
	if (h["options"] != "") != (t.Retry != nil || t.TimeoutMs != 0 || t.OnDependencyFailure != "" || t.UniqueKey != "" || t.LimitKey != "") {
		told.Broken = append(told.Broken, t.ID+" has the options "+h["options"])
	}
	if h["roleset"] != t.Roleset {
		told.Broken = append(told.Broken, t.ID+" asks for "+t.Roleset+" and is kept with "+h["roleset"])
	}
	for _, internal := range []string{"queuedAt", "claimedAt", "assignedSeq", "previousAssignment", "roleset", "creator", "options"} {
		delete(h, internal)
	}
	f.differ(told, f.Keys.Task(t.ID), want, h)
}

func (f *Fleet) compareInstances(told *Fold, held map[string]int, put func(queue, member string, score float64)) {
	f.T.Helper()
	roles, alive, workers := map[string]string{}, map[string]bool{}, map[string]bool{}
	for id, i := range told.Instances {
		roles[id] = jsontext.Array(i.Roles)
		alive[id] = true
		if i.Worker() {
			workers[id] = true
		}
		h := f.Hash(f.Keys.Instance(id))
		if len(h) == 0 { // expired, and no sweep has noticed
			if n, ok := f.Scores(f.Keys.Available())[id]; ok {
				put(f.Keys.Available(), id, n)
			}
			continue
		}
		if i.Worker() && held[id] < i.MaxTasks {
			put(f.Keys.Available(), id, float64(held[id]))
		}
		got := map[string]string{}
		for _, name := range []string{"id", "roles", "metadata", "sessionId", "registeredAt"} {
			got[name] = h[name]
		}
		f.differ(told, f.Keys.Instance(id), map[string]string{
			"id": id, "roles": roles[id], "metadata": i.Metadata, "sessionId": i.Session, "registeredAt": i.RegisteredAt,
		}, got)
		active := f.Client.ZCard(context.Background(), f.Keys.Active(id)).Val()
		if status := h["status"]; status != "ACTIVE" && (status == "BUSY") != (active > 0) {
			told.Broken = append(told.Broken, fmt.Sprintf("%s is %s with %d claimed tasks", id, status, active))
		}
	}
	f.differ(told, "roles", roles, f.Hash(f.Keys.Prefix()+"health:roles"))
	members := func(key string) map[string]bool {
		m := map[string]bool{}
		for id := range f.Scores(key) {
			m[id] = true
		}
		return m
	}
	f.differ(told, "liveness", alive, members(f.Keys.Alive()))
	f.differ(told, "live workers", workers, members(f.Keys.Prefix()+"health:workers"))
	leader := f.Hash(f.Keys.Leader())
	if told.Term > 0 && leader["until"] != "0" {
		f.differ(told, "leader", told.Leader, leader["id"])
	}
	if told.Term > 0 {
		f.differ(told, "term", strconv.FormatInt(told.Term, 10), f.Hash(f.Keys.Log())["term"])
	}
}

// millis returns a time as ms since 1970, and infinity for none.
func millis(at string) float64 {
	moment, err := time.Parse(time.RFC3339Nano, at)
	if err != nil {
		return math.Inf(1)
	}
	return float64(moment.UnixMilli())
}

// Scan lists the keys of a pattern. Only tests may do that.
func (f *Fleet) Scan(pattern string) []string {
	f.T.Helper()
	var found []string
	iterator := f.Client.Scan(context.Background(), 0, pattern, 10_000).Iterator()
	for iterator.Next(context.Background()) {
		found = append(found, iterator.Val())
	}
	if err := iterator.Err(); err != nil {
		f.T.Fatalf("scan %s: %v", pattern, err)
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// Zset reads the members of a sorted set in order.
func (f *Fleet) Zset(key string) []string {
	f.T.Helper()
	list, err := f.Client.ZRange(context.Background(), key, 0, -1).Result()
	if err != nil {
		f.T.Fatalf("read %s: %v", key, err)
	}
	return list
}

// Put writes to Redis directly, as no command does.
func (f *Fleet) Put(commands ...[]any) {
	f.T.Helper()
	for _, c := range commands {
		if err := f.Client.Do(context.Background(), c...).Err(); err != nil && err != redis.Nil { //nolint:errorlint // go-redis returns it unwrapped
			f.T.Fatalf("%v: %v", c, err)
		}
	}
}

// JSONText returns a string as JSON.
func JSONText(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(b)
}

package fleettest

import (
	"context"
	"maps"
	"slices"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"
)

// Placed checks that each unfinished task is in exactly one queue, the one of its status and owner, and
// that no other task is in any. So must it be after every command. Verify compares more, and finds
// queues that should not exist, but takes longer. instances and roleSets are all that the test uses.
func (f *Fleet) Placed(told *Fold, instances, roleSets []string) {
	f.T.Helper()
	want := map[string][]string{}
	for _, key := range []string{f.Keys.Open(), f.Keys.Scheduled(), f.Keys.Blocked(), f.Keys.Pending(), f.Keys.Deadlines()} {
		want[key] = nil
	}
	for _, id := range instances {
		for _, key := range []string{f.Keys.Assigned(id), f.Keys.Active(id), f.Keys.Auto(id), f.Keys.Cancelling(id)} {
			want[key] = nil
		}
	}
	for _, set := range roleSets {
		want[f.Keys.RoleQueue(set)] = nil
	}
	for key := range told.Limits {
		want[f.Keys.Limited(key)], want[f.Keys.Turns(key)] = nil, nil
	}
	put := func(key, id string) { want[key] = append(want[key], id) }
	for id, t := range told.Tasks {
		if t.LimitKey != "" && (t.Status == "pending" || t.Status == "in_progress") {
			put(f.Keys.Limited(t.LimitKey), id)
		}
		if t.TimeoutAt != "" || t.CancelAt != "" {
			put(f.Keys.Deadlines(), id)
		}
		if t.CancelAt != "" {
			put(f.Keys.Cancelling(t.AssignedTo), id)
		}
		if t.Open() {
			put(f.Keys.Open(), id)
			put(f.queue(t), id)
		}
		switch {
		case t.Status == "blocked" && len(t.Waits) == 0 && t.Doomed == "":
			put(f.Keys.Turns(t.LimitKey), id)
		case t.Status == "pending" && t.Auto:
			put(f.Keys.Auto(t.AssignedTo), id)
		}
	}
	keys := slices.Sorted(maps.Keys(want))
	found := make([]*redis.StringSliceCmd, len(keys))
	pipeline := f.Client.Pipeline()
	for i, key := range keys {
		found[i] = pipeline.ZRange(context.Background(), key, 0, -1)
	}
	settling := pipeline.Exists(context.Background(), f.Keys.Settling())
	if _, err := pipeline.Exec(context.Background()); err != nil {
		f.T.Fatalf("read the queues: %v", err)
	}
	for i, key := range keys {
		got := slices.Sorted(slices.Values(found[i].Val()))
		if settling.Val() > 0 && slices.ContainsFunc(want[key], func(id string) bool { return key == f.Keys.Turns(told.Tasks[id].LimitKey) }) {
			continue // a task that waits for others no longer is not told yet, and so does not wait for its turn
		}
		if slices.Sort(want[key]); !slices.Equal(want[key], got) {
			f.T.Fatalf("%s after event %d: -told +found\n%s", key, told.Seq, cmp.Diff(want[key], got))
		}
	}
}

// queue returns the queue of an unfinished task.
func (f *Fleet) queue(t *FoldTask) string {
	switch {
	case t.Status == "scheduled":
		return f.Keys.Scheduled()
	case t.Status == "blocked":
		return f.Keys.Blocked()
	case t.Status == "in_progress":
		return f.Keys.Active(t.AssignedTo)
	case t.AssignedTo != "":
		return f.Keys.Assigned(t.AssignedTo)
	case t.Roleset != "":
		return f.Keys.RoleQueue(t.Roleset)
	}
	return f.Keys.Pending()
}

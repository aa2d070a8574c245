package audit

import (
	"context"
	"strings"

	"github.com/claudebench/claudebench/internal/fold"
)

// keyPage is how many keys of Redis a script scans at once, which takes less than a millisecond.
const keyPage = 1000

// strays scans all keys for tasks, instances and queues that the log does not know, because no
// index contains them, and compares the finished tasks that it finds. It is the only step here whose cost
// grows with the whole Redis.
func (v *verifier) strays(ctx context.Context) error {
	told := map[string]bool{} // SCAN may return a key twice
	for cursor := "0"; ; {
		if err := v.step(ctx); err != nil {
			return err
		}
		reply, err := v.run(ctx, readKeys, cursor, keyPage)
		if err != nil {
			return err
		}
		if err := v.at(ctx, reply); err != nil {
			return err
		}
		names, _ := reply[2].([]any)
		var ended []int64
		for _, name := range names {
			v.report.Keys++
			name := text(name)
			if !told[name] && v.stray(name) {
				told[name] = true
				v.report.violation("key %s: it is not in the log", v.keys.Prefix()+name)
			}
			if num, ok := v.ended(name); ok {
				ended = append(ended, num)
			}
		}
		if err := v.hashes(ctx, ended); err != nil {
			return err
		}
		if cursor = text(reply[1]); cursor == "0" {
			return nil
		}
	}
}

// ended returns the number of a task that is finished or deleted, if a key is its hash and was not
// compared before.
func (v *verifier) ended(name string) (int64, bool) {
	id, is := strings.CutPrefix(name, "task:")
	num, ok := fold.TaskNumber(id)
	return num, is && ok && v.fold.Ended(num) && !v.compared.has(num)
}

// stray reports whether a key belongs to an object that the log does not know. Known objects are
// compared elsewhere. An object that is older than a trimmed log is never reported.
func (v *verifier) stray(name string) bool {
	family, id, _ := strings.Cut(name, ":")
	switch family {
	case "task":
		num, ok := fold.TaskNumber(id)
		return !ok || !v.fold.Exists(num) && (v.fold.Whole() || num >= v.fold.Base())
	case "schedule", "schedules":
		return v.strayScheduleKey(name)
	case "instance":
		return v.fold.Whole() && v.fold.Instance(id) == nil
	}
	switch name := v.keys.Prefix() + name; name {
	case v.keys.Open(), v.keys.Pending(), v.keys.RoleSets(), v.keys.RoleSetOwners(), v.keys.Paused(), v.keys.Orphaned(), v.keys.Stealable(), v.keys.Available(), v.keys.Wakeups(), v.keys.Waiting(),
		v.keys.Scheduled(), v.keys.Blocked(), v.keys.Deadlines(), v.keys.Settling(), v.keys.Unique(), v.keys.Limits(), v.keys.Relimits():
		return false
	}
	kind, id, _ := strings.Cut(id, ":")
	switch kind {
	case "instance", "active", "auto", "cancelling":
		return v.fold.Whole() && v.fold.Instance(id) == nil
	case "limited", "turns":
		return v.fold.Whole() && !v.fold.LimitKeys()[id]
	case "dependents", "settling":
		num, ok := fold.TaskNumber(id[strings.LastIndex(id, ":")+1:])
		return v.fold.Whole() && (!ok || !v.fold.Exists(num))
	case "roles":
		return v.fold.Whole() && v.fold.RoleSet(id) == 0 && !v.rolesets[id]
	case "orphans":
		// Besides the assigned tasks, <seq>:instance:auto stores which of them were auto-assigned.
		// In older data it is <seq>:auto.
		queue := strings.TrimSuffix(id, ":auto")
		if !strings.Contains(queue, ":") {
			queue += ":instance"
		}
		return v.fold.Whole() && v.fold.Orphans(queue) == nil
	}
	return true
}

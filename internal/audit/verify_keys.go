package audit

import (
	"context"
	"strings"
)

// keyPage is how many keys of Redis a script looks at in one go: it takes less than a millisecond.
const keyPage = 1000

// strays goes through all keys, for tasks, instances and queues that the log knows nothing of: no
// index leads to them. It is the only reading here that costs what the whole Redis holds.
func (v *verifier) strays(ctx context.Context) error {
	told := map[string]bool{} // a key may come twice
	for cursor := "0"; ; {
		reply, err := v.run(ctx, readKeys, cursor, keyPage)
		if err != nil {
			return err
		}
		if err := v.at(ctx, reply); err != nil {
			return err
		}
		names, _ := reply[2].([]any)
		for _, name := range names {
			v.report.Keys++
			if name := text(name); !told[name] && v.stray(name) {
				told[name] = true
				v.report.violation("key %s: the log knows nothing of it", v.keys.Prefix()+name)
			}
		}
		if cursor = text(reply[1]); cursor == "0" {
			return nil
		}
	}
}

// stray reports whether a key stands for something that the log does not know. What it knows is
// compared elsewhere, and what is older than a log that was trimmed cannot be told.
func (v *verifier) stray(name string) bool {
	family, id, _ := strings.Cut(name, ":")
	switch family {
	case "task":
		num, ok := taskNumber(id)
		return !ok || v.fold.tasks[num] == nil && !v.fold.deleted[num] && (v.fold.whole || num >= v.fold.base)
	case "instance":
		return v.fold.whole && v.fold.instances[id] == nil
	}
	switch name := v.keys.Prefix() + name; name {
	case v.keys.Open(), v.keys.Pending(), v.keys.RoleSets(), v.keys.RoleSetOwners(), v.keys.Orphaned(), v.keys.Stealable(), v.keys.Available():
		return false
	}
	kind, id, _ := strings.Cut(id, ":")
	switch kind {
	case "instance", "active", "auto":
		return v.fold.whole && v.fold.instances[id] == nil
	case "roles":
		return v.fold.whole && v.fold.rolesets[id] == 0 && !v.rolesets[id]
	case "orphans":
		// Beside the assigned tasks, under <seq>:instance:auto, lies which of them were
		// auto-assigned. In older data it is <seq>:auto.
		queue := strings.TrimSuffix(id, ":auto")
		if !strings.Contains(queue, ":") {
			queue += ":instance"
		}
		return v.fold.whole && v.fold.orphans[queue] == nil
	}
	return true
}

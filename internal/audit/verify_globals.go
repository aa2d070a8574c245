package audit

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/fold"
)

// globals compares the log's own hash, the leader's lease, the number of open tasks of each role set,
// and the pauses of queues.
func (v *verifier) globals(ctx context.Context) error {
	reply, err := v.run(ctx, readGlobals)
	if err != nil {
		return err
	}
	if err := v.at(ctx, reply); err != nil {
		return err
	}
	lists := make([][]any, len(reply))
	for i := 1; i < len(reply); i++ {
		lists[i], _ = reply[i].([]any)
	}
	if len(lists) != 9 || len(lists[6]) != 1 || len(lists[1]) != 4 || len(lists[2]) != 1 || len(lists[3]) != 2 {
		return fmt.Errorf("script %s returned %v", readGlobals.Name, reply)
	}
	v.log(lists[1], text(lists[2][0]))
	if _, term := v.fold.Leader(); v.fold.Elected() != "" {
		v.differs(v.keys.Leader(), "id", v.fold.Elected(), text(lists[3][0]))
		v.differs(v.keys.Leader(), "term", decimal(term), text(lists[3][1]))
	}
	stored := map[string]string{}
	for i := 0; i+1 < len(lists[4]); i += 2 {
		stored[text(lists[4][i])] = text(lists[4][i+1])
		v.rolesets[text(lists[4][i])] = true
	}
	for set := range v.fold.RoleSets() {
		v.rolesets[set] = true
	}
	if v.fold.Whole() {
		for _, set := range slices.Sorted(maps.Keys(v.rolesets)) {
			v.differs(v.keys.RoleSets(), set, decimalSet(v.fold.RoleSet(set)), stored[set])
		}
	}
	v.pauses(lists[5], text(lists[6][0]))
	if v.fold.Whole() {
		uniques := map[string]string{}
		for key, num := range v.fold.Uniques() {
			uniques[key] = (&fold.Task{Num: num}).ID()
		}
		v.hash(v.keys.Unique(), uniques, lists[7])
		limits := map[string]string{}
		for key, concurrent := range v.fold.Limits() {
			limits[key] = decimal(concurrent)
		}
		v.hash(v.keys.Limits(), limits, lists[8])
	}
	return nil
}

// pauses compares the pauses of queues, and the field of the log's hash that says whether there are any.
func (v *verifier) pauses(hash []any, some string) {
	stored, queues, any := map[string]string{}, map[string]bool{}, ""
	for i := 0; i+1 < len(hash); i += 2 {
		stored[text(hash[i])], queues[text(hash[i])] = text(hash[i+1]), true
	}
	for queue, pause := range v.fold.Pauses() {
		queues[queue] = true
		if pause != "" {
			any = "1"
		}
	}
	for _, queue := range slices.Sorted(maps.Keys(queues)) {
		// A pause may be older than a trimmed log.
		if pause, known := v.fold.Pause(queue); known || v.fold.Whole() {
			v.differs(v.keys.Paused(), fold.QueueName(queue), pause, stored[queue])
		}
	}
	if v.fold.Whole() || any != "" {
		v.differs(v.keys.Log(), "paused", any, some)
	}
}

// hash compares a hash, whose fields and values a script returned, with what the log says.
func (v *verifier) hash(key string, log map[string]string, list []any) {
	stored := map[string]string{}
	for i := 0; i+1 < len(list); i += 2 {
		stored[text(list[i])] = text(list[i+1])
	}
	for field := range log {
		stored[field] += ""
	}
	for _, field := range slices.Sorted(maps.Keys(stored)) {
		v.differs(key, field, log[field], stored[field])
	}
}

// log compares the log's hash with its entries, folded up to the seq in the hash.
func (v *verifier) log(hash []any, firstEntry string) {
	object := v.keys.Log()
	if v.fold.Events() > 0 {
		v.differs(object, "seq", decimal(v.fold.Seq()), text(hash[0]))
		v.differs(object, "ms", decimal(v.fold.Last().MS), text(hash[1]))
	}
	if first, err := events.ParseID(firstEntry); err == nil && text(hash[2]) != "" {
		v.differs(object, "base", decimal(first.Seq), text(hash[2]))
	}
	if _, term := v.fold.Leader(); term > 0 {
		v.differs(object, "term", decimal(term), text(hash[3]))
	}
}

// state compares the global state at the event that it claims to have applied.
func (v *verifier) state(ctx context.Context) error {
	var stored map[string]string
	var version int64
	reached, err := v.await(ctx, "state", func() (int64, bool, error) {
		var err error
		if stored, err = v.Redis.HGetAll(ctx, v.keys.State()).Result(); err != nil {
			return 0, false, fmt.Errorf("read %s: %w", v.keys.State(), err)
		}
		version, _ = number(stored["version"])
		return version, version >= v.fold.Seq(), nil
	})
	if err != nil || !reached {
		return err
	}
	if err := v.to(ctx, version); err != nil {
		return err
	}
	if v.followsAnother(v.keys.State(), "state", stored["log"]) {
		return nil
	}
	v.report.State = true
	f, object := v.fold, v.keys.State()
	if f.Events() == 0 {
		return nil
	}
	v.differs(object, "version", decimal(f.Seq()), stored["version"])
	v.differs(object, "checkpoint", f.Last().String(), stored["checkpoint"])
	if f.LastType() != "" {
		v.differs(object, "lastEvent", string(f.LastType()), stored["lastEvent"])
		v.differs(object, "lastEventId", f.Last().String(), stored["lastEventId"])
		v.differs(object, "lastEventAt", fold.ISO(f.Last().MS), stored["lastEventAt"])
	}
	if !f.Whole() {
		return nil
	}
	leader, term := f.Leader()
	v.differs(object, "leader", leader, stored["leader"])
	if f.Elected() != "" {
		v.differs(object, "term", decimal(term), stored["term"])
	}
	counts := map[string]int64{
		"tasks.total": f.Total(), "tasks.assigned": f.Owned(), "instances": f.Living(),
	}
	for _, status := range api.TaskStatuses {
		counts["tasks."+status] = f.Count(status)
	}
	for role, n := range f.Roles() {
		counts["role."+role] = n
	}
	for field := range stored {
		if strings.HasPrefix(field, "tasks.") || strings.HasPrefix(field, "role.") {
			counts[field] += 0 // a field that the log does not count is 0
		}
	}
	for _, field := range slices.Sorted(maps.Keys(counts)) {
		text := stored[field]
		if text == "" {
			text = "0" // a count that never changed
		}
		v.differs(object, field, decimal(counts[field]), text)
	}
	return nil
}

// counters are the metrics that the log alone determines and that no version before format 4 of the
// log has written. The others have times, or events that were counted before they were written.
var counters = []any{"tasksRetried", "tasksTimedOut", "tasksLost", "tasksCancelled"}

// metrics compares the identity of the metrics' log and some counters at the event up to which the
// metrics count. Metrics that no coordinator has begun are left out.
func (v *verifier) metrics(ctx context.Context) error {
	var values []any
	var at events.ID
	reached, err := v.await(ctx, "metrics", func() (int64, bool, error) {
		reply, err := v.run(ctx, readMetrics, counters...)
		if err != nil {
			return 0, false, err
		}
		values, _ = reply[len(reply)-1].([]any)
		if len(reply) != 3 || len(values) != len(counters) {
			return 0, false, fmt.Errorf("script %s returned %v", readMetrics.Name, reply)
		}
		checkpoint := text(reply[0])
		if v.followsAnother(v.keys.Metrics("global"), "metrics", text(reply[1])) || checkpoint == "" {
			values = nil
			return 0, true, nil
		}
		if at, err = events.ParseID(checkpoint); err != nil {
			return 0, false, fmt.Errorf("read %s: %w", v.keys.Checkpoint("metrics"), err)
		}
		return at.Seq, at.Seq >= v.fold.Seq(), nil
	})
	if err != nil || !reached || values == nil {
		return err
	}
	if err := v.to(ctx, at.Seq); err != nil {
		return err
	}
	for i, field := range counters {
		stored := text(values[i])
		if stored == "" {
			stored = "0" // a counter that never changed
		}
		if v.fold.Whole() {
			v.differs(v.keys.Metrics("global"), text(field), decimal(v.fold.Counted(text(field))), stored)
		}
	}
	return nil
}

// followsAnother reports whether a store in Redis follows another log than this one, and records
// that as a violation. A store that an older version wrote has no identity: log is then "".
func (v *verifier) followsAnother(object, projection, log string) bool {
	if log == "" || v.identity == "" || log == v.identity {
		return false
	}
	v.foreignLog(object, projection, log)
	return true
}

// Package keys builds the Redis keys of a namespace. In Go, only this package knows them; the
// scripts build theirs in lua/lib. Keys of the default namespace begin with "cb:", those of another
// one with "cb:{ns}:", which puts the namespace into one slot of a Redis Cluster.
//
// An ID that a user chose is at the end of its key, or between fixed parts that no other family of
// keys shares. So no ID can produce another family's key.
package keys

import (
	"fmt"
	"strings"
)

// Space builds the keys of one namespace. The zero Space is the default namespace.
type Space struct {
	namespace string
	tag       string // between "cb:" and the rest: "" or "{namespace}:"
}

// MaxNamespace is the maximum length of a namespace in bytes.
const MaxNamespace = 64

// New returns the keys of a namespace; "" is the default one. A namespace contains only letters,
// digits, '.', '_' and '-', so it can be part of a hash tag, of a pattern and of the name of a
// Postgres schema.
func New(namespace string) (Space, error) {
	if namespace == "" {
		return Space{}, nil
	}
	if len(namespace) > MaxNamespace {
		return Space{}, fmt.Errorf("namespace %.16q… is longer than %d bytes", namespace, MaxNamespace)
	}
	for _, r := range namespace {
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", r) {
			return Space{}, fmt.Errorf("namespace %q contains %q; only letters, digits, '.', '_' and '-' are allowed", namespace, r)
		}
	}
	return Space{namespace: namespace, tag: "{" + namespace + "}:"}, nil
}

// Namespace returns the name of the namespace; "" for the default one.
func (s Space) Namespace() string { return s.namespace }

// Prefix returns the common prefix of all keys of the namespace.
func (s Space) Prefix() string { return "cb:" + s.tag }

// Log is the hash of the log's own fields: seq, ms, base, term. Scripts take it as KEYS[1] and
// derive all other keys from it.
func (s Space) Log() string { return "cb:" + s.tag + "log" }

// Events is the log.
func (s Space) Events() string { return "cb:" + s.tag + "stream:events" }

// Topic is the stream of the events of one type.
func (s Space) Topic(eventType string) string { return "cb:" + s.tag + "stream:" + eventType }

// State is the hash of the global state.
func (s Space) State() string { return "cb:" + s.tag + "state:global" }

// Metrics is one of the metrics hashes: global, queues, scaling, minutes.
func (s Space) Metrics(name string) string { return "cb:" + s.tag + "metrics:" + name }

// MetricsEvents is the metrics hash of one event type.
func (s Space) MetricsEvents(eventType string) string {
	return "cb:" + s.tag + "metrics:events:" + eventType
}

// Checkpoint is the checkpoint of a projection into Redis.
func (s Space) Checkpoint(projection string) string {
	return "cb:" + s.tag + "service:checkpoint:" + projection
}

// Subscriber is the checkpoint of a service that follows the log.
func (s Space) Subscriber(name string) string { return s.Checkpoint("sub:" + name) }

// Checkpoints is the index of these services, by the time (ms) of the last move of their checkpoint.
func (s Space) Checkpoints() string { return "cb:" + s.tag + "service:checkpoints" }

// Positions is the hash of the last event that each projection outside Redis has applied. The
// projections' own checkpoints decide; this copy is at most as new.
func (s Space) Positions() string { return "cb:" + s.tag + "service:positions" }

// Parked is the stream of the events that consumer groups have given up.
func (s Space) Parked() string { return "cb:" + s.tag + "stream:parked" }

// ParkedCounts is the hash of the number of parked events of each group: type:group.
func (s Space) ParkedCounts() string { return "cb:" + s.tag + "service:parked" }

// GroupStream is the stream of the events that only one consumer group of a topic gets, because they
// are no longer in the topic or are to be delivered again.
func (s Space) GroupStream(eventType, group string) string {
	return "cb:" + s.tag + "stream:group:" + eventType + ":" + group
}

// SecondPlace returns the space of the keys that a rebuild folds a projection into, beside its live
// keys. Only State, Metrics, MetricsEvents and Checkpoint have a meaning in it.
func (s Space) SecondPlace() Space { return Space{s.namespace, s.tag + "rebuild:"} }

// Lease is the lease of the coordinator that runs a projection.
func (s Space) Lease(projection string) string { return "cb:" + s.tag + "service:lease:" + projection }

// Coordinators is the index of the coordinators that are alive, by when they were last seen (ms).
func (s Space) Coordinators() string { return "cb:" + s.tag + "fleet:coordinators" }

// Versions is the hash of the versions of these coordinators. Those of earlier versions are not in it.
func (s Space) Versions() string { return "cb:" + s.tag + "fleet:versions" }

// Task is a task's hash.
func (s Space) Task(id string) string { return "cb:" + s.tag + "task:" + id }

// Instance is an instance's hash.
func (s Space) Instance(id string) string { return "cb:" + s.tag + "instance:" + id }

// Gossip is the hash of an instance's health, kept for a day.
func (s Space) Gossip(id string) string { return "cb:" + s.tag + "health:gossip:" + id }

// Alive is the liveness index: instance IDs by the time they were last seen (ms).
func (s Space) Alive() string { return "cb:" + s.tag + "health:alive" }

// Workers is the liveness index of the instances with the role worker.
func (s Space) Workers() string { return "cb:" + s.tag + "health:workers" }

// Roles is the hash of the roles of registered instances (a JSON array each).
func (s Space) Roles() string { return "cb:" + s.tag + "health:roles" }

// Leader is the hash of the leader's lease.
func (s Space) Leader() string { return "cb:" + s.tag + "health:leader" }

// Pending is the queue of unassigned tasks that require no roles.
func (s Space) Pending() string { return "cb:" + s.tag + "queue:tasks:pending" }

// Open is the index of all tasks that are not finished.
func (s Space) Open() string { return "cb:" + s.tag + "queue:open" }

// Scheduled is the queue of tasks that wait for a time, by that time (ms).
func (s Space) Scheduled() string { return "cb:" + s.tag + "queue:scheduled" }

// Blocked is the queue of tasks that wait for other tasks, or for their turn under a limit.
func (s Space) Blocked() string { return "cb:" + s.tag + "queue:blocked" }

// Deadlines is the index of claimed tasks that end at a time (ms): that of their time limit, or of
// the grace of their cancellation.
func (s Space) Deadlines() string { return "cb:" + s.tag + "queue:deadlines" }

// Cancelling is the index of the tasks that an instance is to end, by the end of their grace (ms).
func (s Space) Cancelling(instance string) string {
	return "cb:" + s.tag + "queue:cancelling:" + instance
}

// Dependents is the queue of tasks that wait for a task.
func (s Space) Dependents(task string) string { return "cb:" + s.tag + "queue:dependents:" + task }

// Settling is the list of tasks that have ended, with the queues of those that waited for them,
// which are not told yet; the one that ended first comes first.
func (s Space) Settling() string { return "cb:" + s.tag + "queue:settling" }

// Unique is the hash of the unique keys of unfinished tasks, with the tasks.
func (s Space) Unique() string { return "cb:" + s.tag + "queue:unique" }

// Limits is the hash of the limits of concurrent tasks, by their key.
func (s Space) Limits() string { return "cb:" + s.tag + "queue:limits" }

// Relimits is the list of limits that were changed and whose tasks have not all followed yet.
func (s Space) Relimits() string { return "cb:" + s.tag + "queue:relimits" }

// Limited is the index of the tasks with a limitKey that are pending or in progress.
func (s Space) Limited(key string) string { return "cb:" + s.tag + "queue:limited:" + key }

// Turns is the queue of the tasks with a limitKey that wait for their turn.
func (s Space) Turns(key string) string { return "cb:" + s.tag + "queue:turns:" + key }

// RoleSets is the hash of the role sets that open tasks require, with the number of tasks that
// require each.
func (s Space) RoleSets() string { return "cb:" + s.tag + "queue:rolesets" }

// RoleSetOwners is the hash of the role sets that an agent's token introduced, with the name of the
// token.
func (s Space) RoleSetOwners() string { return "cb:" + s.tag + "queue:rolesetowners" }

// Paused is the hash of the pauses of queues: role set, or * for all queues.
func (s Space) Paused() string { return "cb:" + s.tag + "queue:paused" }

// RoleQueue is the queue of unassigned tasks that require a role set (a sorted JSON array).
func (s Space) RoleQueue(set string) string { return "cb:" + s.tag + "queue:roles:" + set }

// Assigned is the queue of tasks that are assigned to an instance and not yet claimed.
func (s Space) Assigned(instance string) string { return "cb:" + s.tag + "queue:instance:" + instance }

// Active is the queue of tasks that an instance has claimed.
func (s Space) Active(instance string) string { return "cb:" + s.tag + "queue:active:" + instance }

// Auto is the part of an instance's assigned queue that another worker may steal when its claim
// finds no other task.
func (s Space) Auto(instance string) string { return "cb:" + s.tag + "queue:auto:" + instance }

// Stealable is the index of instances by the length of their Auto queue.
func (s Space) Stealable() string { return "cb:" + s.tag + "queue:stealable" }

// Available is the index of live workers with room for another task, by the number of tasks that
// they hold.
func (s Space) Available() string { return "cb:" + s.tag + "queue:available" }

// Orphaned is the list of the queues that lost instances left behind, oldest first.
func (s Space) Orphaned() string { return "cb:" + s.tag + "queue:orphaned" }

// Orphans is one such queue. seq is that of the event that orphaned it.
func (s Space) Orphans(seq string) string { return "cb:" + s.tag + "queue:orphans:" + seq }

// Wakeups is the stream of wake-ups for calls of task.claim that wait.
func (s Space) Wakeups() string { return "cb:" + s.tag + "queue:wakeups" }

// Waiting says for which roles such calls wait.
func (s Space) Waiting() string { return "cb:" + s.tag + "queue:waiting" }

// Verification is the hash of the verification of the log that runs, and of the result of the last
// one. A flush keeps it.
func (s Space) Verification() string { return "cb:" + s.tag + "audit:verification" }

// Seal is the hash of the last checkpoint of the log's seals. A flush keeps it.
func (s Space) Seal() string { return "cb:" + s.tag + "audit:seal" }

// Batch is one of a batch's keys. part is lock, processor, progress or status.
func (s Space) Batch(id, part string) string { return "cb:" + s.tag + "batch:" + id + ":" + part }

// Quorum is one of a decision's keys. part is votes, tally, result or metadata.
func (s Space) Quorum(decision, part string) string {
	return "cb:" + s.tag + "quorum:" + decision + ":" + part
}

// Session is the ID of the instance that registered with a session.
func (s Space) Session(id string) string { return "cb:" + s.tag + "session:" + id }

// Todos is the hash of a session's todos.
func (s Space) Todos(session string) string { return "cb:" + s.tag + "todo:" + session }

// Schedule is a schedule's hash.
func (s Space) Schedule(id string) string { return "cb:" + s.tag + "schedule:" + id }

// Schedules is the index of all schedules by the bytes of their ids.
func (s Space) Schedules() string { return "cb:" + s.tag + "schedules:ids" }

// Ticks is the index of the schedules that are not paused, by their next tick (ms).
func (s Space) Ticks() string { return "cb:" + s.tag + "schedules:next" }

// Firing is the hash of how late the last tick was fired.
func (s Space) Firing() string { return "cb:" + s.tag + "schedules:firing" }

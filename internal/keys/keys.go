// Package keys names the Redis keys of a namespace. It is the one place in Go that knows them; the
// scripts build theirs in lua/lib. Without a namespace every key begins with "cb:", with one it
// begins with "cb:{ns}:", so that a namespace lies in one slot of a Redis Cluster.
//
// An id chosen by a user stands at the end of its key, or between fixed parts that no other family
// shares, so that no id can name another's key.
package keys

import (
	"fmt"
	"strings"
)

// Space builds the keys of one namespace.
type Space struct{ prefix string }

// MaxNamespace is the longest namespace, in bytes.
const MaxNamespace = 64

// New returns the keys of a namespace; "" is the default one. A namespace holds letters, digits,
// '.', '_' and '-' only, so that it can stand in a hash tag, in a pattern and in a Postgres
// schema's name.
func New(namespace string) (Space, error) {
	if namespace == "" {
		return Space{prefix: "cb:"}, nil
	}
	if len(namespace) > MaxNamespace {
		return Space{}, fmt.Errorf("namespace %.16q… is longer than %d bytes", namespace, MaxNamespace)
	}
	for _, r := range namespace {
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", r) {
			return Space{}, fmt.Errorf("namespace %q holds %q: letters, digits, '.', '_' and '-' are allowed", namespace, r)
		}
	}
	return Space{prefix: "cb:{" + namespace + "}:"}, nil
}

// Prefix is what every key of the namespace begins with.
func (s Space) Prefix() string { return s.prefix }

// Log is the log's own hash: seq, ms, base, term. Scripts take it as KEYS[1] and find the rest from
// it.
func (s Space) Log() string { return s.prefix + "log" }

// Events is the log.
func (s Space) Events() string { return s.prefix + "stream:events" }

// Topic is the stream with the events of one type.
func (s Space) Topic(eventType string) string { return s.prefix + "stream:" + eventType }

// State is the hash of the global state.
func (s Space) State() string { return s.prefix + "state:global" }

// Metrics is one of the metrics hashes: global, queues, scaling.
func (s Space) Metrics(name string) string { return s.prefix + "metrics:" + name }

// MetricsEvents is the metrics hash of one event type.
func (s Space) MetricsEvents(eventType string) string {
	return s.prefix + "metrics:events:" + eventType
}

// Checkpoint is where a projection into Redis has got to.
func (s Space) Checkpoint(projection string) string {
	return s.prefix + "service:checkpoint:" + projection
}

// Lease is held by the coordinator that runs a projection.
func (s Space) Lease(projection string) string { return s.prefix + "service:lease:" + projection }

// Task is a task's hash.
func (s Space) Task(id string) string { return s.prefix + "task:" + id }

// Instance is an instance's hash.
func (s Space) Instance(id string) string { return s.prefix + "instance:" + id }

// Gossip is what is remembered of an instance's health for a day.
func (s Space) Gossip(id string) string { return s.prefix + "health:gossip:" + id }

// Alive is the liveness index: instance ids by when they were last seen (ms).
func (s Space) Alive() string { return s.prefix + "health:alive" }

// Workers is the same for the instances with the role worker.
func (s Space) Workers() string { return s.prefix + "health:workers" }

// Roles is the hash of the registered instances' roles (a JSON array each).
func (s Space) Roles() string { return s.prefix + "health:roles" }

// Leader is the hash of the leader's lease.
func (s Space) Leader() string { return s.prefix + "health:leader" }

// Pending is the queue of the unassigned tasks that ask for no roles.
func (s Space) Pending() string { return s.prefix + "queue:tasks:pending" }

// Open is the index of all tasks that are pending or in progress.
func (s Space) Open() string { return s.prefix + "queue:open" }

// RoleSets is the hash of the sets of roles that open tasks ask for, with how many ask for each.
func (s Space) RoleSets() string { return s.prefix + "queue:rolesets" }

// RoleSetOwners is the hash of those sets that an agent's token brought, with the token's name.
func (s Space) RoleSetOwners() string { return s.prefix + "queue:rolesetowners" }

// RoleQueue is the queue of the unassigned tasks that ask for a set of roles (a sorted JSON array).
func (s Space) RoleQueue(set string) string { return s.prefix + "queue:roles:" + set }

// Assigned is the queue of the tasks assigned to an instance and not yet claimed.
func (s Space) Assigned(instance string) string { return s.prefix + "queue:instance:" + instance }

// Active is the queue of the tasks that an instance has claimed.
func (s Space) Active(instance string) string { return s.prefix + "queue:active:" + instance }

// Auto is the part of an instance's assigned queue that may be taken away by a claim that finds
// nothing.
func (s Space) Auto(instance string) string { return s.prefix + "queue:auto:" + instance }

// Stealable is the index of the instances by the length of their Auto queue.
func (s Space) Stealable() string { return s.prefix + "queue:stealable" }

// Available is the index of the live workers with room for another task, by how many they hold.
func (s Space) Available() string { return s.prefix + "queue:available" }

// Orphaned is the list of the queues left by instances that are gone, oldest first.
func (s Space) Orphaned() string { return s.prefix + "queue:orphaned" }

// Orphans is one such queue, named by the seq of the event that left it.
func (s Space) Orphans(seq string) string { return s.prefix + "queue:orphans:" + seq }

// Batch is one of a batch's keys: its part is lock, processor, progress or status.
func (s Space) Batch(id, part string) string { return s.prefix + "batch:" + id + ":" + part }

// Quorum is one of a decision's keys: its part is votes, tally, result or metadata.
func (s Space) Quorum(decision, part string) string {
	return s.prefix + "quorum:" + decision + ":" + part
}

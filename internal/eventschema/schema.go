// Package eventschema describes the events in forms that programs read: the payloads by JSON Schema
// (draft 2020-12), and the streams of events by AsyncAPI 3. Both derive from the Go types of package
// events. internal/server serves the AsyncAPI document at /asyncapi.json, and internal/apidoc writes
// docs/asyncapi.yaml and the tables of docs/events.md.
package eventschema

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/claudebench/claudebench/events"
)

// summaries say what an event means.
var summaries = map[events.Type]string{
	events.TypeInstanceRegistered:      "An instance registered, for the first time or again.",
	events.TypeInstanceUnregistered:    "An instance left.",
	events.TypeInstanceFailed:          "An instance gave no sign of life for too long and was declared dead.",
	events.TypeLeaderElected:           "An instance took the free leadership.",
	events.TypeTaskCreated:             "A task was created.",
	events.TypeTaskUpdated:             "The text, the priority or the metadata of a task changed.",
	events.TypeTaskDeleted:             "A task was deleted.",
	events.TypeTaskAssigned:            "A task was assigned to an instance, which may claim it.",
	events.TypeTaskUnassigned:          "A task went back to the queue.",
	events.TypeTaskClaimed:             "An instance has the task in progress. A call that ends a task that was assigned but never claimed causes it too.",
	events.TypeTaskCompleted:           "A task was completed.",
	events.TypeTaskFailed:              "A task ended with an error.",
	events.TypeTaskDue:                 "The time of a scheduled task has come.",
	events.TypeTaskRetried:             "A try has failed, and the task waits for the next one.",
	events.TypeTaskTimedOut:            "A claimed task was silent for longer than its time limit.",
	events.TypeTaskProgressed:          "A worker says how far it is.",
	events.TypeTaskCancelRequested:     "The worker of a claimed task is to end it.",
	events.TypeTaskCancelled:           "A task was called off.",
	events.TypeTaskUnblocked:           "What a blocked task waited for has come.",
	events.TypeTaskBlocked:             "A pending task has to wait for its turn under a limit.",
	events.TypeTaskRevived:             "A failed or cancelled task is tried again.",
	events.TypeLimitChanged:            "An operator has set a limit of concurrent tasks.",
	events.TypeLimitDeleted:            "An operator has deleted a limit of concurrent tasks.",
	events.TypeBatchStarted:            "An instance took the lock of a batch. The event is repeated when another instance takes over.",
	events.TypeBatchProgressed:         "A chunk of a batch's items became tasks. Their task.created events come right before it.",
	events.TypeBatchCompleted:          "All items of a batch are tasks.",
	events.TypeQuorumVoted:             "An instance cast its one vote on a decision.",
	events.TypeQuorumDecisionMade:      "A decision was made: further votes do not count.",
	events.TypeCircuitOpened:           "A coordinator's circuit breaker for a method opened, or opened again because its trial call failed.",
	events.TypeCircuitClosed:           "The trial call of a circuit breaker succeeded.",
	events.TypeSystemFlushed:           "Everything before this event was removed. It is the first event of the log.",
	events.TypeQueuePaused:             "Nothing is claimed or auto-assigned from a queue, or from all queues, until it is resumed.",
	events.TypeQueueResumed:            "The pause of a queue, or of all queues, has ended.",
	events.TypeHookSessionStarted:      "A session of an agent began.",
	events.TypeHookPromptSubmitted:     "The user submitted a prompt.",
	events.TypeHookToolRequested:       "An agent is about to use a tool.",
	events.TypeHookPermissionRequested: "An agent's program is about to ask the user whether a tool may be used.",
	events.TypeHookPermissionDenied:    "The use of a tool was denied.",
	events.TypeHookToolFinished:        "The use of a tool ended.",
	events.TypeHookNotified:            "An agent's program notified the user.",
	events.TypeHookSubagentStarted:     "A subagent began.",
	events.TypeHookSubagentStopped:     "A subagent ended its turn.",
	events.TypeHookTaskCreated:         "An agent added an entry to its own list of what it plans.",
	events.TypeHookTaskCompleted:       "An agent completed an entry of its own list of what it plans.",
	events.TypeHookCompactionStarted:   "An agent's program is about to compact the conversation.",
	events.TypeHookCompactionFinished:  "An agent's program has compacted the conversation.",
	events.TypeHookStopped:             "An agent ended its turn.",
	events.TypeHookSessionEnded:        "A session of an agent ended.",
	events.TypeHookReceived:            "A hook came that has no type of its own.",
	events.TypeHookDecided:             "The coordinator's policy decided about a use of a tool.",
	events.TypeTodoUpdated:             "The list of what an agent's session plans changed.",
	events.TypeScheduleChanged:         "A schedule was made or replaced.",
	events.TypeScheduleFired:           "A tick of a schedule is over, and has made a task or says why not.",
	events.TypeScheduleDeleted:         "A schedule was deleted.",
}

// Summary says what an event of a type means, in a sentence.
func Summary(t events.Type) string { return summaries[t] }

// nullable are the members of type array that may be null, each with the name of its payload. The log
// writes every other array as one.
var nullable = []string{"InstanceRegistered.previousRoles", "QueuePaused.roles", "QueueResumed.roles"}

var options = &jsonschema.ForOptions{TypeSchemas: map[reflect.Type]*jsonschema.Schema{
	reflect.TypeFor[json.RawMessage](): {}, // any JSON
}}

// Payload returns the schema of the payload of a type, at its current version. It allows members that
// it does not name, because a version may gain some.
func Payload(t events.Type) (*jsonschema.Schema, error) {
	empty := events.NewPayload(t)
	if empty == nil {
		return nil, fmt.Errorf("%w %q", events.ErrUnknownType, t)
	}
	s, err := jsonschema.ForType(reflect.TypeOf(empty).Elem(), options)
	if err != nil {
		return nil, fmt.Errorf("schema of %s: %w", t, err)
	}
	open(Name(t), "", s)
	return s, nil
}

// Name returns the name of the Go type of a type's payload. Types with the same one share a schema.
func Name(t events.Type) string { return reflect.TypeOf(events.NewPayload(t)).Elem().Name() }

// open makes a schema of a payload accept further members, and arrays only as arrays.
func open(payload, name string, s *jsonschema.Schema) {
	if s == nil {
		return
	}
	s.AdditionalProperties = nil
	if slices.Contains(s.Types, "array") && !slices.Contains(nullable, payload+"."+name) {
		s.Type, s.Types = "array", nil
	}
	open(payload, "", s.Items)
	for name, member := range s.Properties {
		open(payload, name, member)
	}
}

// Kind returns the type of a member as people read it, such as "string or null".
func Kind(s *jsonschema.Schema) string {
	types := slices.Clone(s.Types)
	if s.Type != "" {
		types = []string{s.Type}
	}
	slices.SortFunc(types, func(a, b string) int { // null last
		return strings.Compare(strings.Replace(a, "null", "~", 1), strings.Replace(b, "null", "~", 1))
	})
	for i, kind := range types {
		if kind == "array" && s.Items != nil {
			types[i] = "array of " + Kind(s.Items) + "s"
		}
	}
	if len(types) == 0 {
		return "any"
	}
	return strings.Join(types, " or ")
}

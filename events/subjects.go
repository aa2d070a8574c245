package events

import (
	"slices"
	"strings"

	"github.com/claudebench/claudebench/internal/jsontext"
)

// Subjects are the task and the instances that an event concerns.
type Subjects struct {
	Task string // the task's id, "" if the event concerns none
	// Instances are the ids of the instance that the event is about, or of the task's owner and of
	// its last owner before. No id is repeated. The caller of a command, if it is not one of these,
	// is only in the envelope's Actor.
	Instances []string
}

// First returns the id of the task, else of the first instance, else "".
func (s Subjects) First() string {
	if s.Task != "" || len(s.Instances) == 0 {
		return s.Task
	}
	return s.Instances[0]
}

// Concerns reports whether the event concerns an instance.
func (s Subjects) Concerns(instance string) bool { return slices.Contains(s.Instances, instance) }

// references are the members of a payload that hold the ids of its subjects.
type references struct {
	task      string
	instances []string
}

// referencesOf has the references of each type whose events concern a task or an instance. The
// events of a hook are all alike.
var referencesOf = map[Type]references{
	TypeInstanceRegistered:   {instances: []string{"id"}},
	TypeInstanceUnregistered: {instances: []string{"id"}},
	TypeInstanceFailed:       {instances: []string{"id"}},
	TypeLeaderElected:        {instances: []string{"id", "previous"}},
	TypeTaskCreated:          {task: "id", instances: []string{"assignedTo"}},
	TypeTaskUpdated:          {task: "id"},
	TypeTaskDeleted:          {task: "id", instances: []string{"previousAssignment"}},
	TypeTaskAssigned:         {task: "taskId", instances: []string{"instanceId", "previousAssignment"}},
	TypeTaskUnassigned:       {task: "taskId", instances: []string{"instanceId", "previousAssignment"}},
	TypeTaskClaimed:          {task: "taskId", instances: []string{"workerId", "previousAssignment"}},
	TypeTaskCompleted:        {task: "id", instances: []string{"workerId"}},
	TypeTaskFailed:           {task: "id", instances: []string{"workerId"}},
	TypeTaskDue:              {task: "id"},
	TypeTaskRetried:          {task: "id", instances: []string{"workerId"}},
	TypeTaskTimedOut:         {task: "id", instances: []string{"workerId"}},
	TypeTaskProgressed:       {task: "id", instances: []string{"workerId"}},
	TypeTaskCancelRequested:  {task: "id", instances: []string{"workerId"}},
	TypeTaskCancelled:        {task: "id", instances: []string{"workerId"}},
	TypeTaskUnblocked:        {task: "id"},
	TypeTaskBlocked:          {task: "id"},
	TypeTaskRevived:          {task: "id"},
	TypeBatchStarted:         {instances: []string{"processorId"}},
	TypeBatchProgressed:      {instances: []string{"processorId"}},
	TypeBatchCompleted:       {instances: []string{"processorId"}},
	TypeQuorumVoted:          {instances: []string{"instanceId"}},
	TypeTodoUpdated:          {instances: []string{"instanceId"}},
	TypeScheduleFired:        {task: "taskId"},
}

var referencesOfHooks = references{instances: []string{"instanceId"}}

// Subjects returns the task and the instances that the event concerns. An event of a type that this
// build does not know has none. It reads the payload only up to the last id, and does not check it.
func (e Envelope) Subjects() Subjects {
	refs, ok := referencesOf[e.Type]
	if !ok && strings.HasPrefix(string(e.Type), "hook.") {
		refs, ok = referencesOfHooks, true
	}
	var found Subjects
	if !ok {
		return found
	}
	missing := len(refs.instances)
	if refs.task != "" {
		missing++
	}
	ids := make([]string, len(refs.instances))
	for name, value := range jsontext.Members(e.Payload) {
		if missing == 0 {
			break
		}
		place := slices.Index(refs.instances, name)
		if place < 0 && (refs.task == "" || name != refs.task) {
			continue
		}
		missing--
		switch {
		case value[0] != '"': // null
		case place < 0:
			found.Task = jsontext.Unquote(value)
		default:
			ids[place] = jsontext.Unquote(value)
		}
	}
	for _, id := range ids {
		if id != "" && !slices.Contains(found.Instances, id) {
			found.Instances = append(found.Instances, id)
		}
	}
	return found
}

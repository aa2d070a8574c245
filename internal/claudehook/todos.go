package claudehook

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/jsontext"
)

// Change is what becomes of a session's list of todos.
type Change string

// The changes. NoChange is the zero value.
const (
	NoChange Change = ""
	Put      Change = "put"     // adds a todo or changes the one with its id
	Drop     Change = "drop"    // removes a todo
	Replace  Change = "replace" // replaces the list
)

// Todo is what a hook says about the todos of its session.
type Todo struct {
	Change Change
	// ID is the todo's id, as JSON; of Replace, the whole list as JSON, an array of events.Todo.
	ID string
	// Text is its text as JSON, "" if the hook says none.
	Text string
	// Status is its status, "" if the hook says none: then it does not change, and a new todo is
	// pending.
	Status string
	// Dropped counts the todos of Replace that were left out.
	Dropped int
}

const (
	// maxTodos is the maximum number of todos of a list.
	maxTodos = 200
	// maxTodoText is the maximum length of a todo's text in bytes.
	maxTodoText = 500
)

// Todo returns what the hook says about the todos of its session. With None it has no texts.
func (h *Hook) Todo(level Level) Todo {
	var t Todo
	switch {
	case h.SessionID == nil:
		return t
	case h.Type == events.TypeHookTaskCreated:
		t = put(h.member("task_id"), h.member("task_subject"), "")
	case h.Type == events.TypeHookTaskCompleted:
		t = put(h.member("task_id"), h.member("task_subject"), events.StatusCompleted)
	case h.Name == "PostToolUse" && h.Tool != nil:
		t = h.tool()
	}
	switch {
	case t.Change == Replace:
		t.ID, t.Dropped = list(find(h.Input, "todos"), level)
	case level == None:
		t.Text = ""
	}
	return t
}

// tool returns what a finished use of a tool says.
func (h *Hook) tool() Todo {
	switch *h.Tool {
	case "TaskCreate":
		task, subject := find(h.response, "task"), find(h.Input, "subject")
		return put(find(task, "id"), subject, "")
	case "TaskUpdate":
		if string(find(h.response, "success")) == "false" {
			return Todo{}
		}
		return update(find(h.Input, "taskId"), find(h.Input, "subject"), find(h.Input, "status"))
	case "TodoWrite":
		if todos := find(h.Input, "todos"); len(todos) > 0 && todos[0] == '[' {
			return Todo{Change: Replace}
		}
	}
	return Todo{}
}

// update returns the change by TaskUpdate.
func update(id, subject, status []byte) Todo {
	given := text(status)
	switch {
	case given == nil && text(subject) == nil:
		return Todo{}
	case given == nil:
		return put(id, subject, "")
	case *given == "deleted":
		if id := todoID(id); id != "" {
			return Todo{Change: Drop, ID: string(jsontext.Quote(id))}
		}
		return Todo{}
	case !isStatus(*given):
		return Todo{}
	}
	return put(id, subject, *given)
}

func isStatus(s string) bool {
	return s == events.StatusPending || s == events.StatusInProgress || s == events.StatusCompleted
}

// put returns a Put, or no change without an id.
func put(id, subject []byte, status string) Todo {
	known := todoID(id)
	if known == "" {
		return Todo{}
	}
	t := Todo{Change: Put, ID: string(jsontext.Quote(known)), Status: status}
	if s := text(subject); s != nil && *s != "" {
		t.Text = todoText(*s)
	}
	return t
}

// todoID returns the id of a todo, which may be a number, or "".
func todoID(value []byte) string {
	if s := identifier(value); s != nil {
		return *s
	}
	if len(value) > 0 && len(value) <= maxWord && (value[0] == '-' || value[0] >= '0' && value[0] <= '9') {
		return string(value)
	}
	return ""
}

// todoText returns the text of a todo as JSON, cut between two characters.
func todoText(s string) string {
	if n := maxTodoText; len(s) > n {
		for !utf8.RuneStart(s[n]) {
			n--
		}
		s = s[:n]
	}
	return string(jsontext.Quote(s))
}

// list returns the todos of TodoWrite in the form of events.Todo. A todo without an id has its place
// in the list as its id.
func list(todos []byte, level Level) (array string, dropped int) {
	var b strings.Builder
	count, used := 0, map[string]bool{}
	for item := range jsontext.Elements(todos) {
		count++
		if count > maxTodos {
			dropped++
			continue
		}
		id := todoID(find(item, "id"))
		if id == "" || used[id] {
			for id = strconv.Itoa(count); used[id]; {
				id += "'"
			}
		}
		used[id] = true
		words, status := `""`, events.StatusPending
		if s := text(find(item, "content")); s != nil && level != None {
			words = todoText(*s)
		}
		if s := text(find(item, "status")); s != nil && isStatus(*s) {
			status = *s
		}
		if count > 1 {
			b.WriteByte(',')
		}
		b.WriteString(`{"id":` + string(jsontext.Quote(id)) + `,"text":` + words + `,"status":"` + status + `"}`)
	}
	return "[" + b.String() + "]", dropped
}

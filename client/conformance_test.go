package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/claudebench/claudebench/client"
	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/config"
)

// conformance is a case of testdata/conformance.json. examples/node runs the same ones with the
// TypeScript client.
type conformance struct {
	Name, Method string
	Params       json.RawMessage
	// Save names members of the result that later cases use: $name is the member at a path.
	Save   map[string]string
	Result any
	Error  *struct {
		Code       int
		Reason, Is string
	}
}

// kinds are what a client can ask about an error.
var kinds = map[string]func(error) bool{
	"conflict":      func(err error) bool { return client.IsConflict(err) },
	"invalidParams": client.IsInvalidParams,
	"leaseLost":     client.IsLeaseLost,
	"notFound":      client.IsNotFound,
	"notRegistered": client.IsNotRegistered,
	"rateLimited":   func(err error) bool { return client.IsRateLimited(err) && client.RetryAfter(err) > 0 },
	"unavailable":   func(err error) bool { return client.IsUnavailable(err) && !client.OutcomeUnknown(err) },
}

// with decodes params strictly and makes a typed call.
func with[P, R any](call func(context.Context, P) (R, error)) func(context.Context, []byte) (any, error) {
	return func(ctx context.Context, text []byte) (any, error) {
		var p P
		d := json.NewDecoder(bytes.NewReader(text))
		d.DisallowUnknownFields()
		if err := d.Decode(&p); err != nil {
			return nil, fmt.Errorf("the Go type lacks a param: %w", err)
		}
		return call(ctx, p)
	}
}

// typed returns the typed methods of a client.
func typed(c *client.Client) map[string]func(context.Context, []byte) (any, error) {
	type id struct {
		ID         client.TaskID
		TaskID     client.TaskID
		InstanceID client.ID
		Detailed   bool
		Domain     string
		Tasks      []client.CreateTaskParams
		Items      []client.CompleteTaskParams
		Hook       client.Object
		Seq        int64
		Key        string
	}
	return map[string]func(context.Context, []byte) (any, error){
		"system.register":      with(c.Register),
		"system.heartbeat":     with(func(ctx context.Context, p id) (any, error) { return c.Heartbeat(ctx, p.InstanceID) }),
		"system.unregister":    with(c.Unregister),
		"system.health":        with(func(ctx context.Context, _ id) (any, error) { return c.Health(ctx) }),
		"system.check_health":  with(c.CheckHealth),
		"system.metrics":       with(func(ctx context.Context, p id) (any, error) { return c.Metrics(ctx, p.Detailed) }),
		"system.get_state":     with(c.GetState),
		"system.info":          with(func(ctx context.Context, _ id) (any, error) { return c.Info(ctx) }),
		"system.subscribers":   with(func(ctx context.Context, _ id) (any, error) { return c.Subscribers(ctx) }),
		"system.batch.process": with(c.ProcessBatch),
		"system.quorum.vote":   with(c.QuorumVote),
		"system.discover":      with(func(ctx context.Context, p id) (any, error) { return c.Discover(ctx, p.Domain) }),
		"rpc.discover":         with(func(ctx context.Context, _ id) (any, error) { return c.OpenRPC(ctx) }),
		"system.flush":         with(c.Flush),
		"task.create":          with(c.CreateTask),
		"task.create_many":     with(func(ctx context.Context, p id) (any, error) { return c.CreateTasks(ctx, p.Tasks...) }),
		"task.update":          with(c.UpdateTask),
		"task.assign":          with(c.AssignTask),
		"task.unassign":        with(func(ctx context.Context, p id) (any, error) { return c.UnassignTask(ctx, p.TaskID) }),
		"task.claim":           with(c.ClaimTask),
		"task.complete":        with(c.CompleteTask),
		"task.complete_many":   with(func(ctx context.Context, p id) (any, error) { return c.CompleteTasks(ctx, p.Items...) }),
		"task.progress":        with(c.Progress),
		"task.cancel":          with(c.CancelTask),
		"task.retry":           with(c.RetryTask),
		"task.cancel_many":     with(c.CancelTasks),
		"task.retry_many":      with(c.RetryTasks),
		"task.delete_many":     with(c.DeleteTasks),
		"limit.set":            with(c.SetLimit),
		"limit.list":           with(func(ctx context.Context, _ id) (any, error) { return c.ListLimits(ctx) }),
		"limit.delete":         with(func(ctx context.Context, p id) (any, error) { return c.DeleteLimit(ctx, p.Key) }),
		"task.list":            with(c.ListTasks),
		"task.get":             with(func(ctx context.Context, p id) (any, error) { return c.GetTask(ctx, p.ID) }),
		"task.history":         with(c.TaskHistory),
		"instance.history":     with(c.InstanceHistory),
		"event.list":           with(c.ListEvents),
		"schedule.put":         with(c.PutSchedule),
		"schedule.get":         with(func(ctx context.Context, p id) (any, error) { return c.GetSchedule(ctx, client.ID(p.ID)) }),
		"schedule.list":        with(c.ListSchedules),
		"schedule.delete":      with(func(ctx context.Context, p id) (any, error) { return c.DeleteSchedule(ctx, client.ID(p.ID)) }),
		"session.list":         with(c.ListSessions),
		"session.get":          with(func(ctx context.Context, p id) (any, error) { return c.GetSession(ctx, client.ID(p.ID)) }),
		"event.get":            with(func(ctx context.Context, p id) (any, error) { return c.GetEvent(ctx, p.Seq) }),
		"hook.record":          with(func(ctx context.Context, p id) (any, error) { return c.RecordHook(ctx, p.Hook) }),
		"queue.pause":          with(c.PauseQueue),
		"queue.resume":         with(c.ResumeQueue),
		"audit.verify":         with(func(ctx context.Context, _ id) (any, error) { return c.VerifyLog(ctx) }),
		"audit.diff":           with(c.Diff),
		"audit.status":         with(func(ctx context.Context, _ id) (any, error) { return c.AuditStatus(ctx) }),
		"task.delete":          with(func(ctx context.Context, p id) (any, error) { return c.DeleteTask(ctx, p.ID) }),
	}
}

// difference returns where got lacks something of want, or "". Members of got that want lacks do not
// matter.
func difference(want, got any, path string) string {
	switch want := want.(type) {
	case map[string]any:
		members, ok := got.(map[string]any)
		if !ok {
			return fmt.Sprintf("%s is %v, want an object", path, got)
		}
		for name, member := range want {
			found, there := members[name]
			if !there && member != nil {
				return fmt.Sprintf("%s.%s is missing", path, name)
			}
			if d := difference(member, found, path+"."+name); d != "" {
				return d
			}
		}
		return ""
	case []any:
		elements, ok := got.([]any)
		if !ok || len(elements) != len(want) {
			return fmt.Sprintf("%s is %v, want %v", path, got, want)
		}
		for i := range want {
			if d := difference(want[i], elements[i], fmt.Sprintf("%s.%d", path, i)); d != "" {
				return d
			}
		}
		return ""
	}
	if !reflect.DeepEqual(want, got) {
		return fmt.Sprintf("%s is %v, want %v", path, got, want)
	}
	return ""
}

// member returns the text at a path, such as answers.0.id.
func member(of any, path string) string {
	for name := range strings.SplitSeq(path, ".") {
		switch at := of.(type) {
		case map[string]any:
			of = at[name]
		case []any:
			if i, err := strconv.Atoi(name); err == nil && i < len(at) {
				of = at[i]
			}
		}
	}
	return fmt.Sprint(of)
}

// wrong returns what is wrong with how the client makes a call of a case, or "".
func (c conformance) wrong(ctx context.Context, calls map[string]func(context.Context, []byte) (any, error), saved map[string]string) string {
	result, err := calls[c.Method](ctx, c.Params)
	if c.Error == nil {
		var got any
		text, failed := json.Marshal(result)
		if err != nil || failed != nil || json.Unmarshal(text, &got) != nil {
			return fmt.Sprint(err, failed)
		}
		for name, path := range c.Save {
			saved["$"+name] = member(got, path)
		}
		return difference(c.Result, got, "result")
	}
	e, ok := err.(*client.Error) //nolint:errorlint // the typed methods return it unwrapped
	switch {
	case !ok:
		return fmt.Sprintf("error %v, want code %d", err, c.Error.Code)
	case e.Code != c.Error.Code || client.ConflictReason(err) != c.Error.Reason:
		return err.Error()
	case !kinds[c.Error.Is](err):
		return fmt.Sprintf("%v is not %s", err, c.Error.Is)
	}
	return ""
}

// conformanceSettings are those of the coordinators that the clients are tested against.
func conformanceSettings(t *testing.T) *config.Config {
	return settings(t, func(cfg *config.Config) {
		cfg.RateLimits = config.RateLimits{Off: true, Methods: map[string]int{"system.discover": 1}}
	})
}

func TestConformance(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/conformance.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []json.RawMessage
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	calls := typed(dial(t, start(t, conformanceSettings(t)).url))
	used, saved := map[string]bool{}, map[string]string{}
	for _, text := range cases {
		for name, id := range saved {
			text = bytes.ReplaceAll(text, []byte(`"`+name+`"`), []byte(`"`+id+`"`))
		}
		var c conformance
		if err := json.Unmarshal(text, &c); err != nil {
			t.Fatal(err)
		}
		used[c.Method] = true
		if wrong := c.wrong(t.Context(), calls, saved); wrong != "" {
			t.Errorf("%s (%s): %s", c.Name, c.Method, wrong)
		}
	}
	list, err := commands.Methods()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range list {
		if !used[m.Name] {
			t.Errorf("no case calls %s", m.Name)
		}
	}
}

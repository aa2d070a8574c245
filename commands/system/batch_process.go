package system

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/breaker"
	"github.com/claudebench/claudebench/internal/command"
	"github.com/claudebench/claudebench/internal/jsontext"
	"github.com/claudebench/claudebench/internal/params"
	"github.com/claudebench/claudebench/lua"
)

// ProcessBatchParams are the params of system.batch.process.
type ProcessBatchParams struct {
	BatchID    api.ID      `json:"batchId" jsonschema:"the batch's id; a call with the same id and items continues the batch"`
	InstanceID api.ID      `json:"instanceId" jsonschema:"the instance that processes it"`
	Items      []api.Value `json:"items" jsonschema:"an object with text is a task {text, priority, metadata}; anything else becomes metadata.item of one"`
}

// ProcessBatchResult is the result of system.batch.process. Processed is false while the batch is
// under way: another instance has its lock, the call's time was over, Redis went away, or the next
// items were refused for Reason.
type ProcessBatchResult struct {
	Processed      bool   `json:"processed"`
	ProcessorID    string `json:"processorId"`
	ItemsProcessed int    `json:"itemsProcessed"`
	Total          int    `json:"total"`
	Reason         string `json:"reason,omitempty" jsonschema:"why the next items were refused, in the words of a conflict's data; resolve it before calling again"`
}

// batchTask is an item that is a task.
type batchTask struct {
	Text     string     `json:"text"`
	Priority *int       `json:"priority,omitempty"`
	Metadata api.Object `json:"metadata,omitempty"`
}

type coordinateBatchArgs struct {
	Batch, Instance, Digest string
	Total                   int
	Agent                   string
}

type processBatchChunkArgs struct {
	Context, Batch, Token string
	Progress              int
	Creator, Agent        string
	Items                 []any // of each its text, priority, metadata and set of roles
}

var (
	coordinateBatch   = lua.Bind[coordinateBatchArgs]("coordinate_batch")
	processBatchChunk = lua.Bind[processBatchChunkArgs]("process_batch_chunk")
)

const (
	maxBatchItems = 10_000
	// batchChunk is how many items become tasks in one step, so that Redis serves others in
	// between.
	batchChunk = 50
	// batchReserve is left of the call's time when it answers how far it has got, rather than be
	// cut off.
	batchReserve = time.Second
	maxBatchSets = 64 // of roles, as many as there may be in all
)

func batchProcessMethod() (*command.Method, error) {
	items, err := params.New[batchTask](func(p map[string]*jsonschema.Schema) {
		params.Text(p["text"])
		params.Priority(p["priority"])
		params.Metadata(p["metadata"])
	})
	if err != nil {
		return nil, fmt.Errorf("items of system.batch.process: %w", err)
	}
	return command.New[ProcessBatchParams, ProcessBatchResult](command.Spec{
		Name: "system.batch.process",
		Description: "Create a task for each item, exactly once. While another instance processes the batch, processed is false, with its id " +
			"and how far it is. To go on with a batch that was left, or to see that it is finished, make the same call again; a " +
			"batch is known for 7 days after its last step.",
		Limit:   10,
		Timeout: 30 * time.Second,
		Breaker: breaker.Setting{Failures: 3, Open: 60 * time.Second},
		Roles:   command.Writers,
		Effect:  command.Adds,
		Refine: func(p map[string]*jsonschema.Schema) {
			p["items"].MinItems, p["items"].MaxItems = new(1), new(maxBatchItems)
		},
	}, func(ctx context.Context, c *command.Call, p *ProcessBatchParams) (json.RawMessage, error) {
		tasks, err := batchTasks(items, p)
		if err != nil {
			return nil, err
		}
		return processBatch(ctx, c, p, tasks)
	})
}

// batchTasks are the arguments of the tasks that the items become: text, priority, metadata and set
// of roles of each.
func batchTasks(items *params.Decoder[batchTask], p *ProcessBatchParams) ([]any, error) {
	args := make([]any, 0, 4*len(p.Items))
	sets := map[string]bool{}
	for i, item := range p.Items {
		if !isTask(item) {
			metadata := append(append([]byte(`{"item":`), item...), '}')
			args = append(args, fmt.Sprintf("batch %s item %d of %d", p.BatchID, i+1, len(p.Items)), params.DefaultPriority, metadata, "")
			continue
		}
		t, wrong := items.DecodeItem(item)
		if wrong != "" {
			return nil, api.InvalidParams(fmt.Sprintf("items parameter is not valid: item %d: %s", i, wrong))
		}
		priority, set := params.DefaultPriority, params.RoleSet(t.Metadata)
		if t.Priority != nil {
			priority = *t.Priority
		}
		if set != "" {
			sets[set] = true
		}
		args = append(args, t.Text, priority, []byte(t.Metadata), set)
	}
	if len(sets) > maxBatchSets {
		return nil, api.InvalidParams(fmt.Sprintf("items parameter must ask for at most %d different sets of roles, and asks for %d", maxBatchSets, len(sets)))
	}
	return args, nil
}

// isTask reports whether an item is an object with a text.
func isTask(item api.Value) bool {
	if !strings.HasPrefix(string(item), "{") {
		return false
	}
	for name := range jsontext.Members(item) {
		if name == "text" {
			return true
		}
	}
	return false
}

// processBatch takes the batch's lock and works through the items from where the last one to have
// it has got to. What it leaves, a failure or the end of its time included, the next call goes on
// with. It has begun when it has the lock: if Redis goes away or refuses a chunk after that, the
// result is how far it has got, since an error would mean that nothing changed.
func processBatch(ctx context.Context, c *command.Call, p *ProcessBatchParams, tasks []any) (json.RawMessage, error) {
	digest, err := digestOf(p.Items)
	if err != nil {
		return nil, err
	}
	instance := string(p.InstanceID)
	reply, err := command.Run(ctx, c, coordinateBatch, instance, coordinateBatchArgs{
		Batch: string(p.BatchID), Instance: instance, Digest: digest, Total: len(p.Items), Agent: c.Agent(),
	})
	if err != nil {
		return nil, err
	}
	token, done, answer, err := taken(reply)
	if err != nil || answer != nil {
		return answer, err
	}
	soFar := func(reason string) (json.RawMessage, error) {
		return json.Marshal(ProcessBatchResult{ProcessorID: instance, ItemsProcessed: done, Total: len(p.Items), Reason: reason})
	}
	for {
		last := min(done+batchChunk, len(p.Items))
		answer, err := processChunk(ctx, c, p, token, done, tasks[4*done:4*last])
		if errors.Is(err, lua.ErrUnavailable) {
			return soFar("")
		}
		if reason := conflictReason(err); reason != "" {
			return soFar(reason)
		}
		if err != nil || answer != nil {
			return answer, err
		}
		done = last
		if deadline, ok := ctx.Deadline(); ctx.Err() != nil || ok && time.Until(deadline) < batchReserve {
			return soFar("")
		}
	}
}

// processChunk makes tasks of the items that follow the first done ones. Its answer is nil while
// there is more to do.
func processChunk(ctx context.Context, c *command.Call, p *ProcessBatchParams, token string, done int, tasks []any) (json.RawMessage, error) {
	reply, err := processBatchChunk.Run(ctx, c.Scripts(), processBatchChunkArgs{
		Context: c.EventContext(string(p.InstanceID), c.Cause), Batch: string(p.BatchID), Token: token, Progress: done,
		Creator: c.Caller, Agent: c.Agent(), Items: tasks,
	})
	if err != nil || reply == "" {
		return nil, err
	}
	text, ok := reply.(string)
	if !ok {
		return nil, fmt.Errorf("script %s returned %T, not text", processBatchChunk.Name, reply)
	}
	return json.RawMessage(text), nil
}

// conflictReason is the reason of a conflict that a script returned; "" for any other error.
func conflictReason(err error) string {
	var refused *lua.Error
	var detail struct {
		Reason string `json:"reason"`
	}
	if !errors.As(err, &refused) || refused.Code != "CONFLICT" || json.Unmarshal([]byte(refused.Detail), &detail) != nil {
		return ""
	}
	return detail.Reason
}

// taken reads the reply of coordinate_batch: a token and how many items are done, or the answer of
// the call.
func taken(reply any) (token string, done int, answer json.RawMessage, err error) {
	list, ok := reply.([]any)
	if ok && len(list) == 1 {
		text, _ := list[0].(string)
		return "", 0, json.RawMessage(text), nil
	}
	if !ok || len(list) != 3 {
		return "", 0, nil, fmt.Errorf("script %s returned %v", coordinateBatch.Name, reply)
	}
	if _, err = fmt.Sscan(fmt.Sprint(list[2]), &done); err != nil {
		return "", 0, nil, fmt.Errorf("script %s returned the progress %v: %w", coordinateBatch.Name, list[2], err)
	}
	return fmt.Sprint(list[1]), done, nil, nil
}

// digestOf knows items again, whatever order the members of objects are in.
func digestOf(items []api.Value) (string, error) {
	all := make([]json.RawMessage, len(items))
	for i, item := range items {
		canonical, err := jsontext.Canonical(item)
		if err != nil {
			return "", fmt.Errorf("digest of item %d: %w", i, err)
		}
		all[i] = canonical
	}
	text, err := json.Marshal(all)
	return command.Digest(string(text)), err
}

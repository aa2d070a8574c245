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

// batchTask is an item that describes a task.
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
	Items                 []any // text, priority, metadata and set of roles of each item
}

var (
	coordinateBatch   = lua.Bind[coordinateBatchArgs]("coordinate_batch")
	processBatchChunk = lua.Bind[processBatchChunkArgs]("process_batch_chunk")
)

const (
	maxBatchItems = 10_000
	// batchChunk is the number of items that become tasks in one step. Redis serves other callers
	// between the steps.
	batchChunk = 50
	// batchReserve is the part of the call's time that is kept for the answer. The call returns its
	// progress before its time is over.
	batchReserve = time.Second
	maxBatchSets = 64 // sets of roles; no more can be in use in all
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
	return command.New[api.ProcessBatchParams, api.ProcessBatchResult](command.Spec{
		Name: "system.batch.process",
		Description: "Create a task for each item, exactly once. While another instance processes the batch, processed is false, and the " +
			"result has that instance's id and its progress. To continue a batch that was left, or to see whether it is finished, " +
			"repeat the call. A batch is known for 7 days after its last step.",
		Limit:   10,
		Timeout: 30 * time.Second,
		Breaker: breaker.Setting{Failures: 3, Open: 60 * time.Second},
		Roles:   command.Writers,
		Effect:  command.Adds,
		Refine: func(p map[string]*jsonschema.Schema) {
			p["items"].MinItems, p["items"].MaxItems = new(1), new(maxBatchItems)
		},
	}, func(ctx context.Context, c *command.Call, p *api.ProcessBatchParams) (json.RawMessage, error) {
		tasks, err := batchTasks(items, p)
		if err != nil {
			return nil, err
		}
		return processBatch(ctx, c, p, tasks)
	})
}

// batchTasks returns the script's arguments for the items: text, priority, metadata and set of
// roles of each.
func batchTasks(items *params.Decoder[batchTask], p *api.ProcessBatchParams) ([]any, error) {
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
		set := params.RoleSet(t.Metadata)
		if set != "" {
			sets[set] = true
		}
		args = append(args, t.Text, params.Or(t.Priority, params.DefaultPriority), []byte(t.Metadata), set)
	}
	if len(sets) > maxBatchSets {
		return nil, api.InvalidParams(fmt.Sprintf("items parameter must require at most %d different sets of roles, but requires %d", maxBatchSets, len(sets)))
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

// processBatch takes the lock of the batch and processes the items that follow the batch's
// progress. The next call continues after a failure, and after the end of the call's time. The
// batch has begun once this call has the lock. If Redis becomes unavailable or refuses a chunk
// after that, the result is the progress, because an error would mean that nothing changed.
func processBatch(ctx context.Context, c *command.Call, p *api.ProcessBatchParams, tasks []any) (json.RawMessage, error) {
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
		return json.Marshal(api.ProcessBatchResult{ProcessorID: instance, ItemsProcessed: done, Total: len(p.Items), Reason: reason})
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

// processChunk creates tasks from the items that follow the first done ones. The answer is nil if
// items are left.
func processChunk(ctx context.Context, c *command.Call, p *api.ProcessBatchParams, token string, done int, tasks []any) (json.RawMessage, error) {
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

// conflictReason returns the reason of a conflict that a script returned, or "" for any other
// error.
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

// taken parses the reply of coordinate_batch: a token and the number of processed items, or the
// answer to the call.
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

// digestOf returns a digest of items that does not depend on the order of the members of objects.
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

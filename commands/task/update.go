package task

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/breaker"
	"github.com/claudebench/claudebench/internal/command"
	"github.com/claudebench/claudebench/internal/jsontext"
	"github.com/claudebench/claudebench/internal/params"
	"github.com/claudebench/claudebench/lua"
)

// updateTaskArgs are the arguments of the script. Nil and empty mean unchanged. Members holds the
// metadata members that the call changes, Read the metadata that the task had, and Metadata the
// result of merging them.
type updateTaskArgs struct {
	ID                      string
	Text                    *string
	Priority                *int
	Status                  *string
	Metadata, Members, Read []byte
	Roleset                 string
	Actor                   []byte // JSON
	Retention               int64  // ms
	Agent                   string
}

var updateTask = lua.Bind[updateTaskArgs]("update_task")

// statuses are the statuses that a task can have.
var statuses = []string{"pending", "in_progress", "completed", "failed"}

func (o Options) updateMethod() (*command.Method, error) {
	return command.New[api.UpdateTaskParams, api.Task](command.Spec{
		Name:        "task.update",
		Description: "Change a task's text, priority, metadata (merged) or status. The status of a finished task does not change.",
		Limit:       6000,
		Timeout:     5 * time.Second,
		Breaker:     breaker.Setting{Failures: 5, Open: 30 * time.Second},
		Roles:       command.Writers,
		Effect:      command.Destroys,
		LongAnswers: true,
		Refine: func(p map[string]*jsonschema.Schema) {
			u := p["updates"]
			u.MinProperties = new(1)
			params.Text(u.Properties["text"])
			params.Priority(u.Properties["priority"])
			params.Metadata(u.Properties["metadata"])
			params.Enum(u.Properties["status"], statuses...)
		},
	}, o.update)
}

// maxMetadata is the maximum size of a task's metadata after a merge, in bytes. The maximum size of
// a request body already bounds the metadata of one call.
const maxMetadata = 1 << 20

// maxMerges is the maximum number of attempts to merge metadata. Another attempt is necessary if
// another call has changed the metadata between the read and the write.
const maxMerges = 20

func (o Options) update(ctx context.Context, c *command.Call, p *api.UpdateTaskParams) (json.RawMessage, error) {
	u := p.Updates
	if u.Text == nil && u.Status == nil && u.Priority == nil && u.Metadata == nil {
		return nil, api.InvalidParams("updates parameter must contain at least one of text, status, priority, metadata")
	}
	if u.Status != nil {
		defer o.Timers.Look() // for the tasks that depend on it
	}
	for range maxMerges {
		read, merged, roles, err := mergeMetadata(ctx, c, p.ID, u.Metadata)
		if err != nil {
			return nil, err
		}
		result, err := command.Decide(ctx, c, updateTask, "", updateTaskArgs{
			ID: string(p.ID), Text: u.Text, Priority: u.Priority, Status: u.Status, Metadata: merged, Members: u.Metadata, Read: read,
			Roleset: roles, Actor: jsontext.Quote(c.Actor("")), Retention: o.Retention.Milliseconds(), Agent: c.Agent(),
		})
		var changed *lua.Error
		if !errors.As(err, &changed) || changed.Code != "METADATA_CHANGED" {
			return result, err
		}
	}
	return nil, &api.Error{Code: api.CodeConflict, Message: "Conflict", Data: map[string]any{"reason": "METADATA_CHANGED"}}
}

// mergeMetadata reads the metadata of a task and merges changes into it. The script compares the
// task's metadata with what was read, so that no change of another call is lost.
func mergeMetadata(ctx context.Context, c *command.Call, id api.TaskID, changes api.Object) (read, merged []byte, roles string, err error) {
	if changes == nil {
		return nil, nil, "", nil
	}
	reply, err := command.Run(ctx, c, getTask, "", getTaskArgs{ID: string(id)})
	if err != nil {
		return nil, nil, "", err
	}
	text, _ := reply.(string)
	var task struct {
		Metadata json.RawMessage `json:"metadata"`
	}
	if err := json.Unmarshal([]byte(text), &task); err != nil {
		return nil, nil, "", fmt.Errorf("decode the task that get_task returned: %w", err)
	}
	if string(task.Metadata) != "null" {
		read = task.Metadata
	}
	if merged = jsontext.Merge(read, changes); len(merged) > maxMetadata {
		return nil, nil, "", api.InvalidParams("updates.metadata parameter: the merged metadata would exceed 1 MiB")
	}
	return read, merged, params.RoleSet(merged), nil
}

package system

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/claudebench/claudebench/internal/answers"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/breaker"
	"github.com/claudebench/claudebench/internal/command"
	"github.com/claudebench/claudebench/internal/jsontext"
	"github.com/claudebench/claudebench/internal/params"
	"github.com/claudebench/claudebench/internal/past"
	"github.com/claudebench/claudebench/internal/position"
	"github.com/claudebench/claudebench/lua"
)

type getSystemStateArgs struct {
	TTL  int64 // ms
	Most int   // entries of each list
	Room int   // bytes of each list
}

var getSystemState = lua.Bind[getSystemStateArgs]("get_system_state")

// snapshotTimeout is how long a call without at may take.
const snapshotTimeout = 5 * time.Second

// maxState is the maximum size of the answer in bytes: half a MiB for each of the three lists, and
// the last entry of each, which may exceed that.
const maxState = 8 << 20

// The lists of a snapshot are cut after so many entries and bytes. Over MCP a model reads them, and
// all three together take less than 5,000 tokens of its context, unless an entry is long.
const (
	stateLimit, stateBytes       = 200, 512 << 10
	mcpStateLimit, mcpStateBytes = 10, 5 << 10
)

func (o Options) getStateMethod() (*command.Method, error) {
	return command.New[api.GetStateParams, api.GetStateResult](command.Spec{
		Name: "system.get_state",
		Description: "Read a snapshot of one moment: up to 200 open tasks, up to 200 live instances, and the last 100 events, at most about " +
			"half a megabyte each. Over MCP without a limit, ten of each, and at most about 5 kB. Empty lists are left out.",
		Limit:   50,
		Timeout: past.Timeout,
		Breaker: breaker.Setting{Failures: 5, Open: 30 * time.Second},
		Roles:   command.Readers,
		Effect:  command.Reads,
		// An agent asks what is; what was is for auditors.
		MCPHidden: []string{"at"},
		Refine: func(p map[string]*jsonschema.Schema) {
			params.Between(p["limit"], 1, stateLimit)
			p["at"].MaxLength = new(position.MaxLength)
		},
	}, o.getState)
}

func (o Options) getState(ctx context.Context, c *command.Call, p *api.GetStateParams) (json.RawMessage, error) {
	if p.At != "" {
		return o.getPast(ctx, c, p)
	}
	ctx, cancel := context.WithTimeout(ctx, snapshotTimeout) // the timeout of the method is that of a fold
	defer cancel()
	args := getSystemStateArgs{TTL: o.InstanceTTL.Milliseconds(), Most: stateLimit, Room: stateBytes}
	switch {
	case p.Limit != nil:
		args.Most = *p.Limit
	case c.MCP:
		args.Most, args.Room = mcpStateLimit, mcpStateBytes
	}
	if err := answers.Reserve(ctx, maxState); err != nil {
		return nil, err
	}
	reply, err := command.Run(ctx, c, getSystemState, "", args)
	if err != nil {
		return nil, err
	}
	values, ok := reply.([]any)
	if !ok || len(values) != 6 {
		return nil, fmt.Errorf("get_system_state returned %T, not six values", reply)
	}
	tasks, instances, events := texts(values[0]), texts(values[2]), texts(values[4])
	allTasks, _ := values[1].(int64)
	allInstances, _ := values[3].(int64)

	var b bytes.Buffer
	list := func(name string, items []string) {
		if len(items) > 0 {
			fmt.Fprintf(&b, `,"%s":[`, name)
			for i, item := range items {
				if i > 0 {
					b.WriteByte(',')
				}
				b.WriteString(item)
			}
			b.WriteByte(']')
		}
	}
	list("tasks", tasks)
	list("instances", instances)
	list("pauses", texts(values[5]))
	list("recentEvents", envelopes(events))
	if int(allTasks) > len(tasks) || int(allInstances) > len(instances) {
		fmt.Fprintf(&b, `,"totals":{"tasks":%d,"instances":%d}`, allTasks, allInstances)
	}
	if b.Len() == 0 {
		return json.RawMessage(`{}`), nil
	}
	b.WriteByte('}')
	b.Bytes()[0] = '{'
	return b.Bytes(), nil
}

// getPast returns the state at a position in the log.
func (o Options) getPast(ctx context.Context, c *command.Call, p *api.GetStateParams) (json.RawMessage, error) {
	if err := c.MustHave(command.Auditors, "system.get_state with at"); err != nil {
		return nil, err
	}
	at, err := position.Parse(p.At)
	if err != nil {
		return nil, api.InvalidParams("at parameter: " + err.Error())
	}
	// The script counts the call. The fold reads the log by itself.
	if _, err := command.Run(ctx, c, getSystemState, "", getSystemStateArgs{TTL: o.InstanceTTL.Milliseconds(), Most: 1, Room: 1}); err != nil {
		return nil, err
	}
	if err := answers.Reserve(ctx, past.MaxAnswer); err != nil {
		return nil, err
	}
	state, err := o.Past.State(ctx, at, params.Or(p.Limit, past.Limit))
	if err != nil {
		return nil, err
	}
	return jsontext.Marshal(api.GetStateResult{Past: state})
}

// envelopes drops the entries that are not events, because another program may have written to the
// log.
func envelopes(events []string) []string {
	kept := events[:0]
	for _, e := range events {
		if strings.HasPrefix(e, `{"id":`) && json.Valid([]byte(e)) {
			kept = append(kept, e)
		}
	}
	return kept
}

// texts returns the strings of an array in a reply.
func texts(reply any) []string {
	values, _ := reply.([]any)
	list := make([]string, 0, len(values))
	for _, v := range values {
		if s, ok := v.(string); ok {
			list = append(list, s)
		}
	}
	return list
}

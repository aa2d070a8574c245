package task

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
	"golang.org/x/sync/semaphore"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/breaker"
	"github.com/claudebench/claudebench/internal/command"
	"github.com/claudebench/claudebench/internal/params"
	"github.com/claudebench/claudebench/internal/waiting"
	"github.com/claudebench/claudebench/lua"
)

type claimTaskArgs struct {
	Key, Digest, Worker string
	Most                int
	Agent               string
	Hold                int64 // ms
}

const (
	// maxClaimed is the maximum number of tasks that a call may claim.
	maxClaimed = 100
	// maxClaimedInLot is the maximum number of tasks that a call may claim if it shares an EVALSHA
	// with other calls. Larger claims have an EVALSHA of their own.
	maxClaimedInLot = 10
	// maxWait is the longest waitMs.
	maxWait = 60_000
	// maxWaitOverMCP is the longest time that a call over MCP waits. Claude Code gives up a call of a
	// tool that has no response after 60 s.
	maxWaitOverMCP = 50 * time.Second
	// maxWaitingInBatches is the maximum number of calls in JSON-RPC batches that wait at once, so
	// that other batches keep goroutines. Further ones do not wait.
	maxWaitingInBatches = 1024
)

var (
	claimTask      = lua.Bind[claimTaskArgs]("claim_task")
	claimManyTasks = claimTask.Alone()
)

func (o Options) claimMethod() (*command.Method, error) {
	batched := semaphore.NewWeighted(maxWaitingInBatches)
	return command.New[api.ClaimTaskParams, api.ClaimTaskResult](command.Spec{
		Name: "task.claim",
		Description: "Take tasks to work on: those assigned to it first, then the best ones. waitMs waits for one. Pass the attempt of each " +
			"task to task.complete; it proves the ownership.",
		Limit:       6000,
		Timeout:     5 * time.Second,
		Breaker:     breaker.Setting{Failures: 10, Open: 30 * time.Second},
		Roles:       command.Writers,
		Effect:      command.Adds,
		LongAnswers: true,
		Refine: func(p map[string]*jsonschema.Schema) {
			params.Between(p["maxTasks"], 1, maxClaimed)
			params.Between(p["waitMs"], 0, maxWait)
			params.IdempotencyKey(p["idempotencyKey"])
		},
	}, func(ctx context.Context, c *command.Call, p *api.ClaimTaskParams) (json.RawMessage, error) {
		most := params.Or(p.MaxTasks, 1)
		key, digest, err := c.Idempotency(p.IdempotencyKey)
		if err != nil {
			return nil, err
		}
		worker := string(p.WorkerID)
		script := claimTask
		if most > maxClaimedInLot {
			script = claimManyTasks
		}
		args := claimTaskArgs{Key: key, Digest: digest, Worker: worker, Most: most, Agent: c.Agent()}
		if p.Waits() == 0 {
			return command.Decide(ctx, c, script, worker, args)
		}
		if c.Batched {
			if !batched.TryAcquire(1) {
				return c.Guard(ctx, func() (json.RawMessage, error) { return command.Decide(ctx, c, script, worker, args) })
			}
			defer batched.Release(1)
		}
		wait := p.Waits()
		if c.MCP {
			wait = min(wait, maxWaitOverMCP)
		}
		return o.waitForTask(ctx, c, script, wait, args)
	})
}

// waitForTask claims tasks as soon as there is one, within a time that begins when the request
// arrived.
func (o Options) waitForTask(ctx context.Context, c *command.Call, script lua.Bound[claimTaskArgs], wait time.Duration, args claimTaskArgs) (json.RawMessage, error) {
	began := time.Now()
	working := time.Duration(0)
	args.Hold = waiting.Hold.Milliseconds()
	reply, err := o.Waiting.Claim(ctx, args.Worker, c.Received.Add(wait), args.Key != "", func(ctx context.Context) (r waiting.Reply, err error) {
		ctx, cancel := context.WithTimeoutCause(ctx, c.Timeout(), command.ErrTimeout)
		defer cancel()
		attempted := time.Now()
		defer func() { working += time.Since(attempted) }()
		_, err = c.Guard(ctx, func() (json.RawMessage, error) {
			reply, err := command.Run(ctx, c, script, args.Worker, args)
			if err == nil {
				r, err = claimReply(reply)
			}
			return nil, err
		})
		return r, err
	})
	c.Wait(time.Since(began) - working)
	return reply.Result, err
}

// claimReply reads the reply of an attempt that waits.
func claimReply(reply any) (waiting.Reply, error) {
	values, ok := reply.([]any)
	if !ok || len(values) < 3 {
		return waiting.Reply{}, fmt.Errorf("claim_task returned %T, not a list", reply)
	}
	result, _ := values[0].(string)
	r := waiting.Reply{
		Result: json.RawMessage(result), Final: strings.HasPrefix(result, `{"claimed":true`),
		TTL: time.Duration(lua.Integer(values[2])) * time.Millisecond, Sets: make([]string, 0, len(values)-3),
	}
	r.Roles, _ = values[1].(string)
	r.Final = r.Final || r.Roles == ""
	for _, set := range values[3:] {
		text, _ := set.(string)
		r.Sets = append(r.Sets, text)
	}
	return r, nil
}

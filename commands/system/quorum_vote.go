package system

import (
	"context"
	"encoding/json"
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

type addQuorumVoteArgs struct {
	Instance, Decision string
	Value              []byte // JSON
	Given              *int
	Usual              int
	Agent              string
}

var addQuorumVote = lua.Bind[addQuorumVoteArgs]("add_quorum_vote")

const (
	defaultVoters = 3
	maxVoteBytes  = 1024
)

func quorumVoteMethod() (*command.Method, error) {
	return command.New[api.VoteParams, api.VoteResult](command.Spec{
		Name: "system.quorum.vote",
		Description: "Vote on a decision. A vote is final. The decision is made when more than half of totalInstances have voted for one value; " +
			"voted is false if the instance has voted before, or the voting has ended. A decision is known for 7 days after its last vote.",
		Limit:   50,
		Timeout: 5 * time.Second,
		Breaker: breaker.Setting{Failures: 5, Open: 30 * time.Second},
		Roles:   command.Writers,
		Effect:  command.Sets,
		Refine: func(p map[string]*jsonschema.Schema) {
			p["value"].Types = []string{"string", "number", "boolean", "object", "array"}
			params.Between(p["totalInstances"], 1, jsontext.MaxInteger)
		},
	}, func(ctx context.Context, c *command.Call, p *api.VoteParams) (json.RawMessage, error) {
		if string(p.Value) == "null" {
			return nil, api.InvalidParams("value parameter must not be null")
		}
		value, err := jsontext.Canonical(p.Value)
		if err != nil {
			return nil, err
		}
		if len(p.Value) > maxVoteBytes || len(value) > maxVoteBytes {
			return nil, api.InvalidParams(fmt.Sprintf("value parameter must be at most %d bytes long", maxVoteBytes))
		}
		instance := string(p.InstanceID)
		return command.Decide(ctx, c, addQuorumVote, instance, addQuorumVoteArgs{
			Instance: instance, Decision: string(p.Decision), Value: value, Given: p.TotalInstances, Usual: defaultVoters, Agent: c.Agent(),
		})
	})
}

// Package subscribers lists who reads the log and its topics: projections, services with a checkpoint
// in Redis, and consumer groups. Its callers are the method system.subscribers and the commands
// checkpoints and parked of the program. The errors are those of lua.Runner.Run.
package subscribers

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/taskview"
	"github.com/claudebench/claudebench/lua"
)

// Most is the maximum number of subscribers in a list.
const Most = 200

// The kinds of subscribers.
const (
	Projection = "projection"
	Checkpoint = "checkpoint"
	Group      = "group"
)

// Args are the arguments of Script.
type Args struct {
	View, Index string // checkpoints in Postgres, "" if unknown
	Most        int
	Types       []string
}

// Script reads the list.
var Script = lua.Bind[Args]("list_subscribers")

// ArgsFor returns the arguments of Script. at has the checkpoints in Postgres.
func ArgsFor(at taskview.Checkpoints) Args {
	args := Args{View: at.Tasks, Index: at.Events, Most: Most}
	for _, t := range events.Types() {
		args.Types = append(args.Types, string(t))
	}
	return args
}

// List returns the subscribers of a log, without a rate limit. at has the checkpoints in Postgres, and
// inPostgres the names of the projections there, also of those whose checkpoint is unknown.
func List(ctx context.Context, scripts lua.Scripts, at taskview.Checkpoints, inPostgres ...string) (*api.SubscribersResult, error) {
	reply, err := Script.RunCommand(ctx, scripts, "", "", "0", ArgsFor(at))
	if err != nil {
		return nil, err
	}
	return Result(reply, inPostgres...)
}

// Result returns the result of system.subscribers for a reply of Script. inPostgres has the names of
// the projections there; a position is left out of one whose checkpoint is unknown.
func Result(reply any, inPostgres ...string) (*api.SubscribersResult, error) {
	values, ok := reply.([]any)
	if !ok || len(values) != 4 {
		return nil, fmt.Errorf("list_subscribers returned %T, not four values", reply)
	}
	counts, err := lua.Integers(values[:3], 3)
	if err != nil {
		return nil, fmt.Errorf("list_subscribers: %w", err)
	}
	byKind := map[string][]api.SubscriberInfo{}
	rows, _ := values[3].([]any)
	for _, row := range rows {
		s, err := subscriber(row)
		if err != nil {
			return nil, err
		}
		byKind[s.Kind] = append(byKind[s.Kind], s)
	}
	for _, name := range inPostgres {
		if !slices.ContainsFunc(byKind[Projection], func(s api.SubscriberInfo) bool { return s.Name == name }) {
			byKind[Projection] = append(byKind[Projection], api.SubscriberInfo{Name: name, Kind: Projection, Stream: "events"})
		}
	}
	list := byKind[Projection]
	total := int64(len(list)) + counts[1] + counts[2]
	// Neither kind displaces the other: each has at least half of the room.
	room := Most - len(list)
	checkpoints, groups := byKind[Checkpoint], byKind[Group]
	checkpoints = checkpoints[:min(len(checkpoints), max(room-len(groups), room/2))]
	groups = groups[:min(len(groups), room-len(checkpoints))]
	list = append(append(list, checkpoints...), groups...)
	result := &api.SubscribersResult{Subscribers: list, Parked: counts[0]}
	if total > int64(len(list)) {
		result.Total = total
	}
	return result, nil
}

// subscriber reads a row of the reply.
func subscriber(row any) (api.SubscriberInfo, error) {
	values, _ := row.([]any)
	if len(values) != 10 {
		return api.SubscriberInfo{}, fmt.Errorf("list_subscribers returned a row of %d values", len(values))
	}
	text := make([]string, len(values))
	for i, v := range values {
		text[i], _ = v.(string)
	}
	s := api.SubscriberInfo{
		Kind: text[0], Name: text[1], Stream: text[2], Lag: number(text[4]), LagMs: number(text[5]),
		Pending: number(text[6]), Parked: number(text[7]), Holds: number(text[9]),
	}
	// A group that has read nothing is at 0-0.
	if id, err := events.ParseID(text[3]); err == nil && !id.IsZero() {
		s.Position, s.Seq = text[3], &id.Seq
	}
	if at := number(text[8]); at != nil {
		s.UpdatedAt = time.UnixMilli(*at).UTC().Format(events.TimeLayout)
	}
	return s, nil
}

// number returns a decimal, nil for "".
func number(text string) *int64 {
	if text == "" {
		return nil
	}
	n := lua.Integer(text)
	return &n
}

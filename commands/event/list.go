package event

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/breaker"
	"github.com/claudebench/claudebench/internal/command"
	"github.com/claudebench/claudebench/internal/params"
	"github.com/claudebench/claudebench/lua"
)

var listEvents = lua.Bind[lua.NoArgs]("list_events")

// maxTypes is the maximum length of the list of types.
const maxTypes = 1024

func (o Options) listMethod() (*command.Method, error) {
	return command.New[api.ListEventsParams, api.EventsResult](command.Spec{
		Name: "event.list",
		Description: "List events from the index in Postgres, the newest first: all, or those of some types, such as instance.*, leader.elected, " +
			"batch.* and quorum.*. Events of tasks and hooks have no index by type; use task.history, instance.history or GET /events for them.",
		Limit:   600,
		Timeout: 10 * time.Second,
		Breaker: breaker.Setting{Failures: 5, Open: 30 * time.Second},
		Roles:   command.Readers,
		Hidden:  true,
		Effect:  command.Reads,
		Refine: func(p map[string]*jsonschema.Schema) {
			command.RefineEvents(p)
			p["types"].MaxLength = new(maxTypes)
		},
	}, o.list)
}

func (o Options) list(ctx context.Context, c *command.Call, p *api.ListEventsParams) (json.RawMessage, error) {
	q := api.EventQuery{Descending: p.Order != "asc"}
	var err error
	if q.Types, err = typesOf(p.Types); err != nil {
		return nil, err
	}
	if p.Since != "" {
		since, err := params.Moment("since", p.Since)
		if err != nil {
			return nil, err
		}
		q.Since = since.UnixMilli()
	}
	return command.ReadEvents(ctx, c, listEvents, o.Index, o.Shares, p.Limit, p.Cursor, q)
}

// typesOf returns the types that a list of types and patterns selects; nil for all.
func typesOf(list string) ([]string, error) {
	if list == "" {
		return nil, nil
	}
	filter, err := events.ParseFilter(list)
	if err != nil {
		return nil, api.InvalidParams("types parameter: " + err.Error())
	}
	all, types := events.Types(), []string{}
	for _, t := range all {
		if filter.Match(t) {
			types = append(types, string(t))
		}
	}
	switch {
	case len(types) == len(all):
		return nil, nil
	case len(types) == 0:
		return nil, api.InvalidParams(fmt.Sprintf("types parameter: %q matches no type of event; docs/events.md lists them", list))
	case slices.ContainsFunc(types, frequent):
		return nil, api.InvalidParams("types parameter: events of tasks and hooks have no index by type; " +
			"leave out types to list all events, or use task.history, instance.history or GET /events")
	}
	return types, nil
}

// frequent reports whether a type is one of those that make up most of a log, so that an index of
// them by type would cost more than it is worth.
func frequent(t string) bool { return strings.HasPrefix(t, "task.") || strings.HasPrefix(t, "hook.") }

package task

import (
	"cmp"
	"fmt"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/jsontext"
	"github.com/claudebench/claudebench/internal/params"
)

// The bounds of the options of a task.
const (
	year       = 365 * 24 * time.Hour
	maxDelay   = year
	minTimeout = time.Second
	maxTimeout = 7 * 24 * time.Hour
	maxTries   = 100
	maxBackoff = year
	maxFactor  = 100
)

// The defaults of a retry policy.
const (
	defaultTries      = 1
	defaultBackoff    = time.Second
	defaultFactor     = 2
	defaultMaxBackoff = time.Hour
	defaultJitter     = 0.1
)

func refineOptions(p map[string]*jsonschema.Schema) {
	p["runAt"].MinLength, p["runAt"].MaxLength = new(1), new(params.MaxMoment)
	params.Between(p["delayMs"], 0, float64(maxDelay.Milliseconds()))
	params.Between(p["timeoutMs"], float64(minTimeout.Milliseconds()), float64(maxTimeout.Milliseconds()))
	retry := p["retry"].Properties
	params.Between(retry["maxAttempts"], 1, maxTries)
	params.Between(retry["backoffMs"], 0, float64(maxBackoff.Milliseconds()))
	params.Between(retry["factor"], 1, maxFactor)
	params.Between(retry["maxBackoffMs"], 0, float64(maxBackoff.Milliseconds()))
	params.Between(retry["jitter"], 0, 1)
	p["dependsOn"].MinItems, p["dependsOn"].MaxItems = new(1), new(maxNeeds)
	params.Enum(p["onDependencyFailure"], cancelDependents, runDependents)
	params.Key(p["uniqueKey"])
	params.Key(p["limitKey"])
}

// What happens to a task if one of those that it depends on fails for good, or is cancelled or deleted.
const (
	cancelDependents = "cancel"
	runDependents    = "run"
	maxNeeds         = 100
)

// extrasOf returns what a plain task does not have, or nil for a plain task.
func extrasOf(p *api.CreateTaskParams) (*Extras, error) {
	extras := Extras{Delay: p.DelayMs}
	if p.RunAt != "" {
		if p.DelayMs != nil {
			return nil, api.InvalidParams("delayMs parameter: it cannot be together with runAt")
		}
		moment, err := params.Moment("runAt", p.RunAt)
		if err != nil {
			return nil, err
		}
		extras.Moment = new(moment.UnixMilli())
	}
	o := events.TaskOptions{TimeoutMs: int64(params.Or(p.TimeoutMs, 0)), UniqueKey: p.UniqueKey, LimitKey: p.LimitKey}
	if r := p.Retry; r != nil {
		o.Retry = &events.Retry{
			MaxAttempts: params.Or(r.MaxAttempts, defaultTries), BackoffMs: int64(params.Or(r.BackoffMs, int(defaultBackoff.Milliseconds()))),
			Factor: params.Or(r.Factor, defaultFactor), MaxBackoffMs: int64(params.Or(r.MaxBackoffMs, int(defaultMaxBackoff.Milliseconds()))),
			Jitter: params.Or(r.Jitter, defaultJitter),
		}
	}
	seen := map[api.TaskID]bool{}
	for _, id := range p.DependsOn {
		if seen[id] {
			return nil, api.InvalidParams(fmt.Sprintf("dependsOn parameter: it contains %q twice", id))
		}
		seen[id] = true
		o.DependsOn = append(o.DependsOn, string(id))
	}
	switch {
	case p.DependsOn != nil:
		o.OnDependencyFailure = cmp.Or(p.OnDependencyFailure, cancelDependents)
	case p.OnDependencyFailure != "":
		return nil, api.InvalidParams("onDependencyFailure parameter: it belongs to dependsOn, which is missing")
	case o.Retry == nil && o.TimeoutMs == 0 && o.UniqueKey == "" && o.LimitKey == "":
		if extras.Moment == nil && extras.Delay == nil {
			return nil, nil
		}
		return &extras, nil
	}
	text, err := jsontext.Marshal(o)
	if err != nil {
		return nil, fmt.Errorf("encode the options of a task: %w", err)
	}
	extras.Options = string(text)
	return &extras, nil
}

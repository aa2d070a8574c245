package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/jsontext"
	"github.com/claudebench/claudebench/internal/params"
	"github.com/claudebench/claudebench/lua"
)

// Decision is a command that one script decides: how params become the script's arguments. The
// script returns the method's result as JSON text.
type Decision[P, A any] struct {
	Script lua.Bound[A]
	// Prepare returns the instance that a call acts for, "" for none, and the script's arguments.
	Prepare func(*Call, *P) (instance string, args A, err error)
	// After, if it is set, is called after the script has run, whatever came of it.
	After func(*P)
	// Complete, if it is set, adds to the script's result what is alike in every one.
	Complete func(result string) string
}

// One is the handler of the method.
func (d Decision[P, A]) One(ctx context.Context, c *Call, p *P) (json.RawMessage, error) {
	instance, args, err := d.Prepare(c, p)
	if err != nil {
		return nil, err
	}
	if d.After != nil {
		defer d.After(p)
	}
	result, err := Decide(ctx, c, d.Script, instance, args)
	if err != nil || d.Complete == nil {
		return result, err
	}
	return json.RawMessage(d.Complete(string(result))), nil
}

// Many makes one call of the method for each item, in lots, as if each item were a call of its own:
// with its own checks, rate limit, idempotency key, event and answer. It returns an error only if
// no item succeeded and a store failed or a flush is under way. Then no item has changed anything,
// unless the error is ErrOutcomeUnknown.
func (d Decision[P, A]) Many(ctx context.Context, c *Call, method *Method, items *params.Decoder[P], list []api.Value) (json.RawMessage, error) {
	answers := make([]answer, len(list))
	calls := make([][]any, 0, len(list))
	sent := make([]int, 0, len(list)) // the items of the calls, by index
	decided := make([]*P, 0, len(list))
	for i, item := range list {
		p, args, err := d.arguments(c.item(method, item), items)
		if err == nil {
			decided = append(decided, p)
		}
		if err != nil {
			answers[i].err = err
			continue
		}
		calls, sent = append(calls, args), append(sent, i)
	}
	if d.After != nil {
		defer func() {
			for _, p := range decided {
				d.After(p)
			}
		}()
	}
	for n, reply := range c.scripts.RunMany(ctx, d.Script.Script, calls) {
		a := answered(d.Script.Name, reply)
		if a.err == nil && d.Complete != nil {
			a.result = d.Complete(a.result)
		}
		answers[sent[n]] = a
	}
	return encodeAnswers(answers)
}

// item returns the call that an item stands for.
func (c *Call) item(method *Method, item api.Value) *Call {
	one := *c
	one.Method, one.Params, one.method, one.counted = method.Name, json.RawMessage(item), method, false
	return &one
}

// arguments returns the params and the script's arguments of an item, or what is wrong with it.
func (d Decision[P, A]) arguments(c *Call, items *params.Decoder[P]) (*P, []any, error) {
	if c.Params[0] != '{' {
		return nil, nil, api.InvalidParams("the item must be an object")
	}
	p, err := items.Decode(c.Params, c.alsoRequired()...)
	if err != nil {
		return nil, nil, err
	}
	instance, args, err := d.Prepare(c, p)
	if err != nil {
		return nil, nil, err
	}
	if err := c.MayName(instance); instance != "" && err != nil {
		return nil, nil, err
	}
	return p, d.Script.CommandArgs(c.EventContext(instance, c.Cause), c.Subject(instance), c.calls(instance), args), nil
}

// answer is what becomes of an item.
type answer struct {
	result string // JSON text
	err    error
}

func answered(script string, reply lua.Reply) answer {
	text, ok := reply.Value.(string)
	if reply.Err == nil && !ok {
		return answer{err: fmt.Errorf("script %s returned %T, not text", script, reply.Value)}
	}
	return answer{result: text, err: reply.Err}
}

// isOfCall reports whether an error has nothing to do with the item that it met: a store failed, or
// a flush is under way.
func isOfCall(err error) bool {
	var refused *lua.Error
	return errors.Is(err, lua.ErrUnavailable) || errors.As(err, &refused) && strings.Contains(refused.Detail, `"FLUSH_IN_PROGRESS"`)
}

// encodeAnswers returns a ManyResult as JSON.
func encodeAnswers(answers []answer) (json.RawMessage, error) {
	succeeded, size := 0, 64
	var common error // of the call and not of an item; the one that promises least
	for _, a := range answers {
		switch {
		case a.err == nil:
			succeeded++
		case errors.Is(a.err, lua.ErrOutcomeUnknown), common == nil && isOfCall(a.err):
			common = a.err
		}
		size += len(a.result) + 16
	}
	if succeeded == 0 && common != nil {
		return nil, common
	}
	b := fmt.Appendf(make([]byte, 0, size), `{"succeeded":%d,"failed":%d,"answers":[`, succeeded, len(answers)-succeeded)
	for i, a := range answers {
		if i > 0 {
			b = append(b, ',')
		}
		if a.err == nil {
			b = append(append(append(b, `{"result":`...), a.result...), '}')
			continue
		}
		failed, known := APIError(a.err)
		if !known {
			return nil, a.err // it is logged
		}
		text, err := jsontext.Marshal(failed)
		if err != nil {
			return nil, fmt.Errorf("encode the error of item %d: %w", i, err)
		}
		b = append(append(append(b, `{"error":`...), text...), '}')
	}
	return append(b, `]}`...), nil
}

package lua

import (
	"context"
	"fmt"
	"strconv"

	"github.com/claudebench/claudebench/internal/jsontext"
)

// Scripts runs scripts on the log of one namespace. Its errors are those of Runner.Run.
type Scripts interface {
	Run(ctx context.Context, script *Script, args ...any) (any, error)
	// RunMany runs a script once for each list of arguments. Each call has its own reply.
	RunMany(ctx context.Context, script *Script, calls [][]any) []Reply
}

// On returns Scripts for the log whose hash has this key.
func (r *Runner) On(log string) Scripts { return onLog{r, []string{log}} }

type onLog struct {
	runner *Runner
	keys   []string
}

func (s onLog) Run(ctx context.Context, script *Script, args ...any) (any, error) {
	return s.runner.Run(ctx, script, s.keys, args...)
}

func (s onLog) RunMany(ctx context.Context, script *Script, calls [][]any) []Reply {
	return s.runner.RunMany(ctx, script, s.keys, calls)
}

// EventContext is the part of an envelope that says who acted, what caused it, and in which trace.
// Scripts take it as the argument context. An empty cause or trace is null.
func EventContext(actor, cause, trace string) string {
	b := make([]byte, 0, 96)
	b = append(append(b, `"actor":`...), jsontext.Quote(actor)...)
	b = append(append(b, `,"cause":`...), quotedOrNull(cause)...)
	b = append(append(b, `,"trace":`...), quotedOrNull(trace)...)
	return string(b)
}

func quotedOrNull(s string) []byte {
	if s == "" {
		return []byte("null")
	}
	return jsontext.Quote(s)
}

// Flag returns a boolean as scripts take it: 1 or 0.
func Flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Integers returns the first n values of an array reply. It returns an error if they are not
// integers.
func Integers(reply any, n int) ([]int64, error) {
	values, ok := reply.([]any)
	if !ok || len(values) < n {
		return nil, fmt.Errorf("returned %v, not %d values", reply, n)
	}
	out := make([]int64, n)
	for i := range out {
		if out[i], ok = values[i].(int64); !ok {
			return nil, fmt.Errorf("returned %v, not %d integers", reply, n)
		}
	}
	return out, nil
}

// Integer returns a value of a reply as an integer. It accepts an integer or a string in decimal,
// and returns 0 for anything else.
func Integer(v any) int64 {
	switch v := v.(type) {
	case int64:
		return v
	case string:
		n, _ := strconv.ParseInt(v, 10, 64)
		return n
	}
	return 0
}

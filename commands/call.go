package commands

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/jsontext"
	"github.com/claudebench/claudebench/lua"
)

// call is one run of one command.
type call struct {
	*Coordinator
	api.Request
	method *Method
	token  api.Token // zero where no tokens are in use
	late   bool      // most of the method's time was over before the call began
}

// run runs the script that decides the command: its arguments are the envelope's context and the rate
// limit, then those given. instance is the one that the caller acts for, "" for none.
func (c *call) run(ctx context.Context, script *lua.Script, instance string, args ...any) (any, error) {
	if instance != "" {
		if err := c.mayName(instance); err != nil {
			return nil, err
		}
	}
	full := make([]any, 0, 3+len(args))
	full = append(full, c.context(instance, c.Cause), c.subject(instance), c.method.Limit)
	return c.script(ctx, script, append(full, args...)...)
}

// decide is run for a script that returns the method's result as JSON text.
func (c *call) decide(ctx context.Context, script *lua.Script, instance string, args ...any) (json.RawMessage, error) {
	reply, err := c.run(ctx, script, instance, args...)
	if err != nil {
		return nil, err
	}
	text, ok := reply.(string)
	if !ok {
		return nil, fmt.Errorf("script %s returned %T, not text", script.Name, reply)
	}
	return json.RawMessage(text), nil
}

// actor is who acts: the token's name and the instance, either of them, or anonymous.
func (c *call) actor(instance string) string {
	switch {
	case c.Caller != "" && instance != "":
		return c.Caller + "/" + instance
	case c.Caller != "":
		return c.Caller
	case instance != "":
		return instance
	}
	return "anonymous"
}

// context is the inside of the envelope that tells the actor, the cause and the trace.
func (c *call) context(instance, cause string) string {
	return envelopeContext(c.actor(instance), cause, c.Trace)
}

func envelopeContext(actor, cause, trace string) string {
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

// subject is whose calls of the method the rate limit counts: the instance's, else the token's, else the address's. An
// instance's are counted for each token, so that nobody uses up another's by naming its instances.
func (c *call) subject(instance string) string {
	if instance == "" && c.Caller == "" {
		return c.Method + ":" + c.Addr
	}
	return c.Method + ":" + c.actor(instance)
}

func ms(d time.Duration) int64 { return d.Milliseconds() }

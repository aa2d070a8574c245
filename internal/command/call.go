package command

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/lua"
)

// Call is one run of one command: the request, what its token allows, and the scripts that decide.
type Call struct {
	api.Request
	token   api.Token // zero where no tokens are in use
	method  *Method
	scripts lua.Scripts
	late    bool // most of the method's time was over before the call began
	counted bool // a script has counted it for the rate limit
}

// NewCall returns a run of a method.
func NewCall(r api.Request, m *Method, token api.Token, scripts lua.Scripts) *Call {
	return &Call{Request: r, method: m, token: token, scripts: scripts, late: time.Since(r.Received) > m.Timeout/2}
}

// Limit is the method's rate limit in force, in calls a minute; 0 for none.
func (c *Call) Limit() int { return c.method.Limit }

// Timeout is the method's.
func (c *Call) Timeout() time.Duration { return c.method.Timeout }

// Run runs a script of the command and supplies the arguments that all commands share: the event's
// context, the rate-limit key and the limit. The first script counts the call, the others do not.
// instance is the one that the caller acts for, "" for none.
func Run[A any](ctx context.Context, c *Call, script lua.Bound[A], instance string, args A) (any, error) {
	if instance != "" {
		if err := c.MayName(instance); err != nil {
			return nil, err
		}
	}
	return script.RunCommand(ctx, c.scripts, c.EventContext(instance, c.Cause), c.Subject(instance), c.calls(instance), args)
}

// freeBytes is how long params may be without counting for the limit of bytes: the limit of calls
// bounds such calls.
const freeBytes = 4 << 10

// calls is how many calls a minute the script may let pass, as lib/guard reads it: for the
// rate-limit key, for all instances of the token together, and for the bytes that a token, or an
// address without one, brings.
func (c *Call) calls(instance string) string {
	if c.counted {
		return "0"
	}
	c.counted = true
	limits := strconv.Itoa(c.Limit())
	if c.Caller != "" && instance != "" && c.method.TokenLimit > 0 {
		// No instance's id is empty, so that the token's key is nobody else's.
		limits += fmt.Sprintf("\n%d 1 token %s:%s/", c.method.TokenLimit, c.Method, c.Caller)
	}
	if bytes := len(c.Params); bytes > freeBytes && c.method.ByteLimit > 0 {
		limits += fmt.Sprintf("\n%d %d bytes bytes:%s", c.method.ByteLimit, bytes, cmp.Or(c.Caller, c.Addr, "local"))
	}
	return limits
}

// Scripts runs scripts on the call's log that neither count the call nor decide it.
func (c *Call) Scripts() lua.Scripts { return c.scripts }

// Decide is Run for a script that returns the method's result as JSON text.
func Decide[A any](ctx context.Context, c *Call, script lua.Bound[A], instance string, args A) (json.RawMessage, error) {
	reply, err := Run(ctx, c, script, instance, args)
	if err != nil {
		return nil, err
	}
	text, ok := reply.(string)
	if !ok {
		return nil, fmt.Errorf("script %s returned %T, not text", script.Name, reply)
	}
	return json.RawMessage(text), nil
}

// Actor is who acts: the token's name and the instance, either of them, or anonymous.
func (c *Call) Actor(instance string) string {
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

// EventContext is the context of the events that the call emits for an instance, "" for none.
func (c *Call) EventContext(instance, cause string) string {
	return lua.EventContext(c.Actor(instance), cause, c.Trace)
}

// Subject is the rate-limit key: the instance, else the token, else the address. An instance's
// calls are counted for each token, so that nobody uses up another's by naming its instances.
func (c *Call) Subject(instance string) string {
	if instance == "" && c.Caller == "" {
		return c.Method + ":" + c.Addr
	}
	return c.Method + ":" + c.Actor(instance)
}

// Agent is the name of the caller's token when it may act for its own instances and tasks only,
// else "". The scripts take it, since they decide whose an instance or a task is.
func (c *Call) Agent() string {
	if c.token.Name == "" || slices.Contains(c.token.Roles, api.RoleOperator) || slices.Contains(c.token.Roles, api.RoleAdmin) {
		return ""
	}
	return c.token.Name
}

// MayName refuses an instance whose id does not begin with the token's prefix.
func (c *Call) MayName(instance string) error {
	if strings.HasPrefix(instance, c.token.InstancePrefix) {
		return nil
	}
	return api.Unauthorized(fmt.Sprintf("this token may name only instances whose ids begin with %q", c.token.InstancePrefix))
}

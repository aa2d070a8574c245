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

// Call is one run of a command. It holds the request, the caller's token and the scripts that
// decide.
type Call struct {
	api.Request
	token   api.Token // zero if authentication is disabled
	method  *Method
	scripts lua.Scripts
	late    bool // most of the method's time was over before the call began
	counted bool // a script has counted it for the rate limit
	waited  time.Duration
}

// NewCall returns a Call of a method.
func NewCall(r api.Request, m *Method, token api.Token, scripts lua.Scripts) *Call {
	return &Call{Request: r, method: m, token: token, scripts: scripts, late: time.Since(r.Received) > m.Timeout/2}
}

// Wait notes that the call did nothing but wait for a time. Statistics leave that time out.
func (c *Call) Wait(d time.Duration) { c.waited += d }

// Waited returns how long the call did nothing but wait.
func (c *Call) Waited() time.Duration { return c.waited }

// Token returns the caller's token. It is zero if authentication is disabled.
func (c *Call) Token() api.Token { return c.token }

// Limit returns the method's rate limit in calls a minute; 0 is no limit.
func (c *Call) Limit() int { return c.method.Limit }

// Timeout returns the method's timeout.
func (c *Call) Timeout() time.Duration { return c.method.Timeout }

// Run runs a script of the command and adds the arguments that all commands share: the event's
// context, the rate-limit key and the limit. The first script counts the call, later ones do not.
// instance is the instance that the caller acts for, or "".
func Run[A any](ctx context.Context, c *Call, script lua.Bound[A], instance string, args A) (any, error) {
	if instance != "" {
		if err := c.MayName(instance); err != nil {
			return nil, err
		}
	}
	return script.RunCommand(ctx, c.scripts, c.EventContext(instance, c.Cause), c.Subject(instance), c.calls(instance), args)
}

// freeBytes is the size up to which params do not count for the byte limit. The limit of calls
// bounds such calls.
const freeBytes = 4 << 10

// calls returns the limits of the call as lib/guard parses them: for the rate-limit key, for all
// instances of the token together, and for the bytes of params and of answers of a token, or of an
// address without one.
func (c *Call) calls(instance string) string {
	answers := ""
	if c.method.LongAnswers && c.method.ByteLimit > 0 {
		// The script counts the bytes of its answer (lib/answer).
		answers = fmt.Sprintf("\n%d 0 bytes answers:%s", c.method.ByteLimit, c.sender())
	}
	if c.counted {
		return "0" + answers
	}
	c.counted = true
	limits := strconv.Itoa(c.Limit())
	if c.Caller != "" && instance != "" && c.method.TokenLimit > 0 {
		// No instance has an empty ID, so no other caller has this key.
		limits += fmt.Sprintf("\n%d 1 token %s:%s/", c.method.TokenLimit, c.Method, c.Caller)
	}
	if bytes := len(c.Params); bytes > freeBytes && c.method.ByteLimit > 0 {
		limits += fmt.Sprintf("\n%d %d bytes bytes:%s", c.method.ByteLimit, bytes, c.sender())
	}
	return limits + answers
}

// sender returns the token, or the address without one, whose bytes are counted.
func (c *Call) sender() string { return cmp.Or(c.Caller, c.Addr, "local") }

// Scripts returns the scripts of the call's log, for runs that neither count the call nor decide
// it.
func (c *Call) Scripts() lua.Scripts { return c.scripts }

// Decide is like Run, for a script that returns the method's result as JSON text.
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

// Actor returns the actor of the call: the token's name, the instance, both, or anonymous.
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

// EventContext returns the context of the events that the call emits for an instance, or "" for
// none.
func (c *Call) EventContext(instance, cause string) string {
	return lua.EventContext(c.Actor(instance), cause, c.Trace)
}

// Subject returns the rate-limit key: the instance, else the token, else the address. The calls of
// an instance are counted for each token, so that no caller can use up the limit of another's
// instances.
func (c *Call) Subject(instance string) string {
	if instance == "" && c.Caller == "" {
		return c.Method + ":" + c.Addr
	}
	return c.Method + ":" + c.Actor(instance)
}

// Agent returns the name of the caller's token if it may act only for its own instances and tasks,
// else "". Scripts take it as an argument, because they decide who owns an instance or a task.
func (c *Call) Agent() string {
	if c.token.Name == "" || slices.Contains(c.token.Roles, api.RoleOperator) || slices.Contains(c.token.Roles, api.RoleAdmin) {
		return ""
	}
	return c.token.Name
}

// MustHave returns an error if the caller's token has none of the roles, which what needs.
func (c *Call) MustHave(roles []string, what string) error {
	if c.token.Name == "" || slices.ContainsFunc(c.token.Roles, func(role string) bool { return slices.Contains(roles, role) }) {
		return nil
	}
	return api.Unauthorized(fmt.Sprintf("%s needs a token with one of the roles %s; this one has %s", what, strings.Join(roles, ", "), strings.Join(c.token.Roles, ", ")))
}

// MayName returns an error if the instance's ID does not begin with the token's prefix.
func (c *Call) MayName(instance string) error {
	if strings.HasPrefix(instance, c.token.InstancePrefix) {
		return nil
	}
	return api.Unauthorized(fmt.Sprintf("this token may only name instances whose ids begin with %q", c.token.InstancePrefix))
}

package commands

import (
	"fmt"
	"slices"
	"strings"

	"github.com/claudebench/claudebench/internal/api"
)

// authorize finds the caller's token and refuses a method that needs a role which it has not. Where tokens are in use a
// caller without one is refused, whatever the transport that let it in has checked.
func (c *Coordinator) authorize(r api.Request, m *Method) (api.Token, error) {
	if c.options.Tokens == nil {
		return api.Token{}, nil
	}
	token, ok := c.options.Tokens.Token(r.Caller)
	if !ok || r.Caller == "" {
		return api.Token{}, api.Unauthorized("a token that is in use")
	}
	if slices.ContainsFunc(token.Roles, func(role string) bool { return slices.Contains(m.Roles, role) }) {
		return token, nil
	}
	return api.Token{}, api.Unauthorized(fmt.Sprintf("%s needs a token with the role %s; this one has %s", m.Name,
		alternatives(m.Roles), strings.Join(token.Roles, ", ")))
}

// alternatives writes a list as "a, b or c".
func alternatives(list []string) string {
	if len(list) < 2 {
		return strings.Join(list, "")
	}
	return strings.Join(list[:len(list)-1], ", ") + " or " + list[len(list)-1]
}

// agent is the name of the caller's token when it may act for its own instances and tasks only, else "": which is what the
// scripts are told, who decide whose an instance or a task is.
func (c *call) agent() string {
	if c.token.Name == "" || slices.Contains(c.token.Roles, api.RoleOperator) || slices.Contains(c.token.Roles, api.RoleAdmin) {
		return ""
	}
	return c.token.Name
}

// mayName refuses an instance's id that does not begin as the caller's token asks.
func (c *call) mayName(instance string) error {
	if strings.HasPrefix(instance, c.token.InstancePrefix) {
		return nil
	}
	return api.Unauthorized(fmt.Sprintf("this token may name only instances whose ids begin with %q", c.token.InstancePrefix))
}

// mayHurry refuses an agent that would declare others dead before their time.
func (c *call) mayHurry(timeout int64) error {
	ttl := ms(c.options.InstanceTTL)
	if timeout >= ttl || c.agent() == "" {
		return nil
	}
	return api.Unauthorized(fmt.Sprintf("a timeout below the instance TTL of %d ms needs the role operator or admin", ttl))
}

package commands

import (
	"fmt"
	"slices"
	"strings"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/command"
)

// authorize finds the caller's token and refuses a method that needs a role which it has not. Where
// tokens are in use a caller without one is refused, whatever the transport that let it in has
// checked.
func (c *Coordinator) authorize(r api.Request, m *command.Method) (api.Token, *api.Error) {
	if c.tokens == nil {
		return api.Token{}, nil
	}
	token, ok := c.tokens.Token(r.Caller)
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

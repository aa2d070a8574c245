package commands

import (
	"fmt"
	"slices"
	"strings"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/command"
)

// authorize returns the caller's token, or an error if the token has none of the roles that the
// method needs. If authentication is enabled, it rejects a caller without a known token, even if
// the transport let that caller in.
func (c *Coordinator) authorize(r api.Request, m *command.Method) (api.Token, *api.Error) {
	if c.tokens == nil {
		return api.Token{}, nil
	}
	token, ok := c.tokens.Token(r.Caller)
	if !ok || r.Caller == "" {
		return api.Token{}, api.Unauthorized("a valid token")
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

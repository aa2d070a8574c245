package fleettest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/claudebench/claudebench/internal/api"
)

// As calls a method with a token.
func (f *Fleet) As(token, method, format string, args ...any) (json.RawMessage, error) {
	f.T.Helper()
	return f.Call(context.Background(), api.Request{
		Method: method, Params: json.RawMessage(fmt.Sprintf(format, args...)), Caller: token, Addr: "192.0.2.1", Cause: "req-1",
	})
}

// May calls a method with a token. The call must be allowed.
func (f *Fleet) May(token, method, format string, args ...any) json.RawMessage {
	f.T.Helper()
	result, err := f.As(token, method, format, args...)
	if err != nil {
		f.T.Fatalf("%s calls %s %s: %v", token, method, fmt.Sprintf(format, args...), err)
	}
	return result
}

// MayNot calls a method with a token. The call must be rejected as unauthorized, with an error that
// says what is needed, and change nothing.
func (f *Fleet) MayNot(token, needed, method, format string, args ...any) {
	f.T.Helper()
	before := f.Seq()
	result, err := f.As(token, method, format, args...)
	var known *api.Error
	if !errors.As(err, &known) || known.Code != api.CodeUnauthorized || known.Message != "Unauthorized" {
		f.T.Errorf("%s calls %s %s: %s, %v; want Unauthorized", token, method, fmt.Sprintf(format, args...), result, err)
		return
	}
	if told, _ := known.Data.(string); !strings.Contains(told, needed) {
		f.T.Errorf("%s calls %s and is told %v, want %s", token, method, known.Data, needed)
	}
	if f.Seq() != before {
		f.T.Errorf("%s was refused %s, which yet emitted", token, method)
	}
}

// bearers are tokens by name.
type bearers map[string]api.Token

func (b bearers) Token(name string) (api.Token, bool) {
	t, ok := b[name]
	t.Name = name
	return t, ok
}

// FleetTokens returns one token for each role, a second agent, and agents that have other roles
// too.
func FleetTokens() bearers {
	return bearers{
		"alice": {Roles: []string{api.RoleAgent}},
		"bob":   {Roles: []string{api.RoleAgent}},
		"eve":   {Roles: []string{api.RoleAgent, api.RoleAuditor}},
		"ops":   {Roles: []string{api.RoleOperator}},
		"root":  {Roles: []string{api.RoleAdmin}},
		"audit": {Roles: []string{api.RoleAuditor}},
		"both":  {Roles: []string{api.RoleAgent, api.RoleOperator}},
		"north": {Roles: []string{api.RoleAgent}, InstancePrefix: "north:"},
	}
}

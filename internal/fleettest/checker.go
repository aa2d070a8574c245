package fleettest

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/command"
	"github.com/claudebench/claudebench/internal/jsontext"
	"github.com/claudebench/claudebench/lua"
)

// Checker runs methods only up to the check of their params. There is no Redis.
type Checker struct {
	*commands.Coordinator
	gone context.Context //nolint:containedctx // done before the first call
}

// NewChecker returns a Checker.
func NewChecker(t *testing.T) *Checker {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1, DialerRetries: 1})
	t.Cleanup(func() { _ = client.Close() })
	c, err := commands.New(commands.Options{Runner: lua.NewRunner(client)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Stop)
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	return &Checker{Coordinator: c, gone: gone}
}

// Refuses returns the message of the error for params, "" if they are accepted.
func (c *Checker) Refuses(t TB, method, params string) string {
	t.Helper()
	text, err := compact(json.RawMessage(params))
	if err != nil {
		t.Fatalf("%s: %v", params, err)
	}
	_, refused := c.Call(c.gone, api.Request{Method: method, Params: text})
	if as := c.Method(method).CountsAs; as != "" && (refused == nil || refused.Code != api.CodeInvalidParams) {
		return c.refusesItem(t, as, text)
	}
	if refused == nil { // a method that needs no Redis
		return ""
	}
	switch refused.Code {
	case api.CodeInvalidParams:
		return fmt.Sprint(refused.Data)
	case api.CodeInternal:
		if refused.Data == api.RedisUnavailable {
			return ""
		}
	}
	t.Fatalf("%s %s: %v", method, params, refused)
	return ""
}

// refusesItem returns the sentence by which an item of a call is refused, "" if none is. method is
// the one that each item is a call of.
func (c *Checker) refusesItem(t TB, method string, params json.RawMessage) string {
	for _, list := range jsontext.Members(params) {
		for item := range jsontext.Elements(list) {
			if item[0] != '{' {
				return "the item must be an object"
			}
			if sentence := c.Refuses(t, method, string(item)); sentence != "" {
				return sentence
			}
		}
	}
	return ""
}

// Method returns the method with a name, or nil.
func (c *Checker) Method(name string) *command.Method {
	for _, m := range c.Methods() {
		if m.Name == name {
			return m
		}
	}
	return nil
}

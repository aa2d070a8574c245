package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/claudebench/claudebench/bench/wire"
	"github.com/claudebench/claudebench/internal/keys"
	"github.com/claudebench/claudebench/lua"
)

// The task in all figures.
const (
	taskText     = "Summarise the minutes of the meeting of last Tuesday"
	taskPriority = 50
)

const createParams = `{"text":"` + taskText + `","priority":50}`

// appendCall appends a JSON-RPC request.
func appendCall(b []byte, id int, method, params string) []byte {
	b = strconv.AppendInt(append(b, `{"jsonrpc":"2.0","id":`...), int64(id), 10)
	b = append(append(b, `,"method":"`...), method...)
	return append(append(append(b, `","params":`...), params...), '}')
}

// batch returns an HTTP request with n calls.
func batch(addr, method string, n int, params func(i int) string) []byte {
	body := []byte{'['}
	for i := range n {
		if i > 0 {
			body = append(body, ',')
		}
		body = appendCall(body, i+1, method, params(i))
	}
	return wire.AppendPost(nil, addr, "/rpc", append(body, ']'))
}

func single(addr, method, params string) []byte {
	return wire.AppendPost(nil, addr, "/rpc", appendCall(nil, 1, method, params))
}

func same(params string) func(int) string { return func(int) string { return params } }

// callers opens n connections to a coordinator. Each one repeats a request that counts as ops
// operations.
func callers(ctx context.Context, p *program, n int, request []byte, ops int) ([]step, error) {
	steps := make([]step, n)
	for i := range steps {
		conn, err := wire.DialHTTP(ctx, p.addr)
		if err != nil {
			return nil, err
		}
		context.AfterFunc(ctx, func() { _ = conn.Close() })
		steps[i] = func() (int, error) {
			_, err := conn.Call(request)
			return ops, err
		}
	}
	return steps, nil
}

// pipelines opens n connections to Redis. Each one repeatedly sends ops commands at once.
func pipelines(ctx context.Context, st *stack, n, ops int, commands func() []byte) ([]step, error) {
	steps := make([]step, n)
	for i := range steps {
		conn, err := st.dial(ctx)
		if err != nil {
			return nil, err
		}
		context.AfterFunc(ctx, func() { _ = conn.Close() })
		steps[i] = func() (int, error) {
			if err := conn.Send(commands()); err != nil {
				return 0, err
			}
			return ops, conn.Skip(ops)
		}
	}
	return steps, nil
}

// fixed returns n copies of a command as a pipeline.
func fixed(command []byte, n int) func() []byte {
	commands := bytes.Repeat(command, n)
	return func() []byte { return commands }
}

// bareCreate loads the script of task.create and returns the command that runs it as the
// coordinator does.
func bareCreate(ctx context.Context, st *stack, namespace string) ([]byte, error) {
	script := lua.Named("create_task")
	return bareScript(ctx, st, script, namespace, "task.create:127.0.0.1", "0", "", "", taskText, strconv.Itoa(taskPriority), "", "", "", "", "")
}

// bareScript loads a script and returns the command that runs it.
func bareScript(ctx context.Context, st *stack, script *lua.Script, namespace string, args ...string) ([]byte, error) {
	if want := len(script.Args) - 1; len(args) != want { // the context is added below
		return nil, fmt.Errorf("script %s takes %d arguments, not %d", script.Name, want, len(args))
	}
	if err := st.client.ScriptLoad(ctx, script.Source).Err(); err != nil {
		return nil, fmt.Errorf("load %s: %w", script.Name, err)
	}
	space, err := keys.New(namespace)
	if err != nil {
		return nil, err
	}
	all := append([]string{"EVALSHA", script.SHA, "1", space.Log(), `"actor":"127.0.0.1","cause":"1","trace":null`}, args...)
	return wire.AppendCommand(nil, all...), nil
}

// once opens a connection for a single request.
func once(ctx context.Context, p *program, request []byte) error {
	conn, err := wire.DialHTTP(ctx, p.addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = conn.Call(request)
	return err
}

// settled waits until the projections of a coordinator have caught up.
func (p *program) settled(ctx context.Context) error {
	_, err := p.lag(ctx, "")
	return err
}

// lag waits until a projection, or all of them, have caught up, and returns the lag that it saw
// first.
func (p *program) lag(ctx context.Context, name string) (first int64, err error) {
	asked := false
	err = until(ctx, pollEvery/2, func() (bool, error) {
		body, err := get(ctx, "http://"+p.addr+"/readyz")
		if err != nil {
			return false, err
		}
		var answer struct {
			Projections []struct {
				Name  string
				Lag   int64
				Error string
			}
		}
		if err := json.Unmarshal(body, &answer); err != nil {
			return false, fmt.Errorf("read /readyz: %w", err)
		}
		behind, seen := int64(0), false
		for _, projection := range answer.Projections {
			if projection.Error != "" {
				return false, fmt.Errorf("projection %s: %s", projection.Name, projection.Error)
			}
			if name == "" || projection.Name == name {
				behind, seen = behind+projection.Lag, true
			}
		}
		if !seen {
			return false, fmt.Errorf("there is no projection %s", name)
		}
		if !asked {
			first, asked = behind, true
		}
		return behind == 0, nil
	})
	return first, err
}

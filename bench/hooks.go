package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/claudebench/claudebench/bench/wire"
)

const (
	hookRate   = 100 // hooks a second, of all agents together
	hookAgents = 16
	leastHooks = 500 // of a turn, so that a p99 is more than the slowest three

	recordedHooks = `claudebench_hooks_total{outcome="recorded"}`
)

// hookBodies are what an agent sends for one use of a tool.
var hookBodies = [...]string{
	`{"session_id":"bench","cwd":"/work","permission_mode":"default","hook_event_name":"PreToolUse","tool_name":"Read",` +
		`"tool_input":{"file_path":"/home/dev/notes.txt"},"tool_use_id":"toolu_1"}`,
	`{"session_id":"bench","cwd":"/work","permission_mode":"default","hook_event_name":"PostToolUse","tool_name":"Read",` +
		`"tool_input":{"file_path":"/home/dev/notes.txt"},"tool_response":{"type":"text","file":{"content":"` + strings.Repeat("0123456789abcde ", 128) +
		`"}},"tool_use_id":"toolu_1","duration_ms":12}`,
}

// hooks measures how long agents wait for the answers to their hooks.
func (b *bench) hooks(ctx context.Context) error {
	return b.with(ctx, "hooks", func(st *stack) error {
		p, err := st.serve(ctx, coordinator{namespace: "hooks"})
		if err != nil {
			return err
		}
		var p50, p99 []time.Duration
		for range b.rounds {
			times, err := hookTimes(ctx, p, max(leastHooks, int(b.duration.Seconds()*hookRate)))
			if err != nil {
				return err
			}
			slices.Sort(times)
			p50, p99 = append(p50, middle(times)), append(p99, times[len(times)*99/100])
			b.say("    %-36s p50 %v, p99 %v, max %v", "hooks", p50[len(p50)-1], p99[len(p99)-1], times[len(times)-1])
		}
		b.span("POST /hooks/claude-code at 100/s, 16 connections, p50", middle(p50), 2*time.Millisecond)
		b.span("the same, p99", middle(p99), 5*time.Millisecond)
		return nil
	})
}

// hookTimes sends n hooks at hookRate from agents in turn, and returns how long each answer took.
func hookTimes(ctx context.Context, p *program, n int) ([]time.Duration, error) {
	requests := make([][]byte, len(hookBodies))
	for i, body := range hookBodies {
		requests[i] = wire.AppendPost(nil, p.addr, "/hooks/claude-code", []byte(body))
	}
	before, err := p.metric(ctx, recordedHooks)
	if err != nil {
		return nil, err
	}
	times, failed := make([]time.Duration, n), make([]error, hookAgents)
	began := time.Now()
	var agents sync.WaitGroup
	for agent := range hookAgents {
		agents.Go(func() {
			conn, err := wire.DialHTTP(ctx, p.addr)
			if err != nil {
				failed[agent] = err
				return
			}
			defer conn.Close()
			for i := agent; i < n; i += hookAgents {
				if failed[agent] = pause(ctx, time.Until(began.Add(time.Duration(i)*time.Second/hookRate))); failed[agent] != nil {
					return
				}
				sent := time.Now()
				answer, err := conn.Do(requests[i/hookAgents%len(requests)])
				if err == nil && string(answer) != "{}" {
					err = fmt.Errorf("a hook was answered with %q", answer)
				}
				if times[i], failed[agent] = time.Since(sent), err; err != nil {
					return
				}
			}
		})
	}
	agents.Wait()
	if err := errors.Join(failed...); err != nil {
		return nil, err
	}
	after, err := p.metric(ctx, recordedHooks)
	if err == nil && after-before != float64(n) {
		err = fmt.Errorf("%v of %d hooks were recorded", after-before, n)
	}
	return times, err
}

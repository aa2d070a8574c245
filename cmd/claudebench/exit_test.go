package main

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/claudebench/claudebench/lua"
)

func TestExitCodes(t *testing.T) {
	t.Parallel()
	plain := errors.New("broken")
	for want, list := range map[int][]error{
		0:               {nil, usageError(nil), unavailableError(nil)},
		exitFailed:      {plain, exitError{code: exitFailed}, fmt.Errorf("x: %w", plain)},
		exitUsage:       {usageError(plain), fmt.Errorf("x: %w", usageError(plain)), unavailableError(usageError(plain))},
		exitUnavailable: {unavailableError(plain), fmt.Errorf("x: %w", lua.ErrUnavailable), &net.OpError{Op: "dial", Err: plain}},
	} {
		for _, err := range list {
			if got := exitCode(err); got != want {
				t.Errorf("%v ends with %d, want %d", err, got, want)
			}
		}
	}
}

func TestWrongUsageEndsWith2(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"nonsense"},
		{"verify", "surplus"},
		{"verify", "--nonsense"},
		{"verify", "--wait", "long"},
		{"rebuild"},
		{"verify", "--data-dir", t.TempDir()},
	} {
		if got := execute(t, nil, args...); got.code != exitUsage || got.log == "" {
			t.Errorf("%q ended with %d: %s", args, got.code, got.log)
		}
	}
	for want, args := range map[string][]string{
		"state, metrics, tasks, all": {"rebuild", "foo"}, "task.created": {"replay", "--types", "task.foo"},
	} {
		if got := execute(t, nil, args...); got.code != exitUsage || !strings.Contains(got.log, want) {
			t.Errorf("%q ended with %d and does not name %s: %s", args, got.code, want, got.log)
		}
	}
	if got := execute(t, []string{"CB_LOG_LEVEL=loud"}, "verify"); got.code != exitUsage {
		t.Errorf("a variable that cannot be read: %d: %s", got.code, got.log)
	}
	const nobody = "redis://127.0.0.1:1"
	for _, args := range [][]string{{"verify"}, {"rebuild", "state"}, {"replay"}, {"tail"}} {
		if got := execute(t, nil, append(args, "--redis-url", nobody)...); got.code != exitUnavailable {
			t.Errorf("%q without a Redis ended with %d: %s", args, got.code, got.log)
		}
	}
}

package lua

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/internal/keys"
	"github.com/claudebench/claudebench/internal/testenv"
)

func callsOf(s *Script, key string, args ...[]any) []*pending {
	calls := make([]*pending, len(args))
	for i, a := range args {
		calls[i] = &pending{script: s, keys: []string{key}, args: a, done: make(chan struct{})}
	}
	return calls
}

func TestLotsHoldCallsThatCanGoTogether(t *testing.T) {
	t.Parallel()
	in := script("-- Adds.\n--- @lot 2\nreturn 1\n")
	alone := script("-- Adds.\nreturn 1\n")
	batch := callsOf(in, "k", []any{1}, []any{2}, []any{3})
	batch = append(batch, callsOf(alone, "k", []any{1}, []any{2})...)
	batch = append(batch, callsOf(in, "k", []any{1, 2})...)
	batch = append(batch, callsOf(in, "other", []any{1, 2})...)
	var sizes []string
	for _, l := range lots(batch) {
		sizes = append(sizes, strconv.Itoa(len(l.calls)))
		if (len(l.calls) > 1) != (l.script == in.Lot) {
			t.Errorf("a lot of %d calls is run by the script of a single one, or the other way round", len(l.calls))
		}
	}
	if got := strings.Join(sizes, " "); got != "2 1 1 1 1 1" {
		t.Errorf("lots of %s calls, want 2 1 1 1 1 1: at most two, same keys, as many arguments", got)
	}
}

func TestEachCallOfALotHasItsOwnAnswer(t *testing.T) {
	t.Parallel()
	r := NewRunner(testenv.Client(t))
	key := testenv.Namespace(t)
	s := script(`-- Answers in every way.
--- @lot 16
if ARGV[1] == 'refuse' then return redis.error_reply('CONFLICT {"n":' .. ARGV[2] .. '}') end
redis.call('INCR', KEYS[1])
if ARGV[1] == 'raise' then return redis.call('NOSUCHCOMMAND') end
if ARGV[1] == 'fault' then return nil .. 'x' end
if ARGV[1] == 'none' then return nil end
if ARGV[1] == 'table' then return { 1, 'two' } end
return ARGV[2]
`)
	kinds := []string{"text", "refuse", "raise", "none", "fault", "table", "text"}
	var args [][]any
	for i, kind := range kinds {
		args = append(args, []any{kind, i})
	}
	calls := callsOf(s, key, args...)
	r.send(calls)
	for i, c := range calls {
		<-c.done
		switch kinds[i] {
		case "text":
			if c.reply != strconv.Itoa(i) || c.err != nil {
				t.Errorf("call %d: %v, %v", i, c.reply, c.err)
			}
		case "refuse":
			var refused *Error
			if !errors.As(c.err, &refused) || refused.Detail != fmt.Sprintf(`{"n":%d}`, i) {
				t.Errorf("call %d was refused with %v", i, c.err)
			}
		case "raise", "fault":
			if c.err == nil || errors.Is(c.err, ErrUnavailable) || errors.Is(c.err, ErrOutcomeUnknown) {
				t.Errorf("call %d failed with %v, want a fault", i, c.err)
			}
		case "none":
			if c.reply != nil || c.err != nil {
				t.Errorf("call %d: %v, %v", i, c.reply, c.err)
			}
		case "table":
			if fmt.Sprint(c.reply) != "[1 two]" || c.err != nil {
				t.Errorf("call %d: %v, %v", i, c.reply, c.err)
			}
		}
	}
	if n, err := testenv.Client(t).Get(t.Context(), key).Int(); err != nil || n != len(kinds)-1 {
		t.Errorf("%d calls ran, want %d: %v", n, len(kinds)-1, err)
	}
}

func TestALotOfCommandsLeavesNoGapInTheLog(t *testing.T) {
	t.Parallel()
	client := testenv.Client(t)
	r := NewRunner(client)
	space, err := keys.New(testenv.Namespace(t))
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	create := func(limit any) []any {
		return []any{`"actor":"a","cause":null,"trace":null`, "task.create:a", limit, "", "", "text", 50, "", "", "", "", ""}
	}
	send := func(args ...[]any) (failed []bool) {
		calls := callsOf(Named("create_task"), space.Log(), args...)
		r.send(calls)
		for _, c := range calls {
			<-c.done
			failed = append(failed, c.err != nil)
		}
		return failed
	}
	// The second call fails before its event.
	if failed := send(create(0), create("no number"), create(0)); !slices.Equal(failed, []bool{false, true, false}) {
		t.Errorf("failed: %v", failed)
	}
	last, err := client.XRevRangeN(ctx, space.Events(), "+", "-", 1).Result()
	if err != nil {
		t.Fatal(err)
	}
	// While an entry of another program is the last one, no event can be added.
	if err := client.XAdd(ctx, &redis.XAddArgs{Stream: space.Events(), ID: "99999999999999-1", Values: []any{"x", "y"}}).Err(); err != nil {
		t.Fatal(err)
	}
	if failed := send(create(0), create(0)); !slices.Equal(failed, []bool{true, true}) {
		t.Errorf("failed behind a later entry: %v", failed)
	}
	if err := client.XDel(ctx, space.Events(), "99999999999999-1").Err(); err != nil {
		t.Fatal(err)
	}
	if err := client.Do(ctx, "XSETID", space.Events(), last[0].ID).Err(); err != nil {
		t.Fatal(err)
	}
	if failed := send(create(0), create(0)); slices.Contains(failed, true) {
		t.Errorf("failed afterwards: %v", failed)
	}
	log, err := client.XRange(ctx, space.Events(), "-", "+").Result()
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range log {
		if _, seq, _ := strings.Cut(e.ID, "-"); seq != strconv.Itoa(i+1) {
			t.Errorf("event %d of the log is %s", i+1, e.ID)
		}
	}
	if len(log) != 4 {
		t.Errorf("%d events for four tasks", len(log))
	}
}

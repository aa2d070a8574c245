package events

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/internal/keys"
	"github.com/claudebench/claudebench/internal/testenv"
)

// wait is how long a test waits for something that must happen.
const wait = 20 * time.Second

// quiet keeps the logs of expected faults out of a test's output.
var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// testLog writes events as the scripts do: the entry, the topic's entry and cb:log in one step.
type testLog struct {
	tb     testing.TB
	client redis.UniversalClient
	ns     string
	space  keys.Space

	mu   sync.Mutex
	last ID
}

func newTestLog(tb testing.TB) *testLog {
	return newTestLogOn(tb, testenv.Client(tb), testenv.Namespace(tb))
}

func newTestLogOn(tb testing.TB, client redis.UniversalClient, ns string) *testLog {
	space, err := keys.New(ns)
	if err != nil {
		tb.Fatal(err)
	}
	return &testLog{tb: tb, client: client, ns: ns, space: space}
}

// add appends n events of a type and returns their IDs.
func (l *testLog) add(typ Type, n int) []ID {
	l.tb.Helper()
	ids := make([]ID, 0, n)
	for range n {
		ids = append(ids, ID{})
	}
	var payloads []json.RawMessage
	for i := range n {
		payloads = append(payloads, json.RawMessage(fmt.Sprintf(`{"n":%d}`, i)))
	}
	got, err := l.append(typ, payloads...)
	if err != nil {
		l.tb.Fatalf("append to the log: %v", err)
	}
	copy(ids, got)
	return ids
}

func (l *testLog) append(typ Type, payloads ...json.RawMessage) ([]ID, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	last := l.last
	ids := make([]ID, 0, len(payloads))
	ctx := context.Background()
	_, err := l.client.TxPipelined(ctx, func(p redis.Pipeliner) error {
		for _, payload := range payloads {
			last = ID{MS: max(last.MS, time.Now().UnixMilli()), Seq: last.Seq + 1}
			data, err := Envelope{ID: last, Seq: last.Seq, Type: typ, V: 1, Timestamp: last.MS, Actor: "test", Payload: payload}.Encode()
			if err != nil {
				return err
			}
			for _, stream := range []string{l.space.Events(), l.space.Topic(string(typ))} {
				p.XAdd(ctx, &redis.XAddArgs{Stream: stream, ID: last.String(), Values: []any{"data", data}})
			}
			ids = append(ids, last)
		}
		p.HSet(ctx, l.space.Log(), "seq", last.Seq, "ms", last.MS)
		return nil
	})
	if err != nil {
		return nil, err
	}
	l.last = last
	return ids, nil
}

// raw appends an arbitrary entry to the log.
func (l *testLog) raw(id string, values ...any) {
	l.tb.Helper()
	if err := l.client.XAdd(context.Background(), &redis.XAddArgs{Stream: l.space.Events(), ID: id, Values: values}).Err(); err != nil {
		l.tb.Fatalf("put a foreign entry into the log: %v", err)
	}
}

// bad appends an event that has the next seq and does not decode.
func (l *testLog) bad() ID {
	l.tb.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = ID{MS: max(l.last.MS, time.Now().UnixMilli()), Seq: l.last.Seq + 1}
	l.raw(l.last.String(), "data", `{"broken":`)
	return l.last
}

// flush removes the streams, then moves base, in the order of a flush.
func (l *testLog) flush() {
	l.tb.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	ctx := context.Background()
	streams := []string{l.space.Events()}
	for _, typ := range append(Types(), "test.event") {
		streams = append(streams, l.space.Topic(string(typ)))
	}
	if err := l.client.Unlink(ctx, streams...).Err(); err != nil {
		l.tb.Fatal(err)
	}
	if err := l.client.HSet(ctx, l.space.Log(), "base", l.last.Seq+1).Err(); err != nil {
		l.tb.Fatal(err)
	}
}

// trim removes all events before the given one.
func (l *testLog) trim(to ID) {
	l.tb.Helper()
	ctx := context.Background()
	_, err := l.client.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.HSet(ctx, l.space.Log(), "base", to.Seq)
		p.XTrimMinID(ctx, l.space.Events(), to.String())
		return nil
	})
	if err != nil {
		l.tb.Fatal(err)
	}
}

// rollback removes all events after the given one, as an older file would.
func (l *testLog) rollback(to ID) {
	l.tb.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	ctx := context.Background()
	newer, err := l.client.XRange(ctx, l.space.Events(), "("+to.String(), "+").Result()
	if err != nil {
		l.tb.Fatal(err)
	}
	_, err = l.client.TxPipelined(ctx, func(p redis.Pipeliner) error {
		for _, m := range newer {
			p.XDel(ctx, l.space.Events(), m.ID)
		}
		p.HSet(ctx, l.space.Log(), "seq", to.Seq, "ms", to.MS)
		return nil
	})
	if err != nil {
		l.tb.Fatal(err)
	}
	// The next event is later than the lost ones.
	l.last = ID{MS: l.last.MS + 1, Seq: to.Seq}
}

func (l *testLog) reader(config ReaderConfig) *Reader {
	l.tb.Helper()
	config.Namespace = l.ns
	config.Logger = quiet
	if config.Block == 0 {
		config.Block = 100 * time.Millisecond
	}
	r, err := NewReader(l.client, config)
	if err != nil {
		l.tb.Fatal(err)
	}
	return r
}

func entryIDs(entries []Entry) []ID {
	ids := make([]ID, 0, len(entries))
	for _, e := range entries {
		ids = append(ids, e.ID)
	}
	return ids
}

func testContext(tb testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	tb.Cleanup(cancel)
	return ctx
}

// Package logtest writes event logs for tests of what reads them: the log as the scripts write it,
// and logs with faults that the scripts never make.
package logtest

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/keys"
	"github.com/claudebench/claudebench/internal/testenv"
)

// Log is a log in a namespace of its own.
type Log struct {
	Namespace string
	Client    redis.UniversalClient

	t     testing.TB
	space keys.Space

	mu   sync.Mutex
	last events.ID
}

// New returns an empty log on the test binary's shared Redis.
func New(t testing.TB) *Log { return On(t, testenv.Client(t)) }

// On returns an empty log on a Redis.
func On(t testing.TB, client redis.UniversalClient) *Log {
	t.Helper()
	l := &Log{t: t, Namespace: testenv.Namespace(t), Client: client}
	var err error
	if l.space, err = keys.New(l.Namespace); err != nil {
		t.Fatal(err)
	}
	return l
}

func (l *Log) next() events.ID {
	l.last = events.ID{MS: max(l.last.MS, time.Now().UnixMilli()), Seq: l.last.Seq + 1}
	return l.last
}

// Add appends events with one payload, and returns their IDs.
func (l *Log) Add(typ events.Type, payload string, n int) []events.ID {
	l.t.Helper()
	ids, err := l.TryAdd(typ, payload, n)
	if err != nil {
		l.t.Fatalf("append to the log: %v", err)
	}
	return ids
}

// TryAdd is Add for a Redis that may be unavailable.
func (l *Log) TryAdd(typ events.Type, payload string, n int) ([]events.ID, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before, ids, ctx := l.last, make([]events.ID, n), context.Background()
	_, err := l.Client.TxPipelined(ctx, func(p redis.Pipeliner) error {
		for i := range ids {
			ids[i] = l.next()
			data, err := events.Envelope{ID: ids[i], Seq: ids[i].Seq, Type: typ, V: 1, Timestamp: ids[i].MS, Actor: "test", Payload: json.RawMessage(payload)}.Encode()
			if err != nil {
				return err
			}
			p.XAdd(ctx, &redis.XAddArgs{Stream: l.space.Events(), ID: ids[i].String(), Values: []any{"data", data}})
		}
		p.HSet(ctx, l.space.Log(), "seq", l.last.Seq, "ms", l.last.MS)
		return nil
	})
	if err != nil {
		l.last = before
		return nil, err
	}
	return ids, nil
}

// Raw appends an entry that has the next seq, with any data.
func (l *Log) Raw(data func(events.ID) string) events.ID {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	id, ctx := l.next(), context.Background()
	if err := l.Client.XAdd(ctx, &redis.XAddArgs{Stream: l.space.Events(), ID: id.String(), Values: []any{"data", data(id)}}).Err(); err != nil {
		l.t.Fatal(err)
	}
	l.set("seq", id.Seq, "ms", id.MS)
	return id
}

func (l *Log) set(fields ...any) {
	l.t.Helper()
	if err := l.Client.HSet(context.Background(), l.space.Log(), fields...).Err(); err != nil {
		l.t.Fatal(err)
	}
}

// Skip leaves out seqs, as no script does.
func (l *Log) Skip(n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last.Seq += n
}

// Clear removes the log as the first half of a flush does.
func (l *Log) Clear() {
	l.t.Helper()
	if err := l.Client.Unlink(context.Background(), l.space.Events()).Err(); err != nil {
		l.t.Fatal(err)
	}
}

// Flush removes the log and appends the event of a flush.
func (l *Log) Flush() events.ID {
	l.t.Helper()
	l.Clear()
	l.mu.Lock()
	l.set("base", l.last.Seq+1)
	l.mu.Unlock()
	return l.Add(events.TypeSystemFlushed, `{"redis":1}`, 1)[0]
}

// Trim removes all events before one.
func (l *Log) Trim(to events.ID) {
	l.t.Helper()
	l.set("base", to.Seq)
	if err := l.Client.XTrimMinID(context.Background(), l.space.Events(), to.String()).Err(); err != nil {
		l.t.Fatal(err)
	}
}

// RollBack removes all events after one, as an older file does. The zero ID removes the whole log.
func (l *Log) RollBack(to events.ID) {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	ctx := context.Background()
	newer, err := l.Client.XRange(ctx, l.space.Events(), "("+to.String(), "+").Result()
	if err != nil {
		l.t.Fatal(err)
	}
	_, err = l.Client.TxPipelined(ctx, func(p redis.Pipeliner) error {
		for _, m := range newer {
			p.XDel(ctx, l.space.Events(), m.ID)
		}
		if to.IsZero() {
			p.Del(ctx, l.space.Log(), l.space.Events())
			return nil
		}
		p.HSet(ctx, l.space.Log(), "seq", to.Seq, "ms", to.MS)
		return nil
	})
	if err != nil {
		l.t.Fatal(err)
	}
	l.last = events.ID{MS: l.last.MS + 1, Seq: to.Seq}
}

// Entries returns the log's events, as text, by ID.
func (l *Log) Entries() map[string]string {
	l.t.Helper()
	page, err := l.Client.XRange(context.Background(), l.space.Events(), "-", "+").Result()
	if err != nil {
		l.t.Fatal(err)
	}
	all := map[string]string{}
	for _, m := range page {
		all[m.ID] = fmt.Sprint(m.Values["data"])
	}
	return all
}

package rpc_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/httpapi"
	"github.com/claudebench/claudebench/internal/rpc"
)

const createCall = `{"jsonrpc":"2.0","method":"task.create","params":{"text":"summarise chapter %[1]d of the report","priority":50,"metadata":{"source":"bench","roles":[]}},"id":%[1]d}`

var task = json.RawMessage(`{"id":"t-1","text":"summarise chapter 1 of the report","status":"pending","priority":50,"assignedTo":null,"attempt":0,"metadata":{"source":"bench"},"result":null,"error":null,"createdAt":"2026-01-02T03:04:05.678Z","updatedAt":"2026-01-02T03:04:05.678Z","completedAt":null}`)

func batchOf(n int) string {
	calls := make([]string, n)
	for i := range calls {
		calls[i] = fmt.Sprintf(createCall, i)
	}
	return "[" + strings.Join(calls, ",") + "]"
}

// sink is a ResponseWriter that discards everything, so that the benchmark does not measure the
// recorder.
type sink struct{ head http.Header }

func (s *sink) Header() http.Header         { return s.head }
func (s *sink) WriteHeader(int)             {}
func (s *sink) Write(b []byte) (int, error) { return len(b), nil }

func bench(b *testing.B, d httpapi.Dispatcher, body string, calls int) {
	h := rpc.NewHandler(d, rpc.Options{Log: quiet})
	reader := strings.NewReader(body)
	r := httptest.NewRequestWithContext(context.Background(), "POST", "/rpc", nil)
	r.Header.Set("Content-Type", "application/json")
	r.ContentLength = int64(len(body))
	w := &sink{head: http.Header{}}
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		reader.Reset(body)
		r.Body = io.NopCloser(reader)
		h.ServeHTTP(w, r)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*calls), "ns/call")
}

func BenchmarkSingle(b *testing.B) { bench(b, trivial, batchOf(1)[1:len(batchOf(1))-1], 1) }

func BenchmarkBatch100(b *testing.B) { bench(b, trivial, batchOf(100), 100) }

// BenchmarkBatch100Waiting measures a batch whose calls wait, as they do for Redis, until all of
// them have begun.
func BenchmarkBatch100Waiting(b *testing.B) { benchWaiting(b, 0) }

// BenchmarkBatch100Deep is BenchmarkBatch100Waiting with as much stack in use as validating params
// by a schema takes.
func BenchmarkBatch100Deep(b *testing.B) { benchWaiting(b, 14) }

func benchWaiting(b *testing.B, frames int) {
	arrived := make(chan chan struct{}, 256)
	go func() {
		waiting := make([]chan struct{}, 0, 100)
		for c := range arrived {
			if waiting = append(waiting, c); len(waiting) == cap(waiting) {
				for _, c := range waiting {
					close(c)
				}
				waiting = waiting[:0]
			}
		}
	}()
	defer close(arrived)
	d := dispatch(func(context.Context, api.Request) (json.RawMessage, *api.Error) {
		done := make(chan struct{})
		below(frames, func() {
			arrived <- done
			<-done
		})
		return task, nil
	})
	bench(b, d, batchOf(100), 100)
}

// below calls f below that many stack frames of half a kilobyte.
//
//go:noinline
func below(frames int, f func()) byte {
	var room [512]byte
	if frames == 0 {
		f()
		return room[0]
	}
	room[frames] = 1
	return below(frames-1, f) + room[frames]
}

var trivial = dispatch(func(context.Context, api.Request) (json.RawMessage, *api.Error) { return task, nil })

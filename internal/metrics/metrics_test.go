package metrics

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/claudebench/claudebench/internal/callstats"
	"github.com/claudebench/claudebench/internal/command"
	"github.com/claudebench/claudebench/internal/taskview"
	"github.com/claudebench/claudebench/projections"
)

// store is a Redis that replies only when released, or with an error.
type store struct {
	most, now atomic.Int64
	answer    chan struct{} // nil: at once
	err       error
}

func (*store) Methods() []*command.Method { return nil }
func (*store) Stats() []callstats.Stats   { return nil }
func (*store) Waiting() int               { return 0 }
func (*store) ClaimAttempts() int64       { return 0 }

func (s *store) Gauges(context.Context, taskview.Checkpoints) (*Gauges, error) {
	if now := s.now.Add(1); now > s.most.Load() {
		s.most.Store(now)
	}
	defer s.now.Add(-1)
	if s.answer != nil {
		<-s.answer
	}
	return &Gauges{}, s.err
}

func (s *store) Counts() map[string]uint64 { return nil }

func (s *store) Decisions() map[string]uint64 { return nil }

func handler(t *testing.T, s *store, log io.Writer) http.Handler {
	t.Helper()
	h, err := NewHandler(Sources{
		Commands: s, Writable: func(context.Context) error { return nil }, Gauges: s.Gauges, Projections: func() []projections.Status { return nil }, Hooks: s, Logger: slog.New(slog.NewTextHandler(log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func read(h http.Handler) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return w
}

// While Redis hangs, only one of the concurrent scrapes reads it at a time.
func TestScrapesDoNotPileUp(t *testing.T) {
	t.Parallel()
	const scrapers = 50
	s := &store{answer: make(chan struct{})}
	h := handler(t, s, io.Discard)
	var came, answered sync.WaitGroup
	came.Add(scrapers)
	for range scrapers {
		answered.Go(func() {
			came.Done()
			if w := read(h); w.Code != http.StatusOK {
				t.Errorf("status %d", w.Code)
			}
		})
	}
	came.Wait()
	s.answer <- struct{}{} // a scrape asks
	close(s.answer)
	answered.Wait()
	if n := s.most.Load(); n != 1 {
		t.Errorf("it is asked by %d at once", n)
	}
}

// A fault of the coordinator is logged, leaves out the unknown values, and does not report Redis as
// down.
func TestFaultsAreLogged(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	w := read(handler(t, &store{err: errors.New("the script is wrong")}, &log))
	body := w.Body.String()
	if w.Code != http.StatusOK || !strings.Contains(body, "\nclaudebench_redis_up 1\n") || strings.Contains(body, "claudebench_tasks_open") ||
		!strings.Contains(body, `claudebench_build_info{version="unknown"} 1`) {
		t.Errorf("%d %s", w.Code, body)
	}
	if !strings.Contains(log.String(), "the script is wrong") {
		t.Errorf("logged %q", &log)
	}
}

package browsertest

import (
	"cmp"
	"encoding/json"
	"slices"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/tracing"
)

// Task is a task of the main thread of a page: what happens between two moments at which the page can
// react. CPU is the time that the thread worked. Wall also has the time in which the machine did other
// work.
type Task struct{ CPU, Wall time.Duration }

// taskCategory is the category of trace events of tasks, as the browser's own tools show them.
const taskCategory = "disabled-by-default-devtools.timeline"

// trace is what a browser has told of a trace. It is complete when done is closed.
type trace struct {
	done    chan struct{}
	lost    bool // the browser has dropped events
	threads map[thread]string
	tasks   map[thread][]Task
}

type thread struct{ PID, TID int64 }

// Trace traces the pages of the browser while `during` runs, and returns their tasks, the one that took
// the most CPU time first. Only one trace can run at a time, so a test that traces is not parallel.
func (b *Tab) Trace(during func()) []Task {
	b.t.Helper()
	t := &trace{done: make(chan struct{}), threads: map[thread]string{}, tasks: map[thread][]Task{}}
	b.mu.Lock()
	b.trace = t
	b.mu.Unlock()
	b.do(run(tracing.Start, tracing.StartParams{
		TransferMode: tracing.StartTransferModeReportEvents,
		TraceConfig:  &tracing.TraceConfig{IncludedCategories: []string{taskCategory}, ExcludedCategories: []string{"*"}},
	}))
	during()
	b.do(run(tracing.End, cdp.Empty{}))
	select {
	case <-t.done:
	case <-time.After(Patience):
		b.t.Fatal("the trace did not end")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.trace = nil
	if t.lost {
		b.t.Fatal("the browser lost a part of the trace")
	}
	var tasks []Task
	for at, list := range t.tasks {
		if t.threads[at] == "CrRendererMain" {
			tasks = append(tasks, list...)
		}
	}
	slices.SortFunc(tasks, func(a, b Task) int { return cmp.Compare(b.CPU, a.CPU) })
	return tasks
}

// add adds a part of a trace. Times are in microseconds.
func (t *trace) add(e *tracing.EventDataCollected) {
	for _, value := range e.Value {
		var event struct {
			thread
			Name      string
			Dur, TDur int64
			Args      struct{ Name string }
		}
		if json.Unmarshal(value, &event) != nil {
			continue // an event of another shape
		}
		switch event.Name {
		case "thread_name":
			t.threads[event.thread] = event.Args.Name
		case "RunTask":
			t.tasks[event.thread] = append(t.tasks[event.thread], Task{
				CPU: time.Duration(event.TDur) * time.Microsecond, Wall: time.Duration(event.Dur) * time.Microsecond,
			})
		}
	}
}

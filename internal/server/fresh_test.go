package server

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/testenv"
)

// freshPage is the result of task.list with how far it is behind.
type freshPage struct {
	page
	Behind *struct{ Events, MS int64 }
}

// While the log is busy, task.list returns every task that was created before the call, or says that
// it is behind.
func TestListIsFreshWhileTheLogIsBusy(t *testing.T) {
	t.Parallel()
	cfg := settings(t, func(c *config.Config) { c.DatabaseURL = testenv.Postgres(t) })
	both := []*client{start(t, cfg), start(t, cfg)} // one of them runs the projection
	for _, c := range both {
		c.ready(t)
	}

	var running sync.WaitGroup
	stop := make(chan struct{})
	halt := sync.OnceFunc(func() {
		close(stop)
		running.Wait()
	})
	t.Cleanup(halt)
	tasks := make([]params, 50)
	for i := range tasks {
		tasks[i] = params{"text": fmt.Sprint("of the load ", i), "priority": 50}
	}
	for _, c := range both {
		running.Go(func() {
			pace := time.NewTicker(20 * time.Millisecond)
			defer pace.Stop()
			for {
				if text, err := c.ask("task.create_many", params{"tasks": tasks}); err != nil {
					t.Errorf("task.create_many: %s, %v", text, err)
				}
				select {
				case <-stop:
					return
				case <-pace.C:
				}
			}
		})
	}
	rdb, space := redisOf(t, cfg), keysOf(t, cfg)
	logged := func() int64 { return rdb.XLen(t.Context(), space.Events()).Val() }

	const (
		probe    = 7 // the priority of the tasks that are looked for
		patience = 500 * time.Millisecond
	)
	var created []string
	const lists = 30
	var took [2][]time.Duration // by coordinator
	behind := 0
	for n := range lists {
		before := logged()
		testenv.Eventually(t, 30*time.Second, func() (bool, string) { return logged() > before, "the log is quiet" })
		writer, reader := both[n/2%2], both[n%2]
		for range 1 + n%3 {
			created = append(created, writer.create(t, params{"text": "probe", "priority": probe}))
		}
		asked := time.Now()
		got := call[freshPage](t, reader, "task.list", params{"priority": probe, "limit": 1000, "order": "asc"})
		waited := time.Since(asked)
		took[n%2] = append(took[n%2], waited)
		switch {
		case got.Behind != nil:
			behind++
			if got.Behind.Events < 1 || waited < patience {
				t.Errorf("after %v the list is behind by %+v", waited, *got.Behind)
			}
		case got.TotalCount != len(created) || !slices.Equal(ids(got.page), created):
			t.Fatalf("the list has %v of %v, and is not behind", ids(got.page), created)
		}
	}
	halt()
	agree(t, both[0], cfg)
	if behind == lists {
		t.Error("every list is behind, and none was compared")
	}
	for i, times := range took {
		slices.Sort(times)
		t.Logf("coordinator %d: median %v, longest %v", i, times[len(times)/2], times[len(times)-1])
	}
	t.Logf("%d of %d lists are behind, with %d events in the log", behind, lists, logged())
}

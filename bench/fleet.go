package main

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"strconv"
)

// workerName names the i-th worker of a fleet.
func workerName(fleet string, i int) string { return fleet + "-" + strconv.Itoa(i) }

// registerWorkers registers n workers, each of which takes up to most tasks.
func registerWorkers(ctx context.Context, p *program, fleet string, n, most int) error {
	for from := 0; from < n; from += batchSize {
		err := once(ctx, p, batch(p.addr, "system.register", min(batchSize, n-from), func(i int) string {
			return registration(workerName(fleet, from+i), most)
		}))
		if err != nil {
			return err
		}
	}
	return nil
}

func registration(id string, most int) string {
	return fmt.Sprintf(`{"id":%q,"roles":["worker"],"metadata":{"maxTasks":%d}}`, id, most)
}

// createTasks creates n tasks with the bare script.
func createTasks(ctx context.Context, st *stack, namespace string, n int) error {
	command, err := bareCreate(ctx, st, namespace)
	if err != nil {
		return err
	}
	return pipeline(ctx, st, n, func(b []byte, _ int) []byte { return append(b, command...) })
}

// pipeline runs n commands, as many per round trip as a batch has calls.
func pipeline(ctx context.Context, st *stack, n int, command func(b []byte, i int) []byte) error {
	conn, err := st.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	var commands []byte
	for from := 0; from < n; from += batchSize {
		size := min(batchSize, n-from)
		commands = commands[:0]
		for i := range size {
			commands = command(commands, from+i)
		}
		if err := conn.Send(commands); err != nil {
			return err
		}
		if err := conn.Skip(size); err != nil {
			return err
		}
	}
	return nil
}

var (
	taskID   = []byte(`"taskId":"`)
	objectID = []byte(`{"id":"t-`)
	first    = []byte(`"task":`)
)

// claimedIDs returns the ids of the tasks in the result of task.claim, or of a batch of calls. If a
// call asked for several tasks, its `tasks` has all of them, and its `task` repeats the first.
func claimedIDs(answer []byte, several bool) iter.Seq[[]byte] {
	mark := taskID
	if several {
		mark = objectID
	}
	return func(yield func([]byte) bool) {
		for {
			at := bytes.Index(answer, mark)
			if at < 0 {
				return
			}
			again := several && bytes.HasSuffix(answer[:at], first)
			id := answer[at+len(mark):]
			if several {
				id = answer[at+len(mark)-len("t-"):]
			}
			end := bytes.IndexByte(id, '"')
			if end < 0 || !again && !yield(id[:end]) {
				return
			}
			answer = id[end:]
		}
	}
}

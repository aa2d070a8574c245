package client_test

import (
	"context"
	"fmt"
	"log" //nolint:depguard // an example for people to read
	"strings"

	"github.com/claudebench/claudebench/client"
)

// A worker that counts words. It ends when no task is left.
func Example() {
	url, stop := startForExample()
	defer stop()
	ctx := context.Background()

	c, err := client.New(url, "") // the token, if the coordinator has an auth file
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	task, err := c.CreateTask(ctx, client.CreateTaskParams{Text: "the quick brown fox"})
	if err != nil {
		log.Fatal(err)
	}

	w := client.NewWorker(c, client.WorkerOptions{ID: "worker-1", UntilEmpty: true})
	err = w.Run(ctx, func(_ context.Context, t *client.Task) (any, error) {
		return map[string]int{"words": len(strings.Fields(t.Text))}, nil
	})
	if err != nil {
		log.Fatal(err)
	}

	done, err := c.GetTask(ctx, task.ID)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(done.Status, string(done.Result))
	// Output: completed {"words":4}
}

// A call that the coordinator refuses.
func ExampleIsConflict() {
	url, stop := startForExample()
	defer stop()
	ctx := context.Background()

	c, err := client.New(url, "")
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	task, err := c.CreateTask(ctx, client.CreateTaskParams{Text: "not claimed"})
	if err != nil {
		log.Fatal(err)
	}
	_, err = c.CompleteTask(ctx, client.CompleteTaskParams{ID: task.ID})
	fmt.Println(client.IsConflict(err, "NOT_ASSIGNED"), client.ConflictReason(err))
	// Output: true NOT_ASSIGNED
}

// A handler that says how far it is. It ends when its task is called off.
func ExampleProgress() {
	url, stop := startForExample()
	defer stop()
	ctx := context.Background()

	c, err := client.New(url, "")
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	task, err := c.CreateTask(ctx, client.CreateTaskParams{Text: "the quick brown fox", TimeoutMs: new(60_000)})
	if err != nil {
		log.Fatal(err)
	}

	w := client.NewWorker(c, client.WorkerOptions{ID: "worker-1", UntilEmpty: true})
	err = w.Run(ctx, func(ctx context.Context, t *client.Task) (any, error) {
		words := strings.Fields(t.Text)
		for i, word := range words {
			percent := 100 * float64(i+1) / float64(len(words))
			if err := client.Progress(ctx, client.ProgressParams{Percent: &percent, Message: &word}); err != nil {
				return nil, err
			}
		}
		return len(words), nil
	})
	if err != nil {
		log.Fatal(err)
	}

	done, err := c.GetTask(ctx, task.ID)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(done.Status, *done.Progress.Percent, *done.Progress.Message)
	// Output: completed 100 fox
}

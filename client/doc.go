// Package client calls a ClaudeBench coordinator, and runs workers.
//
// A [Client] makes calls. It has a method for each method of the API, and [Client.Call] for a method
// by its name:
//
//	c, err := client.New("http://127.0.0.1:3000", os.Getenv("CB_TOKEN"))
//	task, err := c.CreateTask(ctx, client.CreateTaskParams{Text: "summarise chapter one"})
//
// A [Worker] claims tasks and passes each to a function. It registers, sends heartbeats, reports the
// results, and tells a function by its context that its task has gone to somebody else:
//
//	w := client.NewWorker(c, client.WorkerOptions{ID: "worker-1"})
//	err := w.Run(ctx, func(ctx context.Context, t *client.Task) (any, error) {
//		return map[string]int{"words": len(strings.Fields(t.Text))}, nil
//	})
//
// The function can say how far it is by [Progress], and its context also ends when the task was called
// off; see [ErrCancelled].
//
// # Errors
//
// An error that the coordinator returned is an [*Error]. An error of the connection is a
// [*ConnectionError]. The functions IsConflict, IsNotRegistered, IsRateLimited, IsUnavailable,
// OutcomeUnknown and the like accept both, wrapped or not.
//
// # Retries
//
// A Client repeats a failed call for a while, ten seconds unless [WithRetry] says otherwise, but only
// if that is safe:
//
//   - after a rate limit, when the coordinator says that the limit has room again;
//   - after an error that changed nothing: Redis was unavailable, or no connection was made;
//   - after an error that leaves the outcome unknown, if the call only reads, or if it has an
//     idempotency key and so cannot happen twice.
//
// A call ends when its context does. Without a deadline it ends some seconds after the time that the
// coordinator has for the method, so that a coordinator that hangs cannot block its callers forever.
package client

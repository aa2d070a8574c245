// Command worker is a minimal agent: it registers, claims tasks, does them and sends heartbeats,
// over plain HTTP and JSON with the standard library alone. Its work is to count the words of a
// task's text.
//
//	go run ./examples/worker --id worker-1
//
// It may be killed at any moment. It completes a task with the attempt of its claim, so it cannot
// complete a task that was given to another worker in the meantime. It repeats a call whose reply
// was lost with the same idempotency key, so nothing happens twice. If the coordinator requires a
// token, set CB_TOKEN.
package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log" //nolint:depguard // an example for people to read, in a terminal
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func main() {
	w := worker{session: rand.Text()}
	flag.StringVar(&w.id, "id", "worker-1", "id of this worker")
	flag.StringVar(&w.url, "url", cmp.Or(os.Getenv("CB_URL"), "http://127.0.0.1:3000"), "URL of the coordinator [CB_URL]")
	flag.DurationVar(&w.work, "work", 0, "minimum time for each task")
	flag.DurationVar(&w.beat, "heartbeat", 10*time.Second, "interval between heartbeats")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := w.run(ctx); err != nil {
		log.Fatal(err)
	}
}

type worker struct {
	id, url, session string
	work, beat       time.Duration
}

// task has the members of a task that the worker uses.
type task struct {
	ID      string `json:"id"`
	Text    string `json:"text"`
	Attempt int    `json:"attempt"`
}

func (w worker) run(ctx context.Context) error {
	if err := w.register(ctx); err != nil {
		return err
	}
	log.Printf("%s is registered", w.id)
	go w.heartbeats(ctx)
	for ctx.Err() == nil {
		var claim struct {
			Claimed bool `json:"claimed"`
			Task    task `json:"task"`
		}
		err := w.repeat(ctx, "task.claim", map[string]any{"workerId": w.id, "idempotencyKey": rand.Text()}, &claim)
		switch {
		case err != nil:
			log.Print(err)
			pause(ctx, time.Second)
		case !claim.Claimed:
			pause(ctx, 500*time.Millisecond)
		default:
			w.do(ctx, claim.Task)
		}
	}
	// Unregistering returns unfinished tasks at once. Otherwise they wait until the registration
	// expires.
	last, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return w.call(last, "system.unregister", map[string]any{"instanceId": w.id, "sessionId": w.session}, nil)
}

func (w worker) register(ctx context.Context) error {
	return w.repeat(ctx, "system.register", map[string]any{
		"id": w.id, "roles": []string{"worker"}, "metadata": map[string]any{"sessionId": w.session, "maxTasks": 5},
	}, nil)
}

// heartbeats keeps the registration alive. If it has expired, the worker registers again, and the
// same session lets it keep the tasks that it still holds.
func (w worker) heartbeats(ctx context.Context) {
	for pause(ctx, w.beat) {
		var answer struct {
			Alive bool `json:"alive"`
		}
		err := w.call(ctx, "system.heartbeat", map[string]any{"instanceId": w.id}, &answer)
		if err == nil && !answer.Alive {
			err = w.register(ctx)
		}
		if err != nil && ctx.Err() == nil {
			log.Print(err)
		}
	}
}

// do does a task and completes it with the attempt of its claim.
func (w worker) do(ctx context.Context, t task) {
	pause(ctx, w.work)
	if ctx.Err() != nil {
		return // unregistering returns the task to the queue
	}
	words := len(strings.Fields(t.Text))
	err := w.repeat(ctx, "task.complete", map[string]any{
		"id": t.ID, "workerId": w.id, "attempt": t.Attempt, "result": map[string]any{"words": words},
		"idempotencyKey": fmt.Sprintf("%s attempt %d", t.ID, t.Attempt),
	}, nil)
	if err != nil {
		log.Print(err) // rejected: the task was given to another worker, which does it again
		return
	}
	log.Printf("%s: %d words", t.ID, words)
}

// rpcError is a JSON-RPC error.
type rpcError struct {
	Method  string
	Code    int             `json:"code"`
	Message string          `json:"message"`
	Data    json.RawMessage `json:"data"`
}

func (e *rpcError) Error() string {
	return fmt.Sprintf("%s: %s (%d) %s", e.Method, e.Message, e.Code, e.Data)
}

const internalError = -32603

// repeat calls until the reply is final. After a lost reply or an internal error the command may or
// may not have happened; the idempotency key makes the next call safe.
func (w worker) repeat(ctx context.Context, method string, params map[string]any, result any) error {
	for {
		err := w.call(ctx, method, params, result)
		var refused *rpcError
		if err == nil || errors.As(err, &refused) && refused.Code != internalError {
			return err
		}
		log.Print(err)
		if !pause(ctx, time.Second) {
			return err
		}
	}
}

// call makes one JSON-RPC call.
func (w worker) call(ctx context.Context, method string, params map[string]any, result any) error {
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": rand.Text(), "method": method, "params": params})
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url+"/rpc", bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	if token := os.Getenv("CB_TOKEN"); token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	answer := struct {
		Result any       `json:"result"`
		Error  *rpcError `json:"error"`
	}{Result: result}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	if answer.Error != nil {
		answer.Error.Method = method
		return answer.Error
	}
	return nil
}

// pause waits for d and reports whether ctx is still alive.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

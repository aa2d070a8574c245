// Command worker is an agent in its simplest form: it registers, claims tasks, does them, and sends
// heartbeats, over plain HTTP and JSON with nothing but the standard library. Its work is to count the
// words of a task's text.
//
//	go run ./examples/worker --id worker-1
//
// What makes it safe to kill at any moment: it gives each claim's attempt back when it completes the task,
// so that it cannot finish one that was given to another meanwhile; and it repeats a call whose answer
// was lost under the same idempotency key, so that nothing happens twice. Where the coordinator asks for a
// token, it is taken from CB_TOKEN.
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
	flag.StringVar(&w.id, "id", "worker-1", "this worker's id")
	flag.StringVar(&w.url, "url", cmp.Or(os.Getenv("CB_URL"), "http://127.0.0.1:3000"), "the coordinator (CB_URL)")
	flag.DurationVar(&w.work, "work", 0, "how long each task takes at least")
	flag.DurationVar(&w.beat, "heartbeat", 10*time.Second, "how often to send a heartbeat")
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

// task is what a worker needs to know of a task.
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
	// Leaving politely gives back at once what is left; without it, the coordinator notices after a while.
	last, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return w.call(last, "system.unregister", map[string]any{"instanceId": w.id, "sessionId": w.session}, nil)
}

func (w worker) register(ctx context.Context) error {
	return w.repeat(ctx, "system.register", map[string]any{
		"id": w.id, "roles": []string{"worker"}, "metadata": map[string]any{"sessionId": w.session, "maxTasks": 5},
	}, nil)
}

// heartbeats keep the registration alive. Whoever was silent for too long registers again: with the same
// session it goes on with what it had.
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

// do does a task and reports it with the attempt it was claimed by.
func (w worker) do(ctx context.Context, t task) {
	pause(ctx, w.work)
	if ctx.Err() != nil {
		return // it goes back to the queue when this worker unregisters
	}
	words := len(strings.Fields(t.Text))
	err := w.repeat(ctx, "task.complete", map[string]any{
		"id": t.ID, "workerId": w.id, "attempt": t.Attempt, "result": map[string]any{"words": words},
		"idempotencyKey": fmt.Sprintf("%s attempt %d", t.ID, t.Attempt),
	}, nil)
	if err != nil {
		log.Print(err) // refused: it was given to another worker, who does it again
		return
	}
	log.Printf("%s: %d words", t.ID, words)
}

// rpcError is an error of JSON-RPC.
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

// repeat calls until there is an answer that stands. After a lost answer or an internal error the command
// may have happened or not: its idempotency key makes the next call harmless.
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

// pause waits, and tells whether it waited to the end.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

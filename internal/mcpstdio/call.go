package mcpstdio

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/claudebench/claudebench/client"
)

const (
	// callTime is how long one request may take beyond the time that a claim waits.
	callTime = 40 * time.Second
	// patience is how long a call is repeated while the coordinator is away. With a claim's wait and
	// the notes, it stays below the minute after which clients give up.
	patience = 8 * time.Second
)

// retryable are the tools with no key whose repetition changes nothing more, besides those that only
// read.
var retryable = map[string]bool{"system_batch_process": true, "task_update": true}

// call is the handler of every tool.
func (s *server) call(ctx context.Context, r *sdk.CallToolRequest) (*sdk.CallToolResult, error) {
	name := r.Params.Name
	if err := s.foreign(); err != nil {
		return failed(s.explain(err)), nil
	}
	id, _ := r.Params.Meta[idMeta].(string)
	key, digest := s.keys.of(id, name, r.Params.Arguments)
	arguments, params := s.tools.fill(name, r.Params.Arguments, key)
	stop := s.tell(ctx, r, name)
	result, err := s.send(ctx, name, params, trace(r.Params.Meta))
	stop()
	if ctx.Err() != nil {
		s.keys.unheard(digest, key)
		s.holdings.lookAgain()
		// The client does not read the answer.
		s.log.InfoContext(ctx, "the client gave up a call; the next one with the same arguments continues it", "tool", name)
		return nil, ctx.Err()
	}
	var refused *refusedError
	switch {
	case errors.As(err, &refused):
		return nil, &jsonrpc.Error{Code: refused.Code, Message: refused.Message, Data: refused.Data}
	case err != nil:
		if broken(err) && !unsent(err) {
			s.keys.unheard(digest, key) // the model may try again
		}
		return failed(s.explain(err)), nil
	}
	failure := result.failure()
	s.holdings.learn(name, arguments, result.StructuredContent, failure)
	if failure != nil && client.OutcomeUnknown(failure) {
		s.keys.unheard(digest, key)
	}
	var answer sdk.CallToolResult
	if err := json.Unmarshal(encode(toolResult{Content: result.Content, IsError: result.IsError}), &answer); err != nil {
		return nil, fmt.Errorf("read the coordinator's answer: %w", err)
	}
	if result.StructuredContent != nil {
		answer.StructuredContent = result.StructuredContent // not decoded: a float64 cannot hold every number
	}
	if failure != nil {
		s.reword(&answer)
	}
	for _, note := range s.holdings.news(ctx) {
		answer.Content = append(answer.Content, &sdk.TextContent{Text: "Note: " + note})
	}
	return &answer, nil
}

func failed(text string) *sdk.CallToolResult {
	return &sdk.CallToolResult{IsError: true, Content: []sdk.Content{&sdk.TextContent{Text: text}}}
}

// trace returns the members of _meta that belong to W3C Trace Context.
func trace(meta map[string]any) map[string]any {
	var kept map[string]any
	for _, name := range []string{"traceparent", "tracestate", "baggage"} {
		if v, ok := meta[name]; ok {
			if kept == nil {
				kept = map[string]any{}
			}
			kept[name] = v
		}
	}
	return kept
}

// send calls a tool of the coordinator. It repeats the call as long as that does nothing twice: with
// the same key while the coordinator is away or does not know the outcome, and once after
// registering if the coordinator does not know the instance.
func (s *server) send(ctx context.Context, name string, params json.RawMessage, meta map[string]any) (*toolResult, error) {
	g, _ := s.tools.takes(name)
	safe := g.reads || g.params[keyParam] || g.itemKey || retryable[name]
	wait := time.Duration(0)
	if name == claimTool {
		var claim struct{ WaitMs float64 }
		_ = json.Unmarshal(params, &claim) // the coordinator says what is wrong
		wait = time.Duration(min(claim.WaitMs, 60_000)) * time.Millisecond
	}
	message := map[string]any{"name": name, "arguments": params}
	if meta != nil {
		message["_meta"] = meta
	}
	pause := 100 * time.Millisecond
	began, over := time.Now(), time.Time{}
	for registered := false; ; {
		result, err := s.once(ctx, message, wait)
		failure := (*client.Error)(nil)
		if err == nil {
			failure = result.failure()
		}
		switch {
		case name == claimTool && wait > 0 && s.isDraining() && ctx.Err() == nil && err != nil:
			return &toolResult{Content: json.RawMessage(`[{"type":"text","text":"{\"claimed\":false}"}]`), StructuredContent: json.RawMessage(`{"claimed":false}`)}, nil //nolint:nilerr // the call ends with the server, and nobody is told of what was not claimed
		case failure != nil && client.IsNotRegistered(failure) && !registered && s.isSelf(failure):
			registered = true
			if err := s.register(ctx); err != nil {
				return nil, fmt.Errorf("register the instance %s: %w", s.o.ID, err)
			}
			continue
		case failure != nil && client.OutcomeUnknown(failure) && safe, broken(err) && (safe || unsent(err)):
		default:
			return result, err
		}
		if over.IsZero() { // it failed for the first time
			over = time.Now().Add(patience)
		}
		if time.Now().Add(pause).After(over) || time.Since(began)+pause+wait > patience+maxWait*time.Millisecond || s.isDraining() {
			return result, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-s.draining:
		case <-time.After(pause):
		}
		pause = min(2*pause, retryPause)
	}
}

// once sends a call. A claim that waits ends when the server drains.
func (s *server) once(ctx context.Context, message map[string]any, wait time.Duration) (*toolResult, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime+wait)
	defer cancel()
	if wait > 0 {
		over := make(chan struct{})
		defer close(over)
		go func() {
			select {
			case <-s.draining:
				cancel()
			case <-over:
			}
		}()
	}
	result := new(toolResult)
	return result, s.upstream.ask(ctx, "tools/call", message, result)
}

func (s *server) isDraining() bool {
	select {
	case <-s.draining:
		return true
	default:
		return false
	}
}

// isSelf reports whether an error is about the server's own instance.
func (s *server) isSelf(e *client.Error) bool {
	var data struct {
		InstanceID string `json:"instanceId"`
	}
	_ = json.Unmarshal(e.Data, &data) // another error names no instance
	return data.InstanceID == s.o.ID
}

// explain returns an error of the connection as text for a model.
func (s *server) explain(err error) string {
	unknown := broken(err)
	if lost := (*client.ConnectionError)(nil); errors.As(err, &lost) {
		err = lost.Err // the text has the URL
	}
	switch {
	case errors.Is(err, errForeign):
		return fmt.Sprintf("%s cannot be used: %v.\nNext: nothing has changed. Tell the user that the address of the coordinator is wrong.", s.o.Coordinator.URL(), err)
	case unsent(err):
		return fmt.Sprintf("The coordinator at %s does not answer: %v.\nNext: nothing has changed. Wait half a minute and call again. If it stays away, tell the user "+
			"to start it (claudebench up) or to correct --url. You are registered as soon as it is there.", s.o.Coordinator.URL(), err)
	case unknown:
		return fmt.Sprintf("The connection to the coordinator at %s failed: %v.\nNext: the call may have taken effect. Repeat it with the same arguments; it takes effect once. "+
			"If it changes a task, read the task first (task_get).", s.o.Coordinator.URL(), err)
	}
	return fmt.Sprintf("The coordinator at %s cannot be used: %v.\nNext: nothing has changed. Tell the user.", s.o.Coordinator.URL(), err)
}

// tell sends progress notifications during a call, if the client wants them, and returns a function
// that ends that.
func (s *server) tell(ctx context.Context, r *sdk.CallToolRequest, name string) (stop func()) {
	token := r.Params.GetProgressToken()
	if token == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	message := "waiting for the coordinator"
	if name == claimTool {
		message = "waiting for a task"
	}
	go func() {
		defer close(ended)
		tick := time.NewTicker(s.o.Progress)
		defer tick.Stop()
		began := time.Now()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			_ = r.Session.NotifyProgress(ctx, &sdk.ProgressNotificationParams{ // a client that is gone needs none
				ProgressToken: token, Progress: time.Since(began).Seconds(), Message: message,
			})
		}
	}()
	return func() { cancel(); <-ended }
}

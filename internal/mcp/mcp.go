// Package mcp lets models use the API by the Model Context Protocol
// (https://modelcontextprotocol.io), streamable HTTP, with the official SDK: each method that is
// not hidden is a tool (task.claim is task_claim), and what can be read without side effects is a
// resource too. Its caller is internal/server, which puts NewHandler on /mcp.
//
// There are no sessions: every POST stands by itself and is answered as JSON. So any coordinator
// behind a balancer can answer any request, one that restarts breaks nobody's conversation, and
// callers that are gone leave no memory behind. What that leaves out (a stream of changes,
// questions to the model) the coordinator does not offer by MCP anyway; who wants events follows
// the log.
//
// Bodies are read and calls are run as in internal/rpc, with its limits. It has no dependency that
// can fail but the Dispatcher; while Redis is gone, tools are listed, and their calls fail with a
// text that says when to try again. An error of a call is a tool's error, which models get to read,
// never one of the protocol, which they do not.
package mcp

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/claudebench/claudebench/internal/answers"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/command"
	"github.com/claudebench/claudebench/internal/httpapi"
)

// Options of a handler; the zero value serves.
type Options struct {
	// Log gets what goes wrong inside; nil is slog.Default().
	Log *slog.Logger
	// Caller returns the name of the caller's token, which becomes Request.Caller; nil where there
	// are no tokens.
	Caller func(*http.Request) string
	// Version is the program's, which clients are told.
	Version string
	// Answers is the room for answers that the transports of a process share; nil is one of its
	// own.
	Answers *answers.Budget
}

// instructions are what a model reads of the server as a whole.
const instructions = "ClaudeBench coordinates a fleet of agents. A worker's life: system_register with the role worker, " +
	"system_heartbeat at least every 10 seconds, task_claim, do the work, task_complete with the attempt that the claim gave. " +
	"Give an idempotencyKey to what must not happen twice. An error says what to do next."

type handler struct {
	dispatcher httpapi.Dispatcher
	options    Options
	known      map[string]bool
	protocol   http.Handler
}

// NewHandler serves methods by MCP. An error is a fault in the list.
func NewHandler(d httpapi.Dispatcher, methods []*command.Method, o Options) (http.Handler, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Answers == nil {
		o.Answers = answers.NewBudget()
	}
	h := &handler{dispatcher: d, options: o, known: map[string]bool{}}
	server := sdk.NewServer(&sdk.Implementation{Name: "claudebench", Title: "ClaudeBench", Version: o.Version}, &sdk.ServerOptions{
		Instructions: instructions,
		// All of it fits into one page, and nothing that is listed changes while the program runs.
		PageSize:     1000,
		Capabilities: &sdk.ServerCapabilities{Tools: &sdk.ToolCapabilities{}, Resources: &sdk.ResourceCapabilities{}},
	})
	var names []string
	for _, m := range methods {
		names = append(names, m.Name, toolName(m.Name))
	}
	toTools := strings.NewReplacer(names...)
	for _, m := range methods {
		h.known[m.Name] = true
		if m.Hidden {
			continue
		}
		t, err := tool(m, toTools)
		if err != nil {
			return nil, err
		}
		server.AddTool(t, h.call(m.Name))
	}
	h.addResources(server)
	server.AddReceivingMiddleware(answerable)
	h.protocol = sdk.NewStreamableHTTPHandler(func(*http.Request) *sdk.Server { return server }, &sdk.StreamableHTTPOptions{
		Stateless: true, JSONResponse: true, MaxRequestBodyBytes: httpapi.MaxBody,
		// rpc.Guard stands in front of every path and knows which hosts the operator has allowed.
		DisableLocalhostProtection: true,
		// Whoever hangs up does not wait for the call: as in internal/rpc.
		PropagateRequestCancellation: true,
	})
	return h, nil
}

// exchangeKey is under which a context holds the *exchange that calls belong to.
type exchangeKey struct{}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// The SDK answers what is not sent by POST: GET and DELETE belong to sessions.
	if r.Method != http.MethodPost {
		h.protocol.ServeHTTP(w, r)
		return
	}
	received := time.Now()
	body, refused := httpapi.ReadBody(w, r)
	if refused != nil {
		refuse(w, refused.Status, refused.Error())
		return
	}
	request := httpapi.NewRequest(r, h.options.Caller)
	request.Received = received
	if request.Cause, refused = httpapi.Correlation(w, r); refused != nil {
		refuse(w, refused.Status, refused.Error())
		return
	}
	compact, unread := httpapi.Compact(body)
	if unread == nil {
		unread = bounded(compact)
	}
	if unread != nil {
		refuse(w, http.StatusBadRequest, unread)
		return
	}
	if id, inexact := inexactID(compact); inexact != nil {
		refuseID(w, http.StatusBadRequest, id, inexact)
		return
	}
	room := h.options.Answers.Exchange(copies)
	defer room.Release()
	r = r.WithContext(context.WithValue(r.Context(), exchangeKey{}, newExchange(request, room)))
	r.Body = io.NopCloser(bytes.NewReader(compact))
	r.ContentLength = int64(len(compact))
	h.protocol.ServeHTTP(w, r)
}

// refuse returns what never gets to the protocol, in the protocol's form.
func refuse(w http.ResponseWriter, status int, failed *api.Error) {
	refuseID(w, status, []byte("null"), failed)
}

// refuseID is refuse for a message whose id is known; it is JSON.
func refuseID(w http.ResponseWriter, status int, id []byte, failed *api.Error) {
	out := append([]byte(`{"jsonrpc":"2.0","id":`), id...)
	out = append(httpapi.AppendError(append(out, `,"error":`...), failed), '}')
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(out)
}

// run runs one command for whoever sent the HTTP request that ctx belongs to.
func (h *handler) run(ctx context.Context, method string, params json.RawMessage) (json.RawMessage, *api.Error) {
	x, ok := ctx.Value(exchangeKey{}).(*exchange)
	if !ok {
		return nil, api.Internal("")
	}
	request := x.request
	request.Method, request.Params, request.MCP = method, params, true
	return x.run(ctx, func(ctx context.Context) (json.RawMessage, *api.Error) {
		return httpapi.Run(ctx, h.dispatcher, h.options.Log, request)
	})
}

// call is the handler of a method's tool.
func (h *handler) call(method string) sdk.ToolHandler {
	return func(ctx context.Context, r *sdk.CallToolRequest) (*sdk.CallToolResult, error) {
		result, failed := h.run(ctx, method, r.Params.Arguments)
		if failed != nil {
			return &sdk.CallToolResult{IsError: true, Content: []sdk.Content{&sdk.TextContent{Text: explain(failed)}}}, nil
		}
		return &sdk.CallToolResult{StructuredContent: result, Content: []sdk.Content{&sdk.TextContent{Text: string(result)}}}, nil
	}
}

// toolName is the name of a method's tool: not every client takes a dot.
func toolName(method string) string { return strings.ReplaceAll(method, ".", "_") }

// tool describes a method as a tool. Where a description names another method, models read the name
// of its tool.
func tool(m *command.Method, toTools *strings.Replacer) (*sdk.Tool, error) {
	input, output := plain(m.Params, toTools), plain(m.Result, toTools)
	input.Required = append(slices.Clone(input.Required), m.MCPRequired...)
	for what, schema := range map[string]string{"params": input.Type, "result": output.Type} {
		if schema != "object" {
			return nil, fmt.Errorf("method %s: its %s are %q, and MCP wants objects", m.Name, what, schema)
		}
	}
	return &sdk.Tool{
		Name: toolName(m.Name), Description: toTools.Replace(m.Description), InputSchema: input, OutputSchema: output,
		Annotations: annotations(m.Effect),
	}, nil
}

// annotations tell what a call may do. Nothing here reaches beyond the coordinator.
func annotations(e command.Effect) *sdk.ToolAnnotations {
	return &sdk.ToolAnnotations{
		ReadOnlyHint:    e == command.Reads,
		DestructiveHint: new(e == command.Destroys),
		IdempotentHint:  e == command.Reads || e == command.Sets,
		OpenWorldHint:   new(false),
	}
}

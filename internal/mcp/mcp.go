// Package mcp offers the API to models over the Model Context Protocol
// (https://modelcontextprotocol.io), streamable HTTP, with the official SDK. Each method that is
// not hidden is a tool (task.claim is task_claim). What can be read without side effects is also a
// resource. internal/server serves NewHandler at /mcp.
//
// There are no sessions: each POST is independent and its response is JSON. So any coordinator
// behind a load balancer can handle any request, a restart breaks no conversation, and callers that
// disappear leave no memory behind. Without sessions there are no streams of changes and no
// questions to the model. The coordinator does not offer them over MCP anyway; clients that want
// events follow the log.
//
// The input schemas of tools are stricter than those of methods, for clients and providers that
// read only part of JSON Schema (strict). The arguments that such clients send become the params of
// the method again (arguments).
//
// Bodies are read and calls are run as in internal/rpc, with the same limits. Only the Dispatcher
// can fail. While Redis is unavailable, tools are still listed, and their calls fail with a text
// that says when to try again. An error of a call is an error of the tool, which models read, and
// never an error of the protocol, which they do not see.
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

	"github.com/google/jsonschema-go/jsonschema"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/claudebench/claudebench/internal/answers"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/command"
	"github.com/claudebench/claudebench/internal/httpapi"
)

// Options configure a handler. The zero value is valid.
type Options struct {
	// Log receives internal errors. The default is slog.Default().
	Log *slog.Logger
	// Caller returns the name of the caller's token, which becomes Request.Caller. Nil means that
	// authentication is disabled.
	Caller func(*http.Request) string
	// Version is the version of the program that clients see.
	Version string
	// Answers is the memory budget for answers, which all transports of a process share. Nil means
	// a private one.
	Answers *answers.Budget
}

// instructions describe the whole server to models.
const instructions = "ClaudeBench coordinates a fleet of agents. A worker's life: system_register with the role worker, " +
	"task_claim, do the work, task_complete with the attempt that task_claim returned, and so on. " +
	"The registration lasts ten minutes, and each claim and completion renews it. For work that takes longer, call system_heartbeat " +
	"in between, or register with a larger ttlMs. " +
	"Pass an idempotencyKey to a call that must not take effect twice. An error says what to do next. " +
	"At the end, call system_unregister, which returns unfinished tasks to the queue."

type handler struct {
	dispatcher httpapi.Dispatcher
	options    Options
	known      map[string]bool
	listed     json.RawMessage // as long as the list of tools
	protocol   http.Handler
}

// NewHandler serves methods over MCP. An error is a defect in the list of methods.
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
		// All lists fit into one page and do not change while the program runs.
		PageSize:     1000,
		Capabilities: &sdk.ServerCapabilities{Tools: &sdk.ToolCapabilities{}, Resources: &sdk.ResourceCapabilities{}, Prompts: &sdk.PromptCapabilities{}},
	})
	toTools := toolNames(methods)
	for _, m := range methods {
		h.known[m.Name] = true
		if m.Hidden {
			continue
		}
		t, err := tool(m, toTools)
		if err != nil {
			return nil, err
		}
		encoded, err := json.Marshal(t)
		if err != nil {
			return nil, fmt.Errorf("method %s: encode its tool: %w", m.Name, err)
		}
		h.listed = append(h.listed, encoded...)
		server.AddTool(t, h.call(m))
	}
	h.addResources(server)
	addPrompts(server)
	server.AddReceivingMiddleware(answerable, traced, h.boundedLists)
	h.protocol = sdk.NewStreamableHTTPHandler(func(*http.Request) *sdk.Server { return server }, &sdk.StreamableHTTPOptions{
		Stateless: true, JSONResponse: true, MaxRequestBodyBytes: httpapi.MaxBody,
		// crossorigin.Guard protects all paths and knows which hosts the operator has allowed.
		DisableLocalhostProtection: true,
		// A caller that hangs up ends its call, as in internal/rpc.
		PropagateRequestCancellation: true,
	})
	return h, nil
}

// Tools returns the tools of a handler of methods. An error is a defect in the list of methods.
func Tools(methods []*command.Method) ([]*sdk.Tool, error) {
	var tools []*sdk.Tool
	toTools := toolNames(methods)
	for _, m := range methods {
		if m.Hidden {
			continue
		}
		t, err := tool(m, toTools)
		if err != nil {
			return nil, err
		}
		tools = append(tools, t)
	}
	return tools, nil
}

// toolNames replaces the names of methods by those of tools.
func toolNames(methods []*command.Method) *strings.Replacer {
	var names []string
	for _, m := range methods {
		names = append(names, m.Name, toolName(m.Name))
	}
	return strings.NewReplacer(names...)
}

// exchangeKey is the context key of the *exchange that a call belongs to.
type exchangeKey struct{}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// The SDK handles other methods than POST: GET and DELETE belong to sessions.
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
	h.protocol.ServeHTTP(httpapi.Late(w), r) // a claim may wait for longer than the server's WriteTimeout
}

// refuse writes an error in the protocol's form for a request that does not reach the protocol.
func refuse(w http.ResponseWriter, status int, failed *api.Error) {
	refuseID(w, status, []byte("null"), failed)
}

// refuseID is refuse for a message with a known id, which is JSON.
func refuseID(w http.ResponseWriter, status int, id []byte, failed *api.Error) {
	out := append([]byte(`{"jsonrpc":"2.0","id":`), id...)
	out = append(httpapi.AppendError(append(out, `,"error":`...), failed), '}')
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(out)
}

// run runs one command for the sender of the HTTP request that ctx belongs to.
func (h *handler) run(ctx context.Context, method string, params json.RawMessage) (json.RawMessage, *api.Error) {
	x, ok := ctx.Value(exchangeKey{}).(*exchange)
	if !ok {
		return nil, api.Internal("")
	}
	request := x.request
	request.Method, request.Params, request.MCP = method, params, true
	if trace, ok := ctx.Value(traceKey{}).(string); ok {
		request.Trace = trace
	}
	return x.run(ctx, func(ctx context.Context) (json.RawMessage, *api.Error) {
		return httpapi.Run(ctx, h.dispatcher, h.options.Log, request)
	})
}

// call returns the handler of a method's tool.
func (h *handler) call(m *command.Method) sdk.ToolHandler {
	return func(ctx context.Context, r *sdk.CallToolRequest) (*sdk.CallToolResult, error) {
		params, failed := arguments(m.Params, r.Params.Arguments)
		var result json.RawMessage
		if failed == nil {
			result, failed = h.run(ctx, m.Name, params)
		}
		if failed != nil {
			return &sdk.CallToolResult{IsError: true, Content: []sdk.Content{&sdk.TextContent{Text: explain(failed)}}}, nil
		}
		return &sdk.CallToolResult{StructuredContent: result, Content: []sdk.Content{&sdk.TextContent{Text: string(result)}}}, nil
	}
}

// toolName returns the name of a method's tool. It contains no dot, which some clients do not
// accept.
func toolName(method string) string { return strings.ReplaceAll(method, ".", "_") }

// tool describes a method as a tool. In descriptions, the names of methods become names of tools.
func tool(m *command.Method, toTools *strings.Replacer) (*sdk.Tool, error) {
	input, output := strict(m.Params, toTools), plain(m.Result, toTools)
	input.Required = append(slices.Clone(input.Required), m.MCPRequired...)
	for _, name := range m.MCPHidden {
		hide(input, name)
	}
	for what, schema := range map[string]string{"params": input.Type, "result": output.Type} {
		if schema != "object" {
			return nil, fmt.Errorf("method %s: its %s are %q, but MCP requires objects", m.Name, what, schema)
		}
	}
	// Encoded once: the SDK would do it for each list, which takes 10 ms for all of them.
	in, err := json.Marshal(input)
	if err != nil {
		return nil, fmt.Errorf("method %s: encode the schema of its params: %w", m.Name, err)
	}
	out, err := json.Marshal(output)
	if err != nil {
		return nil, fmt.Errorf("method %s: encode the schema of its result: %w", m.Name, err)
	}
	return &sdk.Tool{
		Name: toolName(m.Name), Description: toTools.Replace(m.Description), InputSchema: json.RawMessage(in), OutputSchema: json.RawMessage(out),
		Annotations: annotations(m.Effect),
	}, nil
}

// hide removes a param, or a member of each element of a param, such as items.text.
func hide(s *jsonschema.Schema, name string) {
	name, member, nested := strings.Cut(name, ".")
	if nested {
		hide(s.Properties[name].Items, member)
		return
	}
	delete(s.Properties, name)
	s.PropertyOrder = slices.DeleteFunc(slices.Clone(s.PropertyOrder), func(other string) bool { return other == name })
}

// annotations returns the annotations of an effect. No call has an effect outside the coordinator.
func annotations(e command.Effect) *sdk.ToolAnnotations {
	return &sdk.ToolAnnotations{
		ReadOnlyHint:    e == command.Reads,
		DestructiveHint: new(e == command.Destroys),
		IdempotentHint:  e == command.Reads || e == command.Sets,
		OpenWorldHint:   new(false),
	}
}

package mcp

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/jsontext"
)

// Resources. Each is the result of a method, with that method's limits and roles.
const (
	stateURI  = "claudebench://state"
	eventsURI = "claudebench://events/recent"
	taskURI   = "claudebench://task/{id}"
)

const mimeJSON = "application/json"

// addResources adds the resources whose method exists.
func (h *handler) addResources(server *sdk.Server) {
	if h.known["system.get_state"] {
		server.AddResource(&sdk.Resource{
			URI: stateURI, Name: "state", Title: "State of the fleet", MIMEType: mimeJSON,
			Description: "Open tasks, live instances and the last events, in one snapshot.",
		}, h.read(func(ctx context.Context, _ string) (json.RawMessage, *api.Error) {
			return h.run(ctx, "system.get_state", nil)
		}))
		server.AddResource(&sdk.Resource{
			URI: eventsURI, Name: "recent events", Title: "The last events", MIMEType: mimeJSON,
			Description: "The newest events of the log, the newest first.",
		}, h.read(h.recentEvents))
	}
	if h.known["task.get"] {
		server.AddResourceTemplate(&sdk.ResourceTemplate{
			URITemplate: taskURI, Name: "task", Title: "A task", MIMEType: mimeJSON,
			Description: "A task as it is now, by its id.",
		}, h.read(h.task))
	}
}

// read returns the handler of a resource whose content is the JSON that get returns.
func (h *handler) read(get func(ctx context.Context, uri string) (json.RawMessage, *api.Error)) sdk.ResourceHandler {
	return func(ctx context.Context, r *sdk.ReadResourceRequest) (*sdk.ReadResourceResult, error) {
		text, failed := get(ctx, r.Params.URI)
		switch {
		case failed == nil:
			return &sdk.ReadResourceResult{Contents: []*sdk.ResourceContents{{URI: r.Params.URI, MIMEType: mimeJSON, Text: string(text)}}}, nil
		case failed.Code == api.CodeNotFound:
			return nil, notFound(r.Params.URI)
		}
		return nil, protocolError(failed)
	}
}

// protocolError returns an error of the API as one of the protocol, for requests that have no
// errors of their own.
func protocolError(failed *api.Error) error {
	data, err := jsontext.Marshal(failed.Data)
	if err != nil {
		data = nil
	}
	return &jsonrpc.Error{Code: int64(failed.Code), Message: failed.Message + ". Next: " + next(failed), Data: data}
}

// notFound returns the error for a resource that does not exist.
func notFound(uri string) error {
	data, err := jsontext.Marshal(map[string]string{"uri": uri})
	if err != nil {
		data = nil
	}
	return &jsonrpc.Error{Code: jsonrpc.CodeInvalidParams, Message: "Resource not found", Data: data}
}

// answerable is middleware against a defect of the SDK (v1.8.0): it quotes the URI of an unknown
// resource as Go does. If that is not valid JSON (a control character), the SDK cannot write the
// error and never responds.
func answerable(next sdk.MethodHandler) sdk.MethodHandler {
	return func(ctx context.Context, method string, r sdk.Request) (sdk.Result, error) {
		result, err := next(ctx, method, r)
		var failed *jsonrpc.Error
		if errors.As(err, &failed) && failed.Data != nil && !json.Valid(failed.Data) {
			return nil, &jsonrpc.Error{Code: failed.Code, Message: failed.Message}
		}
		return result, err
	}
}

func (h *handler) recentEvents(ctx context.Context, _ string) (json.RawMessage, *api.Error) {
	text, failed := h.run(ctx, "system.get_state", nil)
	if failed != nil {
		return nil, failed
	}
	var state struct {
		RecentEvents json.RawMessage `json:"recentEvents"`
	}
	if err := json.Unmarshal(text, &state); err != nil {
		h.options.Log.ErrorContext(ctx, "read the recent events: the state does not decode", "error", err)
		return nil, api.Internal("")
	}
	if state.RecentEvents == nil { // the state omits an empty list
		return json.RawMessage("[]"), nil
	}
	return state.RecentEvents, nil
}

func (h *handler) task(ctx context.Context, uri string) (json.RawMessage, *api.Error) {
	id, err := url.PathUnescape(strings.TrimPrefix(uri, strings.TrimSuffix(taskURI, "{id}")))
	if err != nil {
		return nil, &api.Error{Code: api.CodeNotFound}
	}
	params, err := jsontext.Marshal(map[string]string{"id": id})
	if err != nil {
		return nil, &api.Error{Code: api.CodeNotFound}
	}
	return h.run(ctx, "task.get", params)
}

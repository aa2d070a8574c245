// Package openrpc describes the API as an OpenRPC document (https://spec.open-rpc.org, version
// 1.3.2), which derives from the list of commands, and serves it as the result of `rpc.discover`.
// internal/server uses it.
//
// The document is built once at startup. The call therefore needs no Redis, counts for no limit,
// and works while every other method fails. The document includes the methods that MCP hides from
// models, because its readers are people and their tools.
package openrpc

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/command"
	"github.com/claudebench/claudebench/internal/httpapi"
	"github.com/claudebench/claudebench/internal/jsontext"
)

// Method is the name under which OpenRPC requires a service to return its document.
const Method = "rpc.discover"

// version is the version of the OpenRPC specification.
const version = "1.3.2"

type document struct {
	OpenRPC    string     `json:"openrpc"`
	Info       info       `json:"info"`
	Methods    []method   `json:"methods"`
	Components components `json:"components"`
}

type info struct {
	Title       string `json:"title"`
	Description string `json:"description"`
	Version     string `json:"version"`
}

type method struct {
	Name           string      `json:"name"`
	Description    string      `json:"description"`
	Tags           []tag       `json:"tags,omitempty"`
	ParamStructure string      `json:"paramStructure"`
	Params         []content   `json:"params"`
	Result         content     `json:"result"`
	Errors         []reference `json:"errors,omitempty"`
	// Extensions for what OpenRPC has no field for: calls a minute of an actor (0 is no limit), the
	// timeout in ms, and the roles of which a token needs one.
	RateLimit int      `json:"x-rateLimit"`
	TimeoutMs int64    `json:"x-timeoutMs,omitempty"`
	Roles     []string `json:"x-roles,omitempty"`
}

type tag struct {
	Name string `json:"name"`
}

// content is a content descriptor: a param or a result.
type content struct {
	Name        string             `json:"name"`
	Description string             `json:"description,omitempty"`
	Required    bool               `json:"required,omitempty"`
	Schema      *jsonschema.Schema `json:"schema"`
}

type reference struct {
	Ref string `json:"$ref"`
}

type components struct {
	Errors map[string]failure `json:"errors"`
}

type failure struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

// failures are the errors that any command may return. They do not include the errors of JSON-RPC
// itself.
var failures = []struct {
	name string
	failure
}{
	{"InvalidParams", failure{api.CodeInvalidParams, "Invalid params"}},
	{"Internal", failure{api.CodeInternal, "Internal error"}},
	{"RateLimited", failure{api.CodeRateLimited, "Rate limit exceeded"}},
	{"Unauthorized", failure{api.CodeUnauthorized, "Unauthorized"}},
	{"NotRegistered", failure{api.CodeNotRegistered, "Instance not registered"}},
	{"NotFound", failure{api.CodeNotFound, "Not found"}},
	{"Conflict", failure{api.CodeConflict, "Conflict"}},
}

// Document returns the OpenRPC document of methods. release is the program's version. An error is a
// defect in the list.
func Document(methods []*command.Method, release string) (json.RawMessage, error) {
	d := document{
		OpenRPC: version,
		Info: info{
			Title:       "ClaudeBench",
			Description: "Coordinates a fleet of AI agents: they register, send heartbeats, claim tasks and finish them. Params are named.",
			Version:     release,
		},
		Methods:    make([]method, 0, len(methods)+1),
		Components: components{Errors: map[string]failure{}},
	}
	var errors []reference
	for _, f := range failures {
		d.Components.Errors[f.name] = f.failure
		errors = append(errors, reference{"#/components/errors/" + f.name})
	}
	for _, m := range methods {
		domain, _, _ := strings.Cut(m.Name, ".")
		d.Methods = append(d.Methods, method{
			Name: m.Name, Description: m.Description, Tags: []tag{{domain}}, ParamStructure: "by-name",
			Params: params(m.Params), Result: content{Name: "result", Required: true, Schema: m.Result},
			Errors: errors, RateLimit: m.Limit, TimeoutMs: m.Timeout.Milliseconds(), Roles: m.Roles,
		})
	}
	d.Methods = append(d.Methods, method{
		Name: Method, Description: "Describe the API: this OpenRPC document.", Tags: []tag{{"rpc"}}, ParamStructure: "by-name",
		Params: []content{},
		// Not a reference to OpenRPC's schema: it is on the network, and generators work offline.
		Result: content{Name: "document", Required: true, Schema: &jsonschema.Schema{Type: "object", Description: "an OpenRPC document of version " + version}},
	})
	text, err := jsontext.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("write the OpenRPC document: %w", err)
	}
	return text, nil
}

// params returns the properties of an object in the order of the specification: required ones
// first.
func params(object *jsonschema.Schema) []content {
	all := make([]content, 0, len(object.PropertyOrder))
	for _, name := range object.PropertyOrder {
		all = append(all, content{
			Name: name, Description: object.Properties[name].Description,
			Required: slices.Contains(object.Required, name), Schema: object.Properties[name],
		})
	}
	slices.SortStableFunc(all, func(a, b content) int {
		switch {
		case a.Required == b.Required:
			return 0
		case a.Required:
			return -1
		}
		return 1
	})
	return all
}

type dispatcher struct {
	next     httpapi.Dispatcher
	document json.RawMessage
}

// NewDispatcher returns a Dispatcher that returns document for Method and passes all other calls to
// next.
func NewDispatcher(next httpapi.Dispatcher, document json.RawMessage) httpapi.Dispatcher {
	return dispatcher{next: next, document: document}
}

func (d dispatcher) Call(ctx context.Context, request api.Request) (json.RawMessage, *api.Error) {
	if request.Method != Method {
		return d.next.Call(ctx, request)
	}
	if len(request.Params) > 0 && string(request.Params) != "{}" {
		return nil, api.InvalidParams("rpc.discover takes no params")
	}
	return d.document, nil
}

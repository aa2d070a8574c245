package mcp_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/jsonschema-go/jsonschema"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/command"
)

// resources is the result of the lists of resources.
type resources struct {
	Resources         []struct{ URI, MIMEType string }
	ResourceTemplates []struct{ URITemplate string }
}

func TestResources(t *testing.T) {
	t.Parallel()
	object := &jsonschema.Schema{Type: "object"}
	methods := []*command.Method{
		{Name: "system.get_state", Description: "d", Params: object, Result: object},
		{Name: "task.get", Description: "d", Params: object, Result: object},
	}
	state := `{"recentEvents":[{"id":"1-1"}]}`
	h := handler(t, func(_ context.Context, r api.Request) (json.RawMessage, *api.Error) {
		switch {
		case r.Method == "system.get_state":
			return json.RawMessage(state), nil
		case string(r.Params) == `{"id":"t-1"}`:
			return json.RawMessage(`{"id":"t-1"}`), nil
		case string(r.Params) == `{"id":"busy"}`:
			return nil, &api.Error{Code: api.CodeRateLimited, Message: "Rate limit exceeded", Data: json.RawMessage(`{"retryAfterMs":5}`)}
		}
		return nil, &api.Error{Code: api.CodeNotFound, Message: "Not found", Data: r.Params}
	}, methods, nil)
	var uris []string
	for _, r := range ask[resources](t, h, "resources/list", "{}").Result.Resources {
		uris = append(uris, r.URI)
	}
	slices.Sort(uris)
	if diff := cmp.Diff([]string{"claudebench://events/recent", "claudebench://state"}, uris); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if all := ask[resources](t, h, "resources/templates/list", "{}").Result.ResourceTemplates; len(all) != 1 || all[0].URITemplate != "claudebench://task/{id}" {
		t.Errorf("templates: %+v", all)
	}
	type read struct {
		Contents []struct{ URI, MIMEType, Text string }
	}
	for uri, want := range map[string]string{
		"claudebench://state":         state,
		"claudebench://events/recent": `[{"id":"1-1"}]`,
		"claudebench://task/t-1":      `{"id":"t-1"}`,
		"claudebench://task/t%2D1":    `{"id":"t-1"}`,
	} {
		a := ask[read](t, h, "resources/read", fmt.Sprintf(`{"uri":%q}`, uri))
		if len(a.Result.Contents) != 1 || a.Result.Contents[0].Text != want || a.Result.Contents[0].URI != uri || a.Result.Contents[0].MIMEType != "application/json" {
			t.Errorf("%s: %+v", uri, a)
		}
	}
	for uri, code := range map[string]int{
		`claudebench://task/t-2`:  -32602, // the protocol's code for a resource that does not exist
		`claudebench://task/`:     -32602,
		`claudebench://nothing`:   -32602,
		`x\u0007y`:                -32602, // the SDK alone would not respond to this one
		`claudebench://task/busy`: -32000,
	} {
		if a := ask[read](t, h, "resources/read", `{"uri":"`+uri+`"}`); a.Error == nil || a.Error.Code != code {
			t.Errorf("%s: %+v", uri, a)
		}
	}
	if a := ask[read](t, h, "resources/read", `{"uri":"claudebench://task/busy"}`); !strings.Contains(a.Error.Message, "wait retryAfterMs") || string(a.Error.Data) != `{"retryAfterMs":5}` {
		t.Errorf("%+v", a.Error)
	}
	state = `{}`
	if a := ask[read](t, h, "resources/read", `{"uri":"claudebench://events/recent"}`); len(a.Result.Contents) != 1 || a.Result.Contents[0].Text != "[]" {
		t.Errorf("the events of an empty system: %+v", a)
	}
	// A resource whose method does not exist is not offered.
	bare := handler(t, nil, []*command.Method{}, nil)
	if a := ask[resources](t, bare, "resources/list", "{}"); len(a.Result.Resources) != 0 {
		t.Errorf("%+v", a.Result)
	}
}

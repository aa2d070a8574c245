package mcp_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/command"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/crossorigin"
	"github.com/claudebench/claudebench/internal/mcp"
	"github.com/claudebench/claudebench/internal/server"
	"github.com/claudebench/claudebench/internal/testenv"
)

// onCoordinator are the scenarios that a running coordinator passes.
var onCoordinator = []string{
	"server-initialize",
	"ping",
	"tools-list",
	"resources-list",
	"dns-rebinding-protection",
}

// withStandIns are the scenarios that call a tool of the suite's own. The same handler passes them
// with methods that stand in for the commands. They test how a call is answered, which does not
// depend on the command.
var withStandIns = []string{
	"tools-call-simple-text",
	"tools-call-error",
	"json-schema-2020-12",
}

// notOffered maps the scenarios that do not apply to the reason why the coordinator does not offer
// the feature.
var notOffered = map[string]string{
	"logging-set-level":             "no logging: events tell what happens, in the log",
	"tools-call-with-logging":       "no logging",
	"tools-call-with-progress":      "no progress: commands take milliseconds, and task_get tells how long work stands",
	"completion-complete":           "no completion of arguments",
	"tools-call-image":              "results are JSON, never images",
	"tools-call-audio":              "results are JSON, never sound",
	"tools-call-embedded-resource":  "results are JSON; tasks are resources by their own URI",
	"tools-call-mixed-content":      "results are JSON alone",
	"tools-call-sampling":           "the coordinator asks no model anything",
	"tools-call-elicitation":        "the coordinator asks no user anything",
	"elicitation-sep1034-defaults":  "the coordinator asks no user anything",
	"elicitation-sep1330-enums":     "the coordinator asks no user anything",
	"server-sse-polling":            "no sessions and no streams: every request is answered as JSON, by whichever coordinator gets it",
	"server-sse-multiple-streams":   "no sessions and no streams",
	"resources-read-text":           "reads test://static-text; TestAWorkersLife reads the resources there are",
	"resources-read-binary":         "resources are JSON",
	"resources-templates-read":      "reads test://template/{id}/data; TestAWorkersLife reads the template there is",
	"resources-subscribe":           "no subscriptions: they need a session; who wants events follows the log",
	"resources-unsubscribe":         "no subscriptions",
	"prompts-list":                  "no prompts",
	"prompts-get-simple":            "no prompts",
	"prompts-get-with-args":         "no prompts",
	"prompts-get-embedded-resource": "no prompts",
	"prompts-get-with-image":        "no prompts",
}

// Every scenario of the pinned suite is in one of the three lists, and those that apply pass.
func TestConformance(t *testing.T) {
	t.Parallel()
	s := conformance(t)
	want := map[string]int{}
	for _, name := range append(append([]string{}, onCoordinator...), withStandIns...) {
		want[name]++
	}
	for name := range notOffered {
		want[name]++
	}
	for _, name := range s.scenarios(t) {
		if want[name] != 1 {
			t.Errorf("the scenario %s is in %d of the lists, and belongs into one", name, want[name])
		}
		delete(want, name)
	}
	for name := range want {
		t.Errorf("the suite has no scenario %s", name)
	}

	t.Run("coordinator", func(t *testing.T) {
		found := s.against(t, coordinator(t)+"/mcp")
		for _, name := range onCoordinator {
			if err := passed(found[name]); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
	t.Run("stand-ins", func(t *testing.T) {
		found := s.against(t, standIns(t)+"/mcp")
		for _, name := range append(append([]string{}, onCoordinator...), withStandIns...) {
			if err := passed(found[name]); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// coordinator starts a coordinator and returns its address.
func coordinator(t *testing.T) string {
	t.Helper()
	s, err := server.Start(t.Context(), &config.Config{
		Listen: "127.0.0.1:0", Namespace: testenv.Namespace(t), RedisURL: testenv.Redis(t).URL(),
		InstanceTTL: 30 * time.Second, MonitorInterval: time.Second, TaskRetention: time.Hour, RateLimits: config.RateLimits{Off: true},
	}, server.Options{Logger: slog.New(slog.DiscardHandler), Version: "v0.0.0-test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return "http://" + s.Addr()
}

// standIns serves methods whose tools have the names that the suite calls. The guard is in front of
// them, as in the coordinator.
func standIns(t *testing.T) string {
	t.Helper()
	object := func() *jsonschema.Schema { return &jsonschema.Schema{Type: "object"} }
	text := object()
	text.Properties = map[string]*jsonschema.Schema{"text": {Type: "string"}}
	methods := []*command.Method{
		{Name: "test.simple.text", Description: "Answers a text.", Params: object(), Result: text},
		{Name: "test.error.handling", Description: "Always fails.", Params: object(), Result: object()},
		{Name: "json.schema.2020.12.tool", Description: "Has a schema with references.", Result: object(), Params: &jsonschema.Schema{
			Schema: "https://json-schema.org/draft/2020-12/schema", Type: "object",
			Defs: map[string]*jsonschema.Schema{"address": {
				Type: "object", Properties: map[string]*jsonschema.Schema{"street": {Type: "string"}, "city": {Type: "string"}},
			}},
			Properties:           map[string]*jsonschema.Schema{"name": {Type: "string"}, "address": {Ref: "#/$defs/address"}},
			AdditionalProperties: &jsonschema.Schema{Not: &jsonschema.Schema{}},
		}},
	}
	d := dispatch(func(_ context.Context, r api.Request) (json.RawMessage, *api.Error) {
		if r.Method == "test.error.handling" {
			return nil, api.InvalidParams("this tool fails on purpose")
		}
		return json.RawMessage(`{"text":"This is a simple text response for testing."}`), nil
	})
	h, err := mcp.NewHandler(d, methods, mcp.Options{Log: slog.New(slog.DiscardHandler), Version: "v0.0.0-test"})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/mcp", h)
	listener := httptest.NewUnstartedServer(nil)
	if listener.Config.Handler, err = crossorigin.Guard(mux, listener.Listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	listener.Start()
	t.Cleanup(listener.Close)
	return listener.URL
}

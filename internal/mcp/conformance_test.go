package mcp_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path"
	"sync"
	"testing"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/command"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/crossorigin"
	"github.com/claudebench/claudebench/internal/mcp"
	"github.com/claudebench/claudebench/internal/nodetest"
	"github.com/claudebench/claudebench/internal/server"
	"github.com/claudebench/claudebench/internal/testenv"
)

// versions are the versions of the protocol that the scenarios run in: the current one, and the one
// before, which begins with a handshake.
var versions = []string{"2025-11-25", "2026-07-28"}

// onCoordinator are the scenarios that a running coordinator passes.
var onCoordinator = []string{
	"server-initialize",
	"server-stateless",
	"ping",
	"tools-list",
	"resources-list",
	"sep-2164-resource-not-found",
	"prompts-list",
	"dns-rebinding-protection",
	"caching",
	"http-header-validation",
	"input-required-result-unsupported-methods",
}

// withStandIns are the scenarios that call a tool of the suite's own. The same handler passes them
// with methods that stand in for the commands. They test how a call is answered, which does not
// depend on the command.
var withStandIns = []string{
	"tools-call-simple-text",
	"tools-call-error",
	"json-schema-2020-12",
}

// apart maps the checks that do not apply, of scenarios that do, to the reason why.
var apart = map[string]string{
	"sep-2575-server-rejects-undeclared-capability":              "calls a tool that asks the client's model; no tool of a coordinator does",
	"sep-2575-missing-capability-http-400":                       "likewise",
	"sep-2575-http-server-no-independent-requests-on-stream":     "calls a tool that asks the client's user",
	"sep-2575-server-no-log-without-loglevel":                    "calls a tool that logs to the client",
	"sep-2575-server-sends-tools-list-changed-on-subscription":   "the list of tools does not change while the program runs",
	"sep-2575-server-sends-prompts-list-changed-on-subscription": "neither does that of prompts",
}

// notOffered maps the scenarios that do not apply to the reason why the coordinator does not offer
// the feature. A name that ends in * stands for all that begin like it.
var notOffered = map[string]string{
	"server-session-lifecycle":             "no sessions: any coordinator answers any request",
	"logging-set-level":                    "no logging: events tell what happens, in the log",
	"tools-call-with-logging":              "no logging",
	"tools-call-with-progress":             "no streams; a claim that waits tells its progress over stdio, by `claudebench mcp`",
	"completion-complete":                  "no completion of arguments",
	"tools-call-image":                     "results are JSON, never images",
	"tools-call-audio":                     "results are JSON, never sound",
	"tools-call-embedded-resource":         "results are JSON; tasks are resources by their own URI",
	"tools-call-mixed-content":             "results are JSON alone",
	"tools-call-sampling":                  "the coordinator asks no model anything",
	"tools-call-elicitation":               "the coordinator asks no user anything",
	"elicitation-sep1034-defaults":         "the coordinator asks no user anything",
	"elicitation-sep1330-enums":            "the coordinator asks no user anything",
	"input-required-result-basic-*":        "the coordinator asks neither the user nor the model anything",
	"input-required-result-request-state":  "likewise",
	"input-required-result-multi*":         "likewise",
	"input-required-result-missing-*":      "likewise",
	"input-required-result-non-tool-*":     "likewise",
	"input-required-result-result-type":    "likewise",
	"input-required-result-tampered-state": "likewise",
	"input-required-result-capability-*":   "likewise",
	"input-required-result-ignore-*":       "likewise",
	"input-required-result-validate-*":     "likewise",
	"http-custom-header-server-validation": "no argument of a tool is also a header of HTTP",
	"server-sse-polling":                   "no sessions and no streams: every request is answered as JSON, by whichever coordinator gets it",
	"server-sse-multiple-streams":          "no sessions and no streams",
	"resources-read-text":                  "reads test://static-text; TestAWorkersLifeByMCP reads the resources there are",
	"resources-read-binary":                "resources are JSON",
	"resources-templates-read":             "reads test://template/{id}/data; TestAWorkersLifeByMCP reads the template there is",
	"resources-subscribe":                  "no subscriptions: they need a session; who wants events follows the log",
	"resources-unsubscribe":                "no subscriptions",
	"prompts-get-*":                        "gets prompts of the suite's own; TestPrompts gets those there are",
	"tasks-*":                              "an extension: long calls of a tool; a call of a coordinator takes milliseconds, or waits as long as it was told to",
	"sep-2640-skills-*":                    "an extension: no skills",
}

// Every scenario of the pinned suite is in one of the three lists, and those that apply pass in
// every version of the protocol that has them.
func TestConformance(t *testing.T) {
	t.Parallel()
	s := suite{nodetest.Install(t)}
	used := map[string]bool{}
	for _, name := range s.scenarios(t) {
		lists := 0
		for _, one := range append(append([]string{}, onCoordinator...), withStandIns...) {
			if one == name {
				lists++
				used[one] = true
			}
		}
		for pattern := range notOffered {
			if matched, err := path.Match(pattern, name); err != nil {
				t.Fatal(err)
			} else if matched {
				lists++
				used[pattern] = true
			}
		}
		if lists != 1 {
			t.Errorf("the scenario %s is in %d of the lists, and belongs into one", name, lists)
		}
	}
	for name := range notOffered {
		if !used[name] {
			t.Errorf("the suite has no scenario %s", name)
		}
	}
	unmet := map[string]bool{}
	passes := func(t *testing.T, url string, names []string) {
		ran := map[string]bool{}
		for _, version := range versions {
			found := s.against(t, url, version)
			for _, name := range names {
				if found[name] == nil {
					continue
				}
				ran[name] = true
				if err := passed(found[name], apart, unmet); err != nil {
					t.Errorf("%s in version %s: %v", name, version, err)
				}
			}
		}
		for _, name := range names {
			if !ran[name] {
				t.Errorf("the suite has no scenario %s", name)
			}
		}
	}
	t.Run("coordinator", func(t *testing.T) { passes(t, coordinator(t)+"/mcp", onCoordinator) })
	t.Run("stand-ins", func(t *testing.T) {
		passes(t, standIns(t)+"/mcp", withStandIns)
	})
	for name := range apart {
		if !unmet[name] {
			t.Errorf("the check %s succeeds, or is gone", name)
		}
	}
}

// coordinator starts a coordinator and returns its address.
func coordinator(t *testing.T) string {
	t.Helper()
	return "http://" + startCoordinator(t, settings(t)).Addr()
}

func settings(t *testing.T) *config.Config {
	t.Helper()
	return &config.Config{
		Listen: "127.0.0.1:0", Namespace: testenv.Namespace(t), RedisURL: testenv.Redis(t).URL(),
		InstanceTTL: 30 * time.Second, MonitorInterval: time.Second, TaskRetention: time.Hour, MaxLosses: 10, RateLimits: config.RateLimits{Off: true},
	}
}

// startCoordinator starts a coordinator that is stopped with the test, unless it was stopped before.
func startCoordinator(t *testing.T, cfg *config.Config) *running {
	t.Helper()
	s, err := server.Start(t.Context(), cfg, server.Options{Logger: slog.New(slog.DiscardHandler), Version: "v0.0.0-test"})
	if err != nil {
		t.Fatal(err)
	}
	running := &running{Server: s}
	t.Cleanup(func() { running.stop(t) })
	return running
}

// running is a coordinator that can be stopped more than once.
type running struct {
	*server.Server
	once sync.Once
}

func (r *running) stop(t *testing.T) {
	t.Helper()
	r.once.Do(func() {
		if err := r.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
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
				Anchor: "address", Type: "object", Properties: map[string]*jsonschema.Schema{"street": {Type: "string"}, "city": {Type: "string"}},
			}},
			Properties:           map[string]*jsonschema.Schema{"name": {Type: "string"}, "address": {Ref: "#/$defs/address"}},
			AdditionalProperties: &jsonschema.Schema{Not: &jsonschema.Schema{}},
			AllOf:                []*jsonschema.Schema{{AnyOf: []*jsonschema.Schema{{Required: []string{"name"}}, {Required: []string{"address"}}}}},
			If:                   &jsonschema.Schema{Required: []string{"name"}},
			Then:                 &jsonschema.Schema{Required: []string{"name"}},
			Else:                 &jsonschema.Schema{Required: []string{"address"}},
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

package server

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/answers"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/archiver"
	"github.com/claudebench/claudebench/internal/auth"
	"github.com/claudebench/claudebench/internal/cloudevents"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/eventschema"
	"github.com/claudebench/claudebench/internal/eventsource"
	"github.com/claudebench/claudebench/internal/hookpolicy"
	"github.com/claudebench/claudebench/internal/hooks"
	"github.com/claudebench/claudebench/internal/httpapi"
	"github.com/claudebench/claudebench/internal/jsontext"
	"github.com/claudebench/claudebench/internal/mcp"
	"github.com/claudebench/claudebench/internal/metrics"
	"github.com/claudebench/claudebench/internal/openrpc"
	"github.com/claudebench/claudebench/internal/rest"
	"github.com/claudebench/claudebench/internal/rpc"
	"github.com/claudebench/claudebench/internal/sealhttp"
	"github.com/claudebench/claudebench/internal/taskview"
	"github.com/claudebench/claudebench/internal/ui"
	"github.com/claudebench/claudebench/internal/websocket"
)

// routes returns the handler of all paths of the server.
func (s *Server) routes(cfg *config.Config, coordinator *commands.Coordinator, gauges func(context.Context, taskview.Checkpoints) (*metrics.Gauges, error)) (http.Handler, error) {
	methods := coordinator.Methods()
	document, err := openrpc.Document(methods, s.version)
	if err != nil {
		return nil, err
	}
	known := func(method string) bool { return method == openrpc.Method || coordinator.Known(method) }
	room := answers.NewBudget()
	calls := rpc.NewHandler(openrpc.NewDispatcher(coordinator, document), rpc.Options{Log: s.logger, Answers: room, Known: known, Caller: auth.Caller})
	models, err := mcp.NewHandler(coordinator, methods, mcp.Options{Log: s.logger, Answers: room, Version: s.version, Caller: auth.Caller})
	if err != nil {
		return nil, fmt.Errorf("serve the methods over MCP: %w", err)
	}
	received := hooks.NewHandler(coordinator, hooks.Options{Log: s.logger, Caller: auth.Caller, Policy: s.decide, Unread: s.decideUnread})
	var archived func() archiver.Status
	if s.archiver != nil {
		archived = s.archiver.Status
	}
	watched := metrics.Sources{Archive: archived, Commands: coordinator, Writable: coordinator.Writable, Gauges: gauges, Projections: s.runner.Progress, Hooks: received, Streams: s.streams.Counts, Trim: s.trim.Status, Version: s.version, Logger: s.logger}
	if s.tasks != nil {
		watched.Checkpoints = s.checkpoints
	}
	if s.sealer != nil {
		watched.Seals = s.sealCounts
	}
	measures, err := metrics.NewHandler(watched)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(methods))
	for i, m := range methods {
		names[i] = m.Name
	}
	mux := http.NewServeMux()
	mux.Handle(websocket.Path, websocket.NewHandler(openrpc.NewDispatcher(coordinator, document), websocket.Options{
		Hub: s.streams, Log: s.logger, Answers: room, Known: known, Caller: auth.Caller, Still: s.still(),
	}))
	mux.Handle("/rpc", calls)
	mux.Handle("/rpc/batch", calls)
	mux.Handle(rest.Prefix, rest.NewHandler(coordinator, names, rest.Options{Log: s.logger, Answers: room, Caller: auth.Caller}))
	mux.Handle("/mcp", models)
	mux.Handle(eventsource.Path, eventsource.NewHandler(eventsource.Options{Hub: s.streams, Still: s.still(), Source: cloudevents.Source(cfg.Namespace)}))
	mux.Handle(hooks.Path, received)
	mux.Handle(sealhttp.Path, s.sealsHandler(cfg))
	described, err := eventschema.AsyncAPI()
	if err != nil {
		return nil, err
	}
	mux.HandleFunc("GET /asyncapi.json", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, described)
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("GET /readyz", s.ready(coordinator.Writable))
	mux.Handle("GET /metrics", measures)
	for _, path := range []string{"/asyncapi.json", "/healthz", "/readyz", "/metrics"} {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Allow", "GET, HEAD")
			writeJSON(w, http.StatusMethodNotAllowed, map[string]any{"error": &api.Error{
				Code: api.CodeInvalidRequest, Message: "Invalid Request", Data: r.URL.Path + " accepts GET, not " + r.Method,
			}})
		})
	}
	dashboard, err := ui.NewHandler()
	if err != nil {
		return nil, err
	}
	mux.Handle(ui.Path, dashboard)
	mux.HandleFunc("/", ui.Redirect(func(w http.ResponseWriter, r *http.Request) {
		httpapi.WriteError(w, http.StatusNotFound, &api.Error{
			Code: api.CodeNotFound, Message: "Not found", Data: "there is no " + r.URL.Path + "; commands go to POST /rpc",
		})
	}))
	return mux, nil
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	text, _ := jsontext.Marshal(v) // the values passed here always encode
	_, _ = w.Write(append(text, '\n'))
}

// decide returns what the policy decides about the use of a tool, nil for nothing.
func (s *Server) decide(tool string, input json.RawMessage) *api.HookDecision {
	return decisionOf(s.policy.Decide(tool, input))
}

func (s *Server) decideUnread(tool string) *api.HookDecision {
	return decisionOf(s.policy.DecideUnread(tool))
}

func decisionOf(d hookpolicy.Decision, ok bool) *api.HookDecision {
	if !ok {
		return nil
	}
	return &api.HookDecision{Decision: d.Decision, Rule: d.Rule, Reason: d.Reason}
}

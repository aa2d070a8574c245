package server

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/auth"
	"github.com/claudebench/claudebench/internal/httpapi"
	"github.com/claudebench/claudebench/internal/jsontext"
	"github.com/claudebench/claudebench/internal/mcp"
	"github.com/claudebench/claudebench/internal/metrics"
	"github.com/claudebench/claudebench/internal/openrpc"
	"github.com/claudebench/claudebench/internal/rest"
	"github.com/claudebench/claudebench/internal/rpc"
	"github.com/claudebench/claudebench/projections"
)

// routes are the paths of the server.
func (s *Server) routes(coordinator *commands.Coordinator, gauges func(context.Context, string) (*metrics.Gauges, error)) (http.Handler, error) {
	methods := coordinator.Methods()
	document, err := openrpc.Document(methods, s.version)
	if err != nil {
		return nil, err
	}
	known := func(method string) bool { return method == openrpc.Method || coordinator.Known(method) }
	calls := rpc.NewHandler(openrpc.NewDispatcher(coordinator, document), rpc.Options{Log: s.logger, Known: known, Caller: auth.Caller})
	models, err := mcp.NewHandler(coordinator, methods, mcp.Options{Log: s.logger, Version: s.version, Caller: auth.Caller})
	if err != nil {
		return nil, fmt.Errorf("offer the methods by MCP: %w", err)
	}
	watched := metrics.Sources{Commands: coordinator, Gauges: gauges, Projections: s.runner.Progress, Version: s.version, Logger: s.logger}
	if s.tasks != nil {
		watched.View = s.tasks.Checkpoint
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
	mux.Handle("/rpc", calls)
	mux.Handle("/rpc/batch", calls)
	mux.Handle(rest.Prefix, rest.NewHandler(coordinator, names, rest.Options{Log: s.logger, Caller: auth.Caller}))
	mux.Handle("/mcp", models)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("GET /readyz", s.ready)
	mux.Handle("GET /metrics", measures)
	for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Allow", "GET, HEAD")
			writeJSON(w, http.StatusMethodNotAllowed, map[string]any{"error": &api.Error{
				Code: api.CodeInvalidRequest, Message: "Invalid Request", Data: r.URL.Path + " is read by GET, not " + r.Method,
			}})
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		httpapi.WriteError(w, http.StatusNotFound, &api.Error{
			Code: api.CodeNotFound, Message: "Not found", Data: "there is no " + r.URL.Path + "; commands go to POST /rpc",
		})
	})
	return mux, nil
}

// readiness is what /readyz answers.
type readiness struct {
	Ready bool `json:"ready"`
	// Redis and Postgres are ok, or what is wrong; Postgres is off where none is configured.
	Redis       string               `json:"redis"`
	Postgres    string               `json:"postgres"`
	Projections []projections.Status `json:"projections"`
}

// ready tells whether commands can be taken: Redis answers, and the database, if there is one, has been
// migrated. A Postgres that is gone for a while does not make the coordinator unready: commands go on.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	answer := readiness{Redis: "ok", Postgres: "off"}
	// Side by side: a store that hangs must not use up the time of the other.
	var asked sync.WaitGroup
	asked.Go(func() { answer.Projections = s.runner.Status(ctx) })
	asked.Go(func() {
		if err := s.redis.Ping(ctx).Err(); err != nil {
			answer.Redis = "unavailable"
		}
	})
	if s.tasks != nil {
		asked.Go(func() { answer.Postgres = s.postgres(ctx) })
	}
	asked.Wait()
	answer.Ready = answer.Redis == "ok" && answer.Postgres != "not migrated yet"
	select {
	case <-s.draining:
		answer.Ready = false
	default:
	}
	status := http.StatusOK
	if !answer.Ready {
		status = http.StatusServiceUnavailable
	}
	if s.tokens != nil && auth.Name(r.Context()) == "" {
		// How the fleet is doing is for those who belong to it.
		writeJSON(w, status, map[string]bool{"ready": answer.Ready})
		return
	}
	writeJSON(w, status, answer)
}

// postgres says how the database stands.
func (s *Server) postgres(ctx context.Context) string {
	_, err := s.tasks.Checkpoint(ctx)
	switch {
	case err == nil:
		s.migrated.Store(true)
		return "ok"
	case s.migrated.Load():
		return "unavailable"
	}
	return "not migrated yet"
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	text, _ := jsontext.Marshal(v) // what is given here always encodes
	_, _ = w.Write(append(text, '\n'))
}

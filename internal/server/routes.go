package server

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/rpc"
	"github.com/claudebench/claudebench/projections"
)

// routes are the paths of the server.
func (s *Server) routes(coordinator *commands.Coordinator) http.Handler {
	mux := http.NewServeMux()
	calls := rpc.NewHandler(coordinator, rpc.Options{Log: s.logger, Known: coordinator.Known})
	mux.Handle("/rpc", calls)
	mux.Handle("/rpc/batch", calls)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("GET /readyz", s.ready)
	for _, path := range []string{"/healthz", "/readyz"} {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Allow", "GET, HEAD")
			writeJSON(w, http.StatusMethodNotAllowed, map[string]any{"error": &commands.Error{
				Code: commands.CodeInvalidRequest, Message: "Invalid Request", Data: r.URL.Path + " is read by GET, not " + r.Method,
			}})
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, http.StatusNotFound, map[string]any{"error": &commands.Error{
			Code: commands.CodeNotFound, Message: "Not found", Data: "there is no " + r.URL.Path + "; commands go to POST /rpc",
		}})
	})
	return mux
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
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // whoever asked is gone
}

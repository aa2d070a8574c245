package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/claudebench/claudebench/internal/auth"
	"github.com/claudebench/claudebench/internal/taskview"
	"github.com/claudebench/claudebench/lua"
	"github.com/claudebench/claudebench/projections"
)

// The states of a store in /readyz. "unavailable" is followed by the cause, where it is known.
const (
	storeOK          = "ok"
	storeOff         = "off"
	storeUnavailable = "unavailable"
	storeNotMigrated = "not migrated yet"
)

// readiness is the answer of /readyz.
type readiness struct {
	// Ready reports whether commands are taken.
	Ready bool `json:"ready"`
	// Degraded reports that commands are taken, and something needs an operator: task.list does not
	// answer, or answers what is old, or this coordinator does not fit the others.
	Degraded bool `json:"degraded"`
	// Reasons are why it is not ready, or degraded, a sentence each.
	Reasons []string `json:"reasons,omitempty"`
	// Redis and Postgres are ok, or what is wrong; Postgres is off where none is configured.
	Redis       string               `json:"redis"`
	Postgres    string               `json:"postgres"`
	Projections []projections.Status `json:"projections"`
}

// ready serves /readyz: 200 if commands are taken, else 503. A Postgres that is away, even since
// before the start, does not make the coordinator unready, because commands go on without it.
func (s *Server) ready(writable func(context.Context) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
		defer cancel()
		answer := s.readiness(ctx, writable)
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
}

func (s *Server) readiness(ctx context.Context, writable func(context.Context) error) readiness {
	answer := readiness{Ready: true, Redis: storeOK, Postgres: storeOff}
	var lag taskview.Lag
	// Side by side: a store that hangs must not use up the time of the other.
	var asked sync.WaitGroup
	asked.Go(func() { answer.Projections = s.runner.Status(ctx) })
	if s.tasks != nil {
		asked.Go(func() { answer.Postgres, lag = s.postgres(ctx) })
	}
	if err := writable(ctx); err != nil {
		answer.Redis = storeUnavailable
		if cause := lua.Cause(err); cause != "" {
			answer.Redis += ": " + cause
		}
		answer.Ready, answer.Reasons = false, append(answer.Reasons, "Redis is "+answer.Redis)
	}
	asked.Wait()
	if answer.Postgres != storeOK && answer.Postgres != storeOff {
		answer.Degraded = true
		answer.Reasons = append(answer.Reasons, fmt.Sprintf("Postgres is %s: task.list does not work", answer.Postgres))
	}
	if lag.Stale() {
		answer.Degraded, answer.Reasons = true, append(answer.Reasons, lag.String())
	}
	if err := s.fleet.Err(); err != nil {
		answer.Degraded, answer.Reasons = true, append(answer.Reasons, err.Error())
	}
	select {
	case <-s.draining:
		answer.Ready, answer.Reasons = false, append(answer.Reasons, "the coordinator is stopping")
	default:
	}
	return answer
}

// postgres reports how the database stands, and how far the task view is behind the log if Redis
// tells.
func (s *Server) postgres(ctx context.Context) (string, taskview.Lag) {
	at, err := s.tasks.Checkpoint(ctx)
	switch {
	case err == nil:
		lag, _ := taskview.ReadLag(ctx, s.scripts, at.String()) // an error is Redis's, which is asked beside
		return storeOK, lag
	case projections.NotMigrated(err):
		return storeNotMigrated, taskview.Lag{}
	}
	if cause := postgresCause(err); cause != "" {
		return storeUnavailable + ": " + cause, taskview.Lag{}
	}
	return storeUnavailable, taskview.Lag{}
}

// postgresCause is what an operator must change for Postgres to be available, "" where that is not
// known.
func postgresCause(err error) string {
	var answered *pgconn.PgError
	if !errors.As(err, &answered) {
		return ""
	}
	switch answered.Code {
	case "28P01", "28000":
		return "it refuses the user or password of --database-url"
	case "3D000":
		return "it does not have the database of --database-url"
	case "42501":
		return "the user of --database-url lacks a permission"
	}
	return ""
}

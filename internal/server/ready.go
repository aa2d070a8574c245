package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/claudebench/claudebench/commands/queue"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/auth"
	"github.com/claudebench/claudebench/internal/taskview"
	"github.com/claudebench/claudebench/lua"
	"github.com/claudebench/claudebench/projections"
)

// States of a store in /readyz. "unavailable" is followed by the cause, if it is known.
const (
	storeOK          = api.StoreOK
	storeOff         = "off"
	storeUnavailable = api.StoreUnavailable
	storeNotMigrated = api.StoreNotMigrated
)

// readiness is the response of /readyz.
type readiness struct {
	// Ready is set if commands are accepted.
	Ready bool `json:"ready"`
	// Degraded is set if commands are accepted but something else does not work: task.list, session.*
	// or the histories return old data or none, or this coordinator's settings differ from those of the others.
	Degraded bool `json:"degraded"`
	// Reasons says why the coordinator is not ready or is degraded, one sentence each.
	Reasons []string `json:"reasons,omitempty"`
	// Redis and Postgres are "ok", or what is wrong. Postgres is "off" if none is configured.
	Redis       string               `json:"redis"`
	Postgres    string               `json:"postgres"`
	Projections []projections.Status `json:"projections"`
	// Seals is how far the log is sealed; nil if it is not.
	Seals *seals `json:"seals,omitempty"`
	// Pauses are those of queues. They change neither Ready nor Degraded.
	Pauses []api.Pause `json:"pauses,omitempty"`
}

// ready serves /readyz: 200 if commands are accepted, else 503. An unavailable Postgres, even since
// before startup, does not make the coordinator unready, because commands do not need it.
func (s *Server) ready(writable func(context.Context) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
		defer cancel()
		stranger := s.tokens != nil && auth.Name(r.Context()) == ""
		answer := s.readiness(ctx, writable, !stranger)
		status := http.StatusOK
		if !answer.Ready {
			status = http.StatusServiceUnavailable
		}
		if stranger {
			// Only members of the fleet see its state.
			writeJSON(w, status, map[string]bool{"ready": answer.Ready})
			return
		}
		writeJSON(w, status, answer)
	}
}

// readiness returns the state. Without details it asks only whether commands are accepted, which
// costs no query: callers without a token must not keep the stores busy.
func (s *Server) readiness(ctx context.Context, writable func(context.Context) error, details bool) readiness {
	answer := readiness{Ready: true, Redis: storeOK, Postgres: storeOff}
	var lag, indexLag taskview.Lag
	// Concurrently, so that a store that hangs does not use up the time of the other.
	var asked sync.WaitGroup
	if details {
		asked.Go(func() { answer.Projections = s.runner.Status(ctx) })
	}
	if details {
		// An error is Redis's, which is checked separately.
		asked.Go(func() { answer.Pauses, _ = queue.Pauses(ctx, s.scripts) })
	}
	var sealProblem string
	if details {
		asked.Go(func() { answer.Seals, sealProblem = s.seals(ctx) })
	}
	if details && s.tasks != nil {
		asked.Go(func() { answer.Postgres, lag = s.postgres(ctx) })
	}
	if details && s.events != nil {
		asked.Go(func() {
			if at, err := s.events.Checkpoint(ctx); err == nil { // an error is that of Postgres
				indexLag, _ = taskview.ReadLag(ctx, s.scripts, at.String())
			}
		})
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
		answer.Reasons = append(answer.Reasons, fmt.Sprintf("Postgres is %s: task.list and session.* do not work", answer.Postgres))
	}
	if lag.Stale() {
		answer.Degraded, answer.Reasons = true, append(answer.Reasons, lag.String())
	}
	if indexLag.Stale() {
		answer.Degraded = true
		answer.Reasons = append(answer.Reasons, fmt.Sprintf("the event index is %d events behind the log, for %s: task.history, instance.history and event.list are incomplete",
			indexLag.Events, indexLag.Age.Round(time.Second)))
	}
	if sealProblem != "" {
		answer.Degraded, answer.Reasons = true, append(answer.Reasons, sealProblem)
	}
	if err := s.fleet.Err(); details && err != nil {
		answer.Degraded, answer.Reasons = true, append(answer.Reasons, err.Error())
	}
	if s.archiver != nil && details {
		if failing := s.archiver.Status().Failing; failing != "" {
			answer.Degraded, answer.Reasons = true, append(answer.Reasons, "the log is not archived: "+failing)
		}
	}
	select {
	case <-s.draining:
		answer.Ready, answer.Reasons = false, append(answer.Reasons, "the coordinator is stopping")
	default:
	}
	return answer
}

// postgres returns the state of the database, and the lag of the task view if Redis replies.
func (s *Server) postgres(ctx context.Context) (string, taskview.Lag) {
	at, err := s.tasks.Checkpoint(ctx)
	switch {
	case err == nil:
		// An error is Redis's, which is checked separately.
		lag, _ := taskview.ReadLag(ctx, s.scripts, at.String())
		return storeOK, lag
	case projections.NotMigrated(err):
		return storeNotMigrated, taskview.Lag{}
	}
	if cause := postgresCause(err); cause != "" {
		return storeUnavailable + ": " + cause, taskview.Lag{}
	}
	return storeUnavailable, taskview.Lag{}
}

// postgresCause returns what an operator must change to make Postgres available, or "" if that is
// unknown.
func postgresCause(err error) string {
	var answered *pgconn.PgError
	if !errors.As(err, &answered) {
		return ""
	}
	switch answered.Code {
	case "28P01", "28000":
		return "it rejects the user or password of --database-url"
	case "3D000":
		return "it does not have the database of --database-url"
	case "42501":
		return "the user of --database-url lacks a permission"
	}
	return ""
}

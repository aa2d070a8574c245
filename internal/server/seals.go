package server

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/auth"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/metrics"
	"github.com/claudebench/claudebench/internal/seal"
	"github.com/claudebench/claudebench/internal/sealhttp"
	"github.com/claudebench/claudebench/internal/sealtree"
)

// sealsLate is how far the seals may be behind the log before a coordinator counts as degraded.
const sealsLate = 10 * time.Second

// seals is the part of /readyz about the seals of the log. Every coordinator of a fleet shows it,
// except for Holder and Problem, which are this coordinator's.
type seals struct {
	// Size is the number of leaves in the last signed checkpoint, and Last the last sealed event.
	Size int64  `json:"size"`
	Last string `json:"last,omitempty"`
	// Behind is how many events are not sealed yet, and BehindMS the age of the first of them.
	Behind   int64 `json:"behind"`
	BehindMS int64 `json:"behindMs"`
	// Holder reports that this coordinator seals.
	Holder bool `json:"holder"`
	// Problem is why this coordinator does not seal although it should.
	Problem string `json:"problem,omitempty"`
	// Stopped is why sealing has stopped for good.
	Stopped string `json:"stopped,omitempty"`
}

// seals returns the state of the seals, nil if the log has none, and what is wrong with them. An
// error of Redis is reported separately.
func (s *Server) seals(ctx context.Context) (*seals, string) {
	state, err := seal.Read(ctx, s.scripts, "")
	if err != nil || state.Record.Verifier == "" && s.sealer == nil {
		return nil, ""
	}
	r := state.Record
	answer := &seals{Size: r.Size, Last: r.Last, Behind: state.Events, BehindMS: state.Age.Milliseconds(), Stopped: r.Stopped}
	var since time.Time
	refused := false
	if s.sealer != nil {
		own := s.sealer.Status()
		answer.Holder, answer.Problem = own.Holder, own.Problem
		since, refused = own.Since, own.Refused
	}
	switch {
	case r.Stopped != "":
		return answer, "the log is not sealed any more: " + r.Stopped
	case refused, answer.Problem != "" && time.Since(since) > sealsLate:
		return answer, "the log cannot be sealed: " + answer.Problem
	case state.Age > sealsLate && (s.sealer != nil || state.Held):
		return answer, fmt.Sprintf("the seals are %d events behind the log, for %s", state.Events, state.Age.Round(time.Second))
	}
	return answer, ""
}

// sealCounts returns what metrics tell of the seals.
func (s *Server) sealCounts(ctx context.Context) metrics.Seals {
	own := s.sealer.Status()
	counts := metrics.Seals{Holder: own.Holder, Failing: own.Problem != "", Failures: s.sealer.Failures(), CommitTook: own.CommitTook}
	state, err := seal.Read(ctx, s.scripts, "")
	if err != nil {
		return counts
	}
	counts.Known = true
	counts.Size, counts.Lag, counts.Age, counts.Stopped = state.Record.Size, state.Events, state.Age, state.Record.Stopped != ""
	if last, err := events.ParseID(state.Record.Last); err == nil { // before the first seal there is none
		counts.Seq = last.Seq
	}
	return counts
}

// sealsHandler serves the seals. Where tokens are on, a caller needs the right to read everything.
func (s *Server) sealsHandler(cfg *config.Config) http.Handler {
	var dir *sealtree.Dir
	if cfg.SealDir != "" {
		dir = sealtree.OpenDir(cfg.SealDir)
	}
	return sealhttp.NewHandler(dir, s.mayAudit)
}

// mayAudit reports whether the caller may read everything.
func (s *Server) mayAudit(r *http.Request) bool {
	if s.tokens == nil {
		return true
	}
	token, ok := s.tokens.Token(auth.Name(r.Context()))
	return ok && slices.ContainsFunc(token.Roles, func(role string) bool {
		return role == api.RoleAuditor || role == api.RoleOperator || role == api.RoleAdmin
	})
}

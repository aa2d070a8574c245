package audit

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"time"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/breaker"
	"github.com/claudebench/claudebench/internal/command"
	"github.com/claudebench/claudebench/lua"
)

type beginVerificationArgs struct {
	ID, By, Coordinator string
	Lease               int64 // ms
}

var beginVerification = lua.Bind[beginVerificationArgs]("begin_verification")

func (o Options) verifyMethod() (*command.Method, error) {
	return command.New[api.VerifyParams, api.VerifyResult](command.Spec{
		Name: "audit.verify",
		Description: "Begin to verify in the background that everything stored agrees with the log, as `claudebench verify` does. " +
			"At most one verification runs in a fleet; if one runs, the result describes it. audit.status has the progress and the result.",
		Limit:   10,
		Timeout: 5 * time.Second,
		Breaker: breaker.Setting{Failures: 5, Open: 30 * time.Second},
		Roles:   command.Auditors,
		Effect:  command.Sets,
		Hidden:  true,
	}, o.verify)
}

func (o Options) verify(ctx context.Context, c *command.Call, _ *api.VerifyParams) (json.RawMessage, error) {
	id := rand.Text()
	reply, err := command.Run(ctx, c, beginVerification, "", beginVerificationArgs{
		ID: id, By: c.Actor(""), Coordinator: o.Verifier.Name, Lease: o.Verifier.Lease().Milliseconds(),
	})
	if err != nil {
		return nil, err
	}
	var run stored
	if err := beginVerification.Unmarshal(reply, &run); err != nil {
		return nil, err
	}
	if run.ID == id {
		o.Verifier.Start(id)
	}
	return json.Marshal(api.VerifyResult{Started: run.ID == id, Running: run.running()})
}

// stored are the fields of lua/lib/verification.
type stored struct {
	ID          string `json:"id"`
	StartedAt   int64  `json:"startedAt,string"` // ms since 1970
	Until       int64  `json:"until,string"`     // ms since 1970
	StartedBy   string `json:"startedBy"`
	Coordinator string `json:"coordinator"`
	Doing       string `json:"doing"`
	Events      int64  `json:"events,string"`
	Total       int64  `json:"total,string"`
	Last        string `json:"last"`          // JSON
	LastAt      int64  `json:"lastAt,string"` // ms since 1970

	LastStartedAt   int64  `json:"lastStartedAt,string"` // ms since 1970
	LastStartedBy   string `json:"lastStartedBy"`
	LastCoordinator string `json:"lastCoordinator"`
}

func (s stored) running() api.AuditRun {
	return api.AuditRun{
		StartedAt: iso(s.StartedAt), StartedBy: s.StartedBy, Coordinator: s.Coordinator, Doing: s.Doing, Events: s.Events, Total: s.Total,
	}
}

func iso(ms int64) string { return time.UnixMilli(ms).UTC().Format(events.TimeLayout) }

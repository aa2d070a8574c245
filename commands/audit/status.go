package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/breaker"
	"github.com/claudebench/claudebench/internal/command"
	"github.com/claudebench/claudebench/internal/jsontext"
	"github.com/claudebench/claudebench/internal/verification"
	"github.com/claudebench/claudebench/lua"
)

var getAuditStatus = lua.Bind[lua.NoArgs]("get_audit_status")

func (o Options) statusMethod() (*command.Method, error) {
	return command.New[api.AuditStatusParams, api.AuditStatusResult](command.Spec{
		Name: "audit.status",
		Description: "Read what the log holds and which events it does not have, and how far a verification is, or what the last one found. " +
			"It costs the same however long the log is.",
		Limit:   300,
		Timeout: 3 * time.Second,
		Breaker: breaker.Setting{Failures: 5, Open: 30 * time.Second},
		Roles:   command.Readers,
		Effect:  command.Reads,
		Hidden:  true,
	}, o.status)
}

// auditStatus is the reply of get_audit_status.
type auditStatus struct {
	Clock        int64   `json:"clock,string"` // ms since 1970
	Seq          int64   `json:"seq,string"`
	Base         int64   `json:"base,string"`
	Identity     string  `json:"identity"`
	Events       int64   `json:"events"`
	First        string  `json:"first"`
	Last         string  `json:"last"`
	Flushed      bool    `json:"flushed"`
	Verification *stored `json:"verification"`
}

func (o Options) status(ctx context.Context, c *command.Call, _ *api.AuditStatusParams) (json.RawMessage, error) {
	reply, err := command.Run(ctx, c, getAuditStatus, "", lua.NoArgs{})
	if err != nil {
		return nil, err
	}
	var found auditStatus
	if err := getAuditStatus.Unmarshal(reply, &found); err != nil {
		return nil, err
	}
	result := api.AuditStatusResult{Log: found.log(), Gaps: []api.AuditGap{}}
	if v := found.Verification; v != nil {
		if result.Running, result.Last, err = v.runs(found.Clock); err != nil {
			return nil, err
		}
	}
	if base := result.Log.Base; base > 1 {
		gap := api.AuditGap{From: 1, To: base - 1, Reason: "trimmed"}
		if found.Flushed {
			gap.Reason = "flushed"
		}
		result.Gaps = append(result.Gaps, gap)
	}
	if result.Last != nil {
		for _, gap := range result.Last.Gaps {
			if gap.From >= result.Log.Base { // else a flush has removed what was around it
				result.Gaps = append(result.Gaps, gap)
			}
		}
	}
	return jsontext.Marshal(result)
}

// log describes the log.
func (s auditStatus) log() api.AuditLog {
	// Entries of other programs have IDs too, which are no events'.
	first, _ := events.ParseID(s.First)
	base := max(s.Base, 1)
	if s.Base == 0 {
		base = max(first.Seq, 1) // the log's hash is lost
	}
	return api.AuditLog{
		Identity: s.Identity, Base: base, FirstSeq: first.Seq, FirstID: s.First, LastSeq: max(s.Seq, 0), LastID: s.Last, Events: s.Events,
	}
}

// runs returns the verification that runs and the last one that ended, each nil if there is none.
func (s stored) runs(clock int64) (running *api.AuditRun, last *api.AuditResult, err error) {
	if s.Last != "" {
		last = &api.AuditResult{}
		if err := json.Unmarshal([]byte(s.Last), last); err != nil {
			return nil, nil, fmt.Errorf("read the result of the last verification: %w", err)
		}
		last.StartedAt, last.FinishedAt, last.StartedBy, last.Coordinator = iso(s.LastStartedAt), iso(s.LastAt), s.LastStartedBy, s.LastCoordinator
	}
	if s.ID == "" {
		return nil, last, nil
	}
	run := s.running()
	if s.Until >= clock {
		return &run, last, nil
	}
	return nil, &api.AuditResult{
		StartedAt: run.StartedAt, FinishedAt: iso(s.Until), StartedBy: run.StartedBy, Coordinator: run.Coordinator, Events: run.Events,
		Damages: []string{}, Gaps: []api.AuditGap{}, Notes: []string{}, Error: verification.Lost,
	}, nil
}

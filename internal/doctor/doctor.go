// Package doctor checks what a careful operator of a fleet would check: settings that can lose data,
// memory and its growth, readers of the log that are left behind, clocks, versions, and what an
// interrupted step has left. Its caller is the command `doctor` of the program.
//
// It writes nothing, and the Redis user of an auditor and a Postgres role that may only read are
// enough for it. What such a user may not read is Unknown, and never OK. A store that does not reply
// fails the check of that store; the checks that need it are Unknown. So Run has no error for it.
//
// The checks run at the same time, each within a limit, and are reported in a fixed order. Each is a
// function in the file of its subject; the list is in this file.
package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/client"
	"github.com/claudebench/claudebench/internal/keys"
	"github.com/claudebench/claudebench/projections"
)

// Level says how good a finding is.
type Level string

// The levels. Skipped is of a check that does not apply, or that was not asked for.
const (
	OK      Level = "ok"
	Skipped Level = "skipped"
	Unknown Level = "unknown"
	Warn    Level = "warn"
	Fail    Level = "fail"
)

// Finding is what a check has found.
type Finding struct {
	Check string `json:"check"`
	Level Level  `json:"level"`
	Text  string `json:"text"`
	// Do says what to do about it; "" if there is nothing to do.
	Do string `json:"do,omitempty"`
}

// Options say what to check. Redis and Keys are required.
type Options struct {
	Redis redis.UniversalClient
	// RedisURL is the URL of Redis, from which errors are explained.
	RedisURL string
	Keys     keys.Space
	// Postgres is nil if no database is known.
	Postgres *projections.Pool
	// Coordinator is the client of one coordinator, with a token if callers need one. Nil if its URL is
	// not known.
	Coordinator *client.Client
	// AuthFile is the path of the file of tokens, "" if it is not known.
	AuthFile string
	// Folders are folders whose disks are checked.
	Folders []string
	// Program is the version of this program.
	Program string
	// Skip has the names of checks that are left out.
	Skip []string
}

// limit bounds a check.
const limit = 3 * time.Second

// check is one check. It returns at least one finding.
type check struct {
	name string
	run  func(context.Context, *exam) []Finding
}

// checks are all checks, in the order of the report.
var checks = []check{
	{"redis", checkRedis},
	{"settings", checkSettings},
	{"memory", checkMemory},
	{"growth", checkGrowth},
	{"disk", checkDisk},
	{"log", checkLog},
	{"flush", checkFlush},
	{"coordinators", checkCoordinators},
	{"coordinator", checkCoordinator},
	{"certificate", checkCertificate},
	{"tokens", checkTokens},
	{"projections", checkProjections},
	{"checkpoints", checkCheckpoints},
	{"groups", checkGroups},
	{"parked", checkParked},
	{"postgres", checkPostgres},
	{"migrations", checkMigrations},
	{"clocks", checkClocks},
	{"verification", checkVerification},
}

// Names returns the names of all checks, in the order of the report.
func Names() []string {
	names := make([]string, len(checks))
	for i, c := range checks {
		names[i] = c.name
	}
	return names
}

// Run runs the checks. The error says that Skip has a name that no check has.
func Run(ctx context.Context, o Options) (*Report, error) {
	for _, name := range o.Skip {
		if !slices.Contains(Names(), name) {
			return nil, fmt.Errorf("there is no check %q; the checks are %s", name, strings.Join(Names(), ", "))
		}
	}
	return run(ctx, newExam(ctx, o), checks, limit), nil
}

// run runs a list of checks, each within a limit.
func run(ctx context.Context, e *exam, list []check, limit time.Duration) *Report {
	found := make([][]Finding, len(list))
	var running sync.WaitGroup
	for i, c := range list {
		if slices.Contains(e.Skip, c.name) {
			found[i] = []Finding{skipped("left out by --skip")}
			continue
		}
		running.Go(func() { found[i] = c.within(ctx, e, limit) })
	}
	running.Wait()
	r := &Report{Findings: []Finding{}}
	for i, c := range list {
		for _, f := range found[i] {
			f.Check = c.name
			r.Findings = append(r.Findings, f)
		}
	}
	r.Level = worst(r.Findings)
	return r
}

// grace is how much longer than its limit a check may take to notice the end of its context.
const grace = 500 * time.Millisecond

// within runs the check within a limit. A check that ignores its context, because a file system
// hangs, is left running.
func (c check) within(ctx context.Context, e *exam, limit time.Duration) []Finding {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	done := make(chan []Finding, 1)
	go func() { done <- c.run(ctx, e) }()
	late := time.NewTimer(limit + grace)
	defer late.Stop()
	select {
	case found := <-done:
		return found
	case <-late.C:
		return []Finding{{Level: Unknown, Text: fmt.Sprintf("the check did not end within %s", limit), Do: "run doctor again; if it stays so, look at the store or disk that the check reads"}}
	}
}

func ok(format string, args ...any) Finding {
	return Finding{Level: OK, Text: fmt.Sprintf(format, args...)}
}

func skipped(format string, args ...any) Finding {
	return Finding{Level: Skipped, Text: fmt.Sprintf(format, args...)}
}

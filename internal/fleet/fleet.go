// Package fleet ensures that the coordinators of a namespace fit each other. None may be too old
// for the log, and all must have the same settings if a difference would make the result depend on
// which one gets a call. The server joins at startup and is a member while it runs.
//
// The log's format is stored in the log's hash for good. The settings are a key in Redis that
// expires with a lease, so that other settings are possible after the last coordinator has ended.
// The key is not a lock: when Redis was unavailable for longer than the lease, the first
// coordinator to return stores its own settings, and the others report the difference until they
// are restarted. No command waits for any of this.
package fleet

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/lua"
)

const (
	// lease is how long the settings outlive the last coordinator, and so how long a start with
	// other settings may wait. It is also how long a coordinator counts as alive.
	lease = 4 * time.Second
	// renewEvery leaves time for a short outage of Redis.
	renewEvery = time.Second
	// askEvery is how often a waiting start checks again.
	askEvery = 100 * time.Millisecond
)

type joinFleetArgs struct {
	Lease    int64 // ms
	Replace  bool
	Format   int
	Program  string
	TTL      int64 // ms
	Name     string
	Settings []string
}

var joinFleet = lua.Bind[joinFleetArgs]("join_fleet")

// Settings are values by the name of their flag.
type Settings map[string]string

// shared returns the settings that the coordinators of a namespace must share. Each of them affects
// instances and tasks through scripts or keys that all coordinators use.
func shared(cfg *config.Config) Settings {
	return Settings{
		"instance-ttl":     cfg.InstanceTTL.String(),
		"monitor-interval": cfg.MonitorInterval.String(),
		"task-retention":   cfg.TaskRetention.String(),
		"topics":           cfg.Topics.String(),
		"max-losses":       strconv.Itoa(cfg.MaxLosses),
	}
}

// DifferentError reports that running coordinators have other settings.
type DifferentError struct {
	Ours, Theirs Settings // those that differ
}

func (e *DifferentError) Error() string {
	parts := make([]string, 0, len(e.Ours))
	for _, name := range slices.Sorted(maps.Keys(e.Ours)) {
		parts = append(parts, fmt.Sprintf("--%s is %s, but the running coordinators of this namespace have %s", name, e.Ours[name], e.Theirs[name]))
	}
	return strings.Join(parts, "; ") + "; start this coordinator with their value, or stop them first; " +
		"to change the value one coordinator at a time, start each with --replace-settings"
}

// Member is one coordinator of a namespace's fleet. It is safe for concurrent use.
type Member struct {
	scripts  lua.Scripts
	name     string
	program  string
	settings Settings
	ttl      time.Duration
	logger   *slog.Logger

	mu      sync.Mutex
	problem error // nil while it fits the others
}

// New returns a member of the namespace of scripts. program is its version.
func New(scripts lua.Scripts, program string, cfg *config.Config, logger *slog.Logger) *Member {
	return &Member{scripts: scripts, name: rand.Text(), program: program, settings: shared(cfg), ttl: cfg.InstanceTTL, logger: logger}
}

// Join stores the log's format and the settings, or compares them with the stored ones. Settings
// that no coordinator renews belong to coordinators that have ended: Join waits until their lease
// expires. The error is an *events.NewerLogError if a newer program has written to the log, and a
// *DifferentError if a coordinator with other settings runs. With replace, Join overwrites other
// settings and never returns a *DifferentError. Other errors are those of lua.Runner.Run and of
// ctx.
func (m *Member) Join(ctx context.Context, replace bool) error {
	var before time.Duration
	for {
		left, problem, err := m.note(ctx, replace)
		different := (*DifferentError)(nil)
		switch {
		case err != nil:
			return err
		case problem == nil:
			return nil
		case !errors.As(problem, &different):
			return problem
		case left < 0 || before > 0 && left > before:
			return problem // a coordinator renews them, or the key has lost its expiry
		case before == 0: // the first look
			m.logger.InfoContext(ctx, "other settings were in use a moment ago; waiting for their lease to expire",
				"difference", problem, "at_most", left.String())
		}
		before = left
		select {
		case <-time.After(min(askEvery, left+time.Millisecond)):
		case <-ctx.Done():
			return fmt.Errorf("wait for the lease of the other settings: %w", ctx.Err())
		}
	}
}

// Keep renews the settings until ctx ends. A conflict with the other coordinators is logged when it
// begins and when it ends, and Err returns it meanwhile.
func (m *Member) Keep(ctx context.Context) {
	ticker := time.NewTicker(renewEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		_, problem, err := m.note(ctx, false)
		if err != nil {
			continue // Redis is unavailable, which others report
		}
		m.mu.Lock()
		before := m.problem
		m.problem = problem
		m.mu.Unlock()
		switch {
		case problem != nil && before == nil:
			m.logger.ErrorContext(ctx, "this coordinator conflicts with the others of its namespace", "error", problem)
		case problem == nil && before != nil:
			m.logger.InfoContext(ctx, "this coordinator no longer conflicts with the others of its namespace")
		}
	}
}

// Err returns why this coordinator does not fit the others of its namespace, with the errors of
// Join, or nil if it does.
func (m *Member) Err() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.problem
}

// note renews the settings. If it cannot, it returns the conflict, and how long the other settings
// will last.
func (m *Member) note(ctx context.Context, replace bool) (left time.Duration, problem, err error) {
	args := joinFleetArgs{Lease: lease.Milliseconds(), Replace: replace, Format: events.Format, Program: m.program, TTL: m.ttl.Milliseconds(), Name: m.name}
	for _, name := range slices.Sorted(maps.Keys(m.settings)) {
		args.Settings = append(args.Settings, name, m.settings[name])
	}
	reply, err := joinFleet.Run(ctx, m.scripts, args)
	if err != nil {
		return 0, nil, err
	}
	values, ok := reply.([]any)
	if !ok || len(values)%2 != 1 || len(values) < 3 {
		return 0, nil, fmt.Errorf("join_fleet returned %v", reply)
	}
	left = time.Duration(lua.Integer(values[2])) * time.Millisecond
	if format := lua.Integer(values[0]); format > events.Format {
		return left, &events.NewerLogError{Format: format, Program: fmt.Sprint(values[1])}, nil
	}
	if len(values) == 3 {
		return left, nil, nil
	}
	different := &DifferentError{Ours: Settings{}, Theirs: Settings{}}
	for i := 3; i < len(values); i += 2 {
		name := fmt.Sprint(values[i])
		different.Ours[name], different.Theirs[name] = m.settings[name], fmt.Sprint(values[i+1])
	}
	return left, different, nil
}

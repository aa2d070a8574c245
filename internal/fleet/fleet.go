// Package fleet sees to it that the coordinators of a namespace have the same settings, where a difference would let the
// one that is asked decide. The server takes the note of the settings at its start and keeps it while it runs.
//
// The note is a key in Redis that lasts for a lease, so that after the last coordinator has ended others may start with
// other settings. It is no lock: when Redis has been away for longer than the lease, whoever comes first notes its own
// settings, and the others report the difference until they are restarted. No command waits for any of it.
package fleet

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/lua"
)

const (
	// lease is how long the note outlives the last coordinator, and so how long a start with other settings may wait.
	lease = 4 * time.Second
	// renewEvery leaves time for a Redis that hangs for a moment.
	renewEvery = time.Second
	// askEvery is how often a start that waits looks again.
	askEvery = 100 * time.Millisecond
)

type holdSettingsArgs struct {
	Lease    int64 // ms
	Replace  bool
	Settings []string
}

var holdSettings = lua.Bind[holdSettingsArgs]("hold_settings")

// Settings are values by the name of their flag.
type Settings map[string]string

// Of returns the settings that the coordinators of a namespace must have in common. Each of them decides, in scripts or
// keys that all coordinators share, what becomes of instances and tasks.
func Of(cfg *config.Config) Settings {
	return Settings{
		"instance-ttl":     cfg.InstanceTTL.String(),
		"monitor-interval": cfg.MonitorInterval.String(),
		"task-retention":   cfg.TaskRetention.String(),
	}
}

// DifferentError says that coordinators that run have other settings.
type DifferentError struct {
	Ours, Theirs Settings // those that differ
}

func (e *DifferentError) Error() string {
	parts := make([]string, 0, len(e.Ours))
	for _, name := range slices.Sorted(maps.Keys(e.Ours)) {
		parts = append(parts, fmt.Sprintf("--%s is %s here, and %s at the coordinators of this namespace that run", name, e.Ours[name], e.Theirs[name]))
	}
	return strings.Join(parts, "; ") + ". Start this one with their value, or stop them first. " +
		"To change it one coordinator after the other, start each with --replace-settings"
}

// Note is the note of one coordinator's settings. It is safe for concurrent use.
type Note struct {
	scripts  lua.Scripts
	settings Settings
	logger   *slog.Logger

	mu        sync.Mutex
	different *DifferentError // nil while all agree
}

// New returns the note of a namespace whose scripts these are.
func New(scripts lua.Scripts, settings Settings, logger *slog.Logger) *Note {
	return &Note{scripts: scripts, settings: settings, logger: logger}
}

// Take notes the settings, or compares them with those that are noted. A note that nobody renews belongs to coordinators
// that have ended: Take waits until its lease is over. The error is a *DifferentError if a coordinator with other settings
// runs; with replace there is none. Other errors are those of lua.Runner.Run, and ctx's.
func (n *Note) Take(ctx context.Context, replace bool) error {
	var before time.Duration
	for {
		left, different, err := n.hold(ctx, replace)
		switch {
		case err != nil:
			return err
		case different == nil:
			return nil
		case left <= 0 || before > 0 && left > before:
			return different // somebody renews it
		case before == 0:
			n.logger.InfoContext(ctx, "other settings were in use a moment ago: waiting to see whether a coordinator with them still runs",
				"difference", different.Error(), "at_most", left.String())
		}
		before = left
		select {
		case <-time.After(min(askEvery, left+time.Millisecond)):
		case <-ctx.Done():
			return fmt.Errorf("wait for the end of other settings: %w", ctx.Err())
		}
	}
}

// Keep renews the note until ctx ends. A difference is logged when it begins and when it ends, and is what Err returns
// meanwhile.
func (n *Note) Keep(ctx context.Context) {
	ticker := time.NewTicker(renewEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		_, different, err := n.hold(ctx, false)
		if err != nil {
			continue // Redis is away, which others report
		}
		n.mu.Lock()
		before := n.different
		n.different = different
		n.mu.Unlock()
		switch {
		case different != nil && before == nil:
			n.logger.ErrorContext(ctx, "the coordinators of this namespace have different settings", "difference", different.Error())
		case different == nil && before != nil:
			n.logger.InfoContext(ctx, "the coordinators of this namespace have the same settings again")
		}
	}
}

// Err returns a *DifferentError while other coordinators have other settings, else nil.
func (n *Note) Err() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.different == nil {
		return nil
	}
	return n.different
}

// hold renews the note, or returns how long the one of other settings lasts still and what differs.
func (n *Note) hold(ctx context.Context, replace bool) (left time.Duration, different *DifferentError, err error) {
	args := holdSettingsArgs{Lease: lease.Milliseconds(), Replace: replace}
	for _, name := range slices.Sorted(maps.Keys(n.settings)) {
		args.Settings = append(args.Settings, name, n.settings[name])
	}
	reply, err := holdSettings.Run(ctx, n.scripts, args)
	if err != nil {
		return 0, nil, err
	}
	values, ok := reply.([]any)
	if !ok || len(values)%2 != 1 {
		return 0, nil, fmt.Errorf("hold_settings returned %v", reply)
	}
	left = time.Duration(lua.Integer(values[0])) * time.Millisecond
	if len(values) == 1 {
		return left, nil, nil
	}
	different = &DifferentError{Ours: Settings{}, Theirs: Settings{}}
	for i := 1; i < len(values); i += 2 {
		name := fmt.Sprint(values[i])
		different.Ours[name], different.Theirs[name] = n.settings[name], fmt.Sprint(values[i+1])
	}
	return left, different, nil
}

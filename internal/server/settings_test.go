package server

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/fleet"
	"github.com/claudebench/claudebench/internal/testenv"
)

// differing returns the settings with another instance TTL, with which a start is rejected.
func differing(cfg *config.Config) *config.Config {
	other := *cfg
	other.InstanceTTL += time.Second
	return &other
}

// A coordinator whose settings differ from those of a running one is rejected. The error names the
// setting, both values, and what to do.
func TestSettingsThatAFleetHasInCommon(t *testing.T) {
	t.Parallel()
	cfg := settings(t, nil)
	c := start(t, cfg)
	start(t, cfg) // the same settings
	if ttl := testenv.Client(t).HGet(t.Context(), keysOf(t, cfg).Log(), "ttl").Val(); ttl != fmt.Sprint(cfg.InstanceTTL.Milliseconds()) {
		t.Errorf("the scripts know a TTL of %s ms", ttl)
	}
	for flag, change := range map[string]func(*config.Config){
		"--instance-ttl is 5s, but the running coordinators of this namespace have 30s":         func(c *config.Config) { c.InstanceTTL = 5 * time.Second },
		"--monitor-interval is 2s, but the running coordinators of this namespace have 100ms":   func(c *config.Config) { c.MonitorInterval = 2 * time.Second },
		"--task-retention is 48h0m0s, but the running coordinators of this namespace have 1h0m": func(c *config.Config) { c.TaskRetention = 48 * time.Hour },
	} {
		other := *cfg
		change(&other)
		refusedToStart(t, &other, flag, "--replace-settings")
	}
	limits := *cfg
	limits.RateLimits = config.RateLimits{Methods: map[string]int{"task.get": 7}}
	start(t, &limits)

	// A flush keeps the note.
	call[object](t, c, "system.flush", params{"confirm": confirm})
	refusedToStart(t, differing(cfg), "--instance-ttl")
	agree(t, c, cfg)
}

func refusedToStart(t *testing.T, cfg *config.Config, want ...string) {
	t.Helper()
	s, err := Start(t.Context(), cfg, Options{Logger: quiet})
	if err == nil {
		_ = s.Stop(t.Context())
		t.Fatalf("it started; want an error with %q", want)
	}
	var different *fleet.DifferentError
	if !errors.As(err, &different) {
		t.Fatal(err)
	}
	for _, part := range want {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not name %q", err, part)
		}
	}
}

// After the only coordinator was killed, one with other settings waits for the end of the lease and
// starts.
func TestOtherSettingsAfterAKill(t *testing.T) {
	t.Parallel()
	cfg := settings(t, nil)
	first := spawn(t, cfg)
	first.create(t, params{"text": "kept"})
	first.kill(t)
	// However long the kill took on this machine, the next start finds the note.
	if err := testenv.Client(t).PExpire(t.Context(), keysOf(t, cfg).Prefix()+"fleet:settings", 4*time.Second).Err(); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	s, err := Start(t.Context(), differing(cfg), Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "waiting for their lease to expire") {
		t.Errorf("the log does not tell of the wait: %s", &log)
	}
}

// --replace-settings changes a fleet one coordinator after another. The remaining ones report the
// difference until they are restarted with the new settings.
func TestReplaceSettings(t *testing.T) {
	t.Parallel()
	cfg := settings(t, nil)
	old := start(t, cfg)
	replacing := differing(cfg)
	replacing.ReplaceSettings = true
	renewed := start(t, replacing)
	testenv.Eventually(t, 10*time.Second, func() (bool, string) {
		_, r := old.readyz(t)
		return r.Ready && r.Degraded && strings.Contains(strings.Join(r.Reasons, " "), "--instance-ttl is 30s, but the running coordinators of this namespace have 31s"), fmt.Sprintf("%+v", r)
	})
	if _, r := renewed.readyz(t); r.Degraded {
		t.Errorf("the coordinator with the new settings is degraded: %v", r.Reasons)
	}
	refusedToStart(t, cfg, "--instance-ttl is 30s, but the running coordinators of this namespace have 31s")
	start(t, differing(cfg))
}

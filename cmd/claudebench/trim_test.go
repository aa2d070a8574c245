package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/keys"
	"github.com/claudebench/claudebench/internal/logtest"
	"github.com/claudebench/claudebench/internal/testenv"
	"github.com/claudebench/claudebench/internal/trim"
)

// trim refuses without an archive and says what to do; a plan changes nothing; a reader that holds back
// is named, and can be ignored.
func TestTrim(t *testing.T) {
	t.Parallel()
	client := testenv.Client(t)
	log := logtest.On(t, client)
	space, err := keys.New(log.Namespace)
	if err != nil {
		t.Fatal(err)
	}
	ids := log.Add(events.TypeTaskCreated, `{"text":"x"}`, 3000)
	env := []string{"CB_REDIS_URL=" + testenv.Redis(t).URL(), "CB_NAMESPACE=" + log.Namespace}
	if r := execute(t, env, "trim", "--retain-events", "1000"); r.code != exitFailed || !strings.Contains(r.log, "--archive-dir") {
		t.Errorf("without an archive: %+v", r)
	}
	last := ids[2999].String()
	client.HSet(t.Context(), space.Log(), "base", 1, "archive", "a", "archivedClosed", last)
	client.HSet(t.Context(), space.State(), "checkpoint", last)
	client.Set(t.Context(), space.Checkpoint("metrics"), last, 0)
	checkpoints, err := events.NewRedisCheckpoints(client, log.Namespace)
	if err == nil {
		err = checkpoints.Save(t.Context(), "bill\x1b[31m", ids[499])
	}
	if err != nil {
		t.Fatal(err)
	}
	base := func() string { return client.HGet(t.Context(), space.Log(), "base").Val() }

	r := execute(t, env, "trim", "--retain-events", "1000", "--dry-run")
	if r.code != 0 || !strings.Contains(r.out, "would remove about 500 entries; the log would begin with ") || base() != "1" {
		t.Errorf("a plan: %+v, the log begins with %s", r, base())
	}
	r = execute(t, env, "trim", "--retain-events", "1000")
	if r.code != 0 || !strings.HasPrefix(r.out, "removed ") || !strings.Contains(r.out, "1500 events stay") || !strings.Contains(r.out, "checkpoint") || strings.Contains(r.out, "\x1b") {
		t.Errorf("held back: %+v", r)
	}
	var report trim.Report
	r = execute(t, env, "trim", "--retain-events", "1000", "--format", "json", "--dry-run")
	if err := json.Unmarshal([]byte(r.out), &report); err != nil || len(report.Holders) != 1 || report.Holders[0].Name != "bill\x1b[31m" || report.HeldBack != 1500 {
		t.Errorf("as JSON: %+v, %v", r, err)
	}
	if r := execute(t, env, "checkpoints"); r.code != 0 || !strings.Contains(r.out, " 1500 ") {
		t.Errorf("checkpoints: %+v", r)
	}
	r = execute(t, env, "trim", "--retain-events", "1000", "--ignore", "bill\x1b[31m")
	if r.code != 0 || strings.Contains(r.out, "stay") {
		t.Errorf("ignored: %+v", r)
	}
	if r := execute(t, env, "trim", "--retain", "1h", "--dry-run"); r.code != 0 || !strings.HasPrefix(r.out, "nothing to remove; ") {
		t.Errorf("nothing is old: %+v", r)
	}
}

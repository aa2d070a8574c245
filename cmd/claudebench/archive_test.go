package main

import (
	"strings"
	"testing"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/keys"
	"github.com/claudebench/claudebench/internal/logtest"
	"github.com/claudebench/claudebench/internal/testenv"
)

// What was trimmed from Redis is read from the archive.
func TestArchiveAndReplay(t *testing.T) {
	t.Parallel()
	l := logtest.New(t)
	space, err := keys.New(l.Namespace)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Client.HSet(t.Context(), space.Log(), "identity", "x").Err(); err != nil {
		t.Fatal(err)
	}
	ids := l.Add(events.TypeTaskDeleted, `{"id":"t-1"}`, 50)
	dir := t.TempDir()
	stores := []string{"--redis-url", testenv.Redis(t).URL(), "--namespace", l.Namespace}
	run := func(command string, args ...string) result {
		t.Helper()
		return execute(t, nil, append(append([]string{command}, stores...), args...)...)
	}
	if got := run("replay", "--archive-dir", dir); got.code != exitUsage || !strings.Contains(got.log, "no archive") {
		t.Errorf("a folder without an archive: %+v", got)
	}
	if got := run("archive", "--archive-dir", dir, "--once"); got.code != 0 || !strings.Contains(got.log, "archived up to "+ids[49].String()) {
		t.Errorf("archive: %+v", got)
	}
	whole := run("replay")
	l.Trim(ids[20])
	if got := run("replay"); got.code != 0 || strings.Count(got.out, "\n") != 30 {
		t.Errorf("without the archive: %+v", got)
	}
	if got := run("replay", "--archive-dir", dir); got.code != 0 || got.out != whole.out || strings.Count(got.out, "\n") != 50 {
		t.Errorf("with the archive: %+v", got)
	}
}

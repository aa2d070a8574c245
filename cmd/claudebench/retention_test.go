package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/keys"
	"github.com/claudebench/claudebench/internal/testenv"
)

// A log whose beginning is in the archive only: everything that reads the log reads both as one.
func TestReadersOfATrimmedLog(t *testing.T) {
	t.Parallel()
	dir, namespace := t.TempDir(), testenv.Namespace(t)
	at := func(name string) string { return filepath.Join(dir, name) }
	if r := execute(t, nil, "keys", "new", "example.com/fleet", "--out", at("fleet.key")); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	stores := []string{"CB_REDIS_URL=" + testenv.Redis(t).URL(), "CB_DATABASE_URL=" + testenv.Postgres(t), "CB_NAMESPACE=" + namespace, "CB_ARCHIVE_DIR=" + at("archive")}
	serve := launch(t, append([]string{"CB_LISTEN=127.0.0.1:0"}, stores...), "serve", "--rate-limits", "off",
		"--seal-dir", at("seals"), "--seal-key", at("fleet.key"), "--retain-events", "1000")
	url := "http://" + serve.address(t)
	const lots = 25
	create := `{"tasks":[` + strings.Repeat(`{"text":"x"},`, 99) + `{"text":"x"}]}`
	for range lots {
		if r := execute(t, nil, "call", "--url", url, "task.create_many", create); r.code != 0 {
			t.Fatalf("%+v", r)
		}
	}
	space, err := keys.New(namespace)
	if err != nil {
		t.Fatal(err)
	}
	redis := testenv.Client(t)
	testenv.Eventually(t, time.Minute, func() (bool, string) {
		n := redis.XLen(t.Context(), space.Events()).Val()
		return n < 1200, fmt.Sprintf("Redis still has %d events", n)
	})

	says := func(code int, want string, args ...string) string {
		t.Helper()
		r := execute(t, stores, args...)
		if r.code != code || !strings.Contains(r.out+r.log, want) {
			t.Errorf("%v ended with %d and does not say %q:\n%.2000s\n%.2000s", args, r.code, want, r.out, r.log)
		}
		return r.out
	}
	says(0, "Read 2500 events, seq 1 to 2500.", "verify")
	says(0, "OK: the log is what was sealed.", "verify", "--seals", at("seals"), "--key", at("fleet.pub"))
	says(0, "2500 events compared with their leaves", "verify", "--seals", url+"/tlog", "--key", at("fleet.pub"))
	says(0, "proof", "prove", "3", "--seals", at("seals"), "--key", at("fleet.pub"), "--out", at("proof"))
	says(0, "OK: event ", "prove", "--check", at("proof"), "--key", at("fleet.pub"))
	says(0, "", "rebuild", "--all", "--dry-run")
	says(0, "Tasks: 300 pending", "state", "--at", "300")
	says(0, "task.created", "history", "t-7")
	whole := says(0, "2500 events", "replay")
	if n := strings.Count(whole, "\n"); n != lots*100 {
		t.Errorf("replay has %d lines", n)
	}
	if got := says(0, "2500 events", "replay", "--url", url); got != whole {
		t.Error("a replay from the coordinator differs from that of Redis and the archive")
	}
	if got := says(0, "11 events", "replay", "--from", "5", "--to", "15"); strings.Count(got, "\n") != 11 || !strings.Contains(got, `"seq":5,`) {
		t.Errorf("the seqs 5 to 15: %.300s", got)
	}

	// A subscriber that begins now, and one that has been away.
	reader, err := events.NewHTTPReader(url, "", events.HTTPReaderConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	for next, after := int64(1), (events.ID{}); next <= lots*100; {
		batch, err := reader.Read(t.Context(), after)
		if err != nil || batch.Skipped != 0 {
			t.Fatalf("after %s: %+v, %v", after, batch, err)
		}
		for _, e := range batch.Entries {
			if e.ID.Seq != next {
				t.Fatalf("event %s comes in the place of %d", e.ID, next)
			}
			next++
		}
		after = batch.Last()
	}
}

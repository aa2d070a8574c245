package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/claudebench/claudebench/internal/devstack"
	"github.com/claudebench/claudebench/internal/doctor"
	"github.com/claudebench/claudebench/internal/keys"
	"github.com/claudebench/claudebench/internal/testenv"
)

// The exit code of doctor is that of the worst finding. A store that does not reply is a finding.
func TestDoctor(t *testing.T) {
	t.Parallel()
	redis := testenv.OwnRedis(t, devstack.RedisOptions{AppendOnly: true})
	namespace := testenv.Namespace(t)
	stores := []string{"CB_REDIS_URL=" + redis.URL(), "CB_DATABASE_URL=" + testenv.Postgres(t), "CB_NAMESPACE=" + namespace}
	if r := execute(t, stores, "doctor"); r.code != 2 || !strings.Contains(r.out, fmt.Sprintf("namespace %q has no log", namespace)) || r.log != "" {
		t.Errorf("before a coordinator has started: %+v", r)
	}
	url := "CB_URL=" + launch(t, append([]string{"CB_LISTEN=127.0.0.1:0"}, stores...), "serve").address(t)
	if r := execute(t, []string{url}, "call", "task.create", `{"text":"one"}`); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	// The tests' Postgres does not protect its files, which is a warning.
	testenv.Eventually(t, time.Minute, func() (bool, string) {
		r := execute(t, append(stores, url), "doctor", "--skip", "postgres")
		return r.code == 0 && strings.Contains(r.out, "the log has 1 event, seq 1 to 1") && strings.Contains(r.out, "is ready") &&
			strings.Contains(r.out, "1 coordinator: 1 of "), fmt.Sprintf("%+v", r)
	})
	r := execute(t, stores, "doctor", "--format", "json")
	var report doctor.Report
	if err := json.Unmarshal([]byte(r.out), &report); err != nil || r.code != 1 || report.Level != doctor.Warn || len(report.Findings) != len(doctor.Names()) {
		t.Errorf("%+v, %v", r, err)
	}
	space, err := keys.New(namespace)
	if err != nil {
		t.Fatal(err)
	}
	if err := testenv.ClientOf(t, redis).HSet(t.Context(), space.Log(), "format", 99, "program", "v9").Err(); err != nil {
		t.Fatal(err)
	}
	if r := execute(t, stores, "doctor"); r.code != 2 || !strings.Contains(r.out, "v9") {
		t.Errorf("a log that is newer than the program: %+v", r)
	}
	if r := execute(t, []string{"CB_REDIS_URL=redis://127.0.0.1:1"}, "doctor"); r.code != 2 || !strings.Contains(r.out, "Redis does not reply") || r.log != "" {
		t.Errorf("without Redis: %+v", r)
	}
}

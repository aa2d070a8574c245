package audit_test

import (
	"strings"
	"testing"

	"github.com/claudebench/claudebench/projections"
)

// A store that follows another log is reported with both identities, and not compared further.
func TestVerifyComparesTheLogs(t *testing.T) {
	t.Parallel()
	d := newDay(t, true)
	identity, err := projections.OpenLog(t.Context(), projections.RedisConfig{Client: d.client, Keys: d.space})
	if err != nil {
		t.Fatal(err)
	}
	clean(t, d.verify(t)) // stores of a version that kept no identity
	if err := d.client.HSet(t.Context(), d.space.State(), "log", "OTHERSTATE").Err(); err != nil {
		t.Fatal(err)
	}
	if err := d.client.HSet(t.Context(), d.space.Metrics("global"), "log", "OTHERMETRICS").Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := d.db.Exec(t.Context(), `UPDATE projection_checkpoints SET log = 'OTHERROWS'`); err != nil {
		t.Fatal(err)
	}
	report := d.verify(t)
	if len(report.Violations) != 4 {
		t.Errorf("%q", report.Violations)
	}
	for i, want := range [][]string{
		{"OTHERSTATE", "rebuild state"}, {"OTHERMETRICS", "rebuild metrics"}, {"OTHERROWS", "rebuild tasks --take-over"}, {"OTHERROWS", "rebuild events --take-over"},
	} {
		for _, text := range append(want, identity) {
			if i >= len(report.Violations) || !strings.Contains(report.Violations[i], text) {
				t.Errorf("%s is not named in %q", text, report.Violations)
			}
		}
	}
}

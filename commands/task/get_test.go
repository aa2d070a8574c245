package task_test

import (
	"strings"
	"testing"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/fleettest"
)

func TestGet(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		created := f.OK("task.create", `{"text":"x","metadata":{"a":[]}}`)
		before := f.Seq()
		if got := f.OK("task.get", `{"id":"t-1"}`); string(got) != strings.Replace(string(created), `,"created":true`, "", 1) {
			t.Errorf("created %s, got %s", created, got)
		}
		f.Refused(api.CodeNotFound, `{"id":"t-2"}`, "task.get", `{"id":"t-2"}`)
		f.Refused(api.CodeNotFound, `{"id":"no/\\ \"task"}`, "task.get", `{"id":"no/\\ \"task"}`)
		f.Emitted(before)
	})
}

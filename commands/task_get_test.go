package commands

import (
	"testing"

	"github.com/claudebench/claudebench/internal/api"
)

func TestGet(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, f *fleet) {
		created := f.ok("task.create", `{"text":"x","metadata":{"a":[]}}`)
		before := f.seq()
		if got := f.ok("task.get", `{"id":"t-1"}`); string(got) != string(created) {
			t.Errorf("created %s, got %s", created, got)
		}
		f.refused(api.CodeNotFound, `{"id":"t-2"}`, "task.get", `{"id":"t-2"}`)
		f.refused(api.CodeNotFound, `{"id":"no/\\ \"task"}`, "task.get", `{"id":"no/\\ \"task"}`)
		f.emitted(before)
	})
}

package commands_test

import (
	"fmt"

	"pgregory.net/rapid"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/fleettest"
)

// drawQueue draws a queue: the params that name it, and its role set.
func drawQueue(t *rapid.T) (params, queue string) {
	roles := rapid.SampledFrom([]string{"", "[]", `["x"]`, `["y","x","y"]`}).Draw(t, "queue")
	switch roles {
	case "":
		return "", "*"
	case "[]":
		return `"roles":[]`, ""
	case `["x"]`:
		return `"roles":["x"]`, roles
	}
	return `"roles":` + roles, `["x","y"]`
}

func (m *model) doPause(t *rapid.T) {
	params, queue := drawQueue(t)
	m.suspend(t, "queue.pause", params, !m.told.Paused[queue])
	if !m.told.Paused[queue] {
		t.Fatalf("%q is not paused", queue)
	}
}

func (m *model) doResume(t *rapid.T) {
	params, queue := drawQueue(t)
	m.suspend(t, "queue.resume", params, m.told.Paused[queue])
	if m.told.Paused[queue] {
		t.Fatalf("%q is paused", queue)
	}
}

// suspend calls queue.pause or queue.resume, which changes something or not.
func (m *model) suspend(t *rapid.T, method, params string, changes bool) {
	result, events := m.call(t, "", method, fmt.Sprintf("{%s}", params))
	got := fleettest.Decoded[api.PausesResult](t, result)
	if got.Changed != changes || changes != (len(events) == 1) || len(got.Pauses) != len(m.told.Paused) {
		t.Fatalf("%s %s answered %s, and emitted %v; paused are %v", method, params, result, events, m.told.Paused)
	}
}

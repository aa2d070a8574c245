package task_test

import (
	"strings"
	"testing"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/fleettest"
)

// The log grows with the size of an update, not with the size of the task.
func TestUpdatesOfLongMetadataKeepTheLogShort(t *testing.T) {
	f := fleettest.New(t, fleettest.RealRedis(t), commands.Options{})
	size := func() int64 {
		t.Helper()
		var sum int64
		for _, stream := range []string{f.Keys.Events(), f.Keys.Topic("task.updated")} {
			bytes, err := f.Client.MemoryUsage(t.Context(), stream, 0).Result() // SAMPLES 0: every entry
			if err != nil {
				t.Fatal(err)
			}
			sum += bytes
		}
		return sum
	}
	id := f.Create("x", `,"metadata":{"long":"`+strings.Repeat("x", 1_000_000)+`","note":""}`)
	f.OK("task.update", `{"id":%q,"updates":{"text":"y"}}`, id) // creates the topic
	before := size()
	for i := range 100 {
		f.OK("task.update", `{"id":%q,"updates":{"metadata":{"note":"%0100d"}}}`, id, i)
	}
	if grown := size() - before; grown > 200_000 {
		t.Errorf("100 updates of 110 bytes made the log and its topic %d bytes longer", grown)
	}
	task := fleettest.Decoded[fleettest.Task](t, f.OK("task.update", `{"id":%q,"updates":{"priority":1}}`, id))
	if !strings.HasSuffix(string(task.Metadata), `99"}`) || len(task.Metadata) < 1_000_000 {
		t.Errorf("the metadata is %d bytes long", len(task.Metadata))
	}
	f.Verify()
}

package schedule_test

import (
	"testing"
	"time"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/fleettest"
)

// Ticks that end in one script share the context of their events. If one of them fails halfway, the
// events of the next one are as they would be without it.
func TestATickThatFailsLeavesTheNextOneAlone(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		put(t, f, `{"id":"broken","cron":"@every 1h","task":{"text":"x","limitKey":"k"}}`)
		put(t, f, `{"id":"whole","cron":"@every 1h","task":{"text":"x"}}`)
		f.Put([]any{"SET", f.Keys.Limited("k"), "another type than the script expects"})
		moveBack(t, f, "broken", 2*time.Second)
		moveBack(t, f, "whole", time.Second)
		before := f.Seq()
		if fired, err := f.FireSchedules(t.Context()); fired != 1 || err == nil {
			t.Fatalf("fired %d, %v", fired, err)
		}
		list, tasks := firings(t, f, before) // which compares the causes
		if len(list) != 2 || list[1].ID != "whole" || tasks[*list[1].TaskID] != "whole" {
			t.Errorf("fired %+v, created %v", list, tasks)
		}
		*f = *fleettest.New(t, f.Client, commands.Options{}) // the state of the broken one agrees with nothing
	})
}

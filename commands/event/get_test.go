package event_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/fleettest"
)

// Each event of the log is found by its seq: also several in one millisecond. Others are
// not found.
func TestGetEvent(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{RateLimits: fleettest.Unlimited()}, func(t *testing.T, f *fleettest.Fleet) {
		f.Refused(api.CodeNotFound, `{"seq":1}`, "event.get", `{"seq":1}`)
		for i := range 20 {
			f.Create(fmt.Sprintf("task %d", i), "")
			if i%7 == 3 {
				f.OK("task.create_many", `{"tasks":[{"text":"a"},{"text":"b"},{"text":"c"}]}`)
			}
		}
		log := f.Keys.Events()
		entries, err := f.Client.XRange(t.Context(), log, "-", "+").Result()
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		for _, entry := range entries {
			want, _ := entry.Values["data"].(string)
			found++
			var e struct{ Seq int64 }
			if err := json.Unmarshal([]byte(want), &e); err != nil {
				t.Fatal(err)
			}
			if got := string(f.OK("event.get", `{"seq":%d}`, e.Seq)); got != want {
				t.Errorf("event %d is %s, want %s", e.Seq, got, want)
			}
		}
		if want := 20 + 3*3; found != want {
			t.Errorf("compared %d events, want %d", found, want)
		}
		for _, seq := range []int64{f.Seq() + 1, 9007199254740991} {
			f.Refused(api.CodeNotFound, fmt.Sprintf(`{"seq":%d}`, seq), "event.get", `{"seq":%d}`, seq)
		}
	})
}

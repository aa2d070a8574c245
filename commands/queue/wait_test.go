package queue_test

import (
	"slices"
	"testing"
	"time"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/fleettest"
	"github.com/claudebench/claudebench/internal/testenv"
)

// prompt is how soon after the end of a pause a claim that waits has its task.
const prompt = 100 * time.Millisecond

// started starts a claim that waits. What it claimed arrives in the channel.
func started(f *fleettest.Fleet, worker string) <-chan string {
	claims := make(chan string, 1)
	go func() {
		result, err := f.Do("task.claim", `{"workerId":"`+worker+`","waitMs":60000}`)
		if err != nil {
			claims <- err.Error()
			return
		}
		claims <- fleettest.Decoded[fleettest.Claim](f.T, result).TaskID
	}()
	return claims
}

// A claim that waits gets nothing from a paused queue, and gets the task when another coordinator
// resumes the queue: a task that waits, one that is assigned to its worker, or one of another
// instance.
func TestAResumeWakesClaimsThatWait(t *testing.T) {
	for name, prepare := range map[string]func(f *fleettest.Fleet) string{
		"a task that waits": func(f *fleettest.Fleet) string { return f.Create("x", forGPU) },
		"a task assigned to its worker": func(f *fleettest.Fleet) string {
			id := f.Create("x", forGPU)
			assign(f, id, "w")
			return id
		},
	} {
		for pause, params := range map[string]string{"of its roles": `{"roles":["gpu"]}`, "of all queues": `{}`} {
			t.Run(name+", a pause "+pause, func(t *testing.T) {
				fleettest.Everywhere(t, commands.Options{RateLimits: map[string]int{"queue.pause": 0, "queue.resume": 0}}, func(t *testing.T, f *fleettest.Fleet) {
					other := f.Beside()
					defer other.StopWaiting()
					f.Register("w", everyWorker, most(0))
					var took []time.Duration
					for range 5 {
						pauses(f, "queue.pause", params)
						claims := started(f, "w")
						testenv.Eventually(t, fleettest.Patience, func() (bool, string) { return f.Waiting() == 1, "it does not wait" })
						id := prepare(f)
						if got := other.Claim("w"); got != "" {
							t.Errorf("claimed %s in the pause", got)
						}
						select {
						case got := <-claims:
							t.Fatalf("the claim that waits got %s in the pause", got)
						default:
						}
						began := time.Now()
						pauses(other, "queue.resume", params)
						if got := <-claims; got != id {
							t.Errorf("claimed %q, want %s", got, id)
						}
						took = append(took, time.Since(began))
						f.OK("task.complete", `{"id":%q}`, id)
					}
					slices.Sort(took)
					if median := took[2]; median > prompt {
						t.Errorf("the claims took %v", took)
					}
				})
			})
		}
	}
}

// Another worker takes what was auto-assigned to one that does nothing, as soon as the pause ends.
func TestAResumeLetsOthersTakeTasks(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		id := f.Create("x", forGPU)
		f.Register("idle", everyWorker, "")
		f.Register("w", everyWorker, most(0))
		pauses(f, "queue.pause", `{"roles":["gpu"]}`)
		claims := started(f, "w")
		testenv.Eventually(t, fleettest.Patience, func() (bool, string) { return f.Waiting() == 1, "it does not wait" })
		if got := f.Claim("w"); got != "" {
			t.Errorf("claimed %s in the pause", got)
		}
		pauses(f, "queue.resume", `{"roles":["gpu"]}`)
		if got := <-claims; got != id {
			t.Errorf("claimed %q, want %s", got, id)
		}
	})
}

// All claims that wait get the tasks that were created in the pause, a task each.
func TestAResumeWakesAsManyAsThereAreTasks(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		other := f.Beside()
		defer other.StopWaiting()
		f.Register("w", everyWorker, most(0))
		pauses(f, "queue.pause", `{}`)
		var claims []<-chan string
		for _, at := range []*fleettest.Fleet{f, other, f, other, f} {
			claims = append(claims, started(at, "w"))
		}
		testenv.Eventually(t, fleettest.Patience, func() (bool, string) { return f.Waiting()+other.Waiting() == 5, "they do not wait" })
		want := []string{f.Create("x", ""), f.Create("x", ""), f.Create("x", forGPU), f.Create("x", forGPU), f.Create("x", "")}
		announced := f.Client.XLen(t.Context(), f.Keys.Wakeups()).Val()
		if announced != 0 {
			t.Errorf("%d tasks of paused queues were announced", announced)
		}
		// The end of one of two pauses changes nothing.
		pauses(f, "queue.pause", `{"roles":[]}`)
		pauses(f, "queue.resume", `{"roles":[]}`)
		if n := f.Client.XLen(t.Context(), f.Keys.Wakeups()).Val(); n != 0 {
			t.Errorf("%d wake-ups while all queues are paused", n)
		}
		pauses(f, "queue.resume", `{}`)
		got := []string{}
		for _, c := range claims {
			got = append(got, <-c)
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("claimed %v, want %v", got, want)
		}
	})
}

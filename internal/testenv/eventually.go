package testenv

import (
	"testing"
	"time"
)

// Eventually waits until check answers true, asking it every few milliseconds, and fails the test
// with check's last sentence when timeout passes before. check runs on the test's own goroutine and
// so may use t.
func Eventually(t testing.TB, timeout time.Duration, check func() (ok bool, state string)) {
	t.Helper()
	deadline := time.NewTimer(timeout)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, state := check()
		if ok {
			return
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("not within %v: %s", timeout, state)
		}
	}
}

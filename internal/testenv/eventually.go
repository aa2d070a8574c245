package testenv

import (
	"testing"
	"time"
)

// Eventually calls check every few milliseconds until it returns true. After timeout it fails the
// test with the last state that check returned. check runs on the test's own goroutine, so it may
// use t.
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

package monitor

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// watch runs the monitor for a while on a fake clock and returns its log.
func watch(t *testing.T, interval, run time.Duration, sweep func(context.Context) error) string {
	t.Helper()
	var log bytes.Buffer
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		Run(ctx, sweep, interval, slog.New(slog.NewTextHandler(&log, nil)))
	}()
	time.Sleep(run) //nolint:forbidigo // the clock is synctest's: nobody waits
	stop()
	<-done
	return log.String()
}

func TestItLooksOnceAnInterval(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began, looks := time.Now(), 0
		log := watch(t, time.Second, 10*time.Second+time.Millisecond, func(context.Context) error {
			looks++
			if at := time.Since(began); at != time.Duration(looks)*time.Second {
				t.Errorf("look %d comes after %v", looks, at)
			}
			return nil
		})
		if looks != 10 || log != "" {
			t.Errorf("%d looks in ten intervals, and the log\n%s", looks, log)
		}
	})
}

// An outage of Redis is logged once, and so is its end.
func TestAnOutageIsToldOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		looks := 0
		log := watch(t, time.Second, 3000*time.Second+time.Millisecond, func(context.Context) error {
			if looks++; looks > 10 && looks < 2000 {
				return errors.New("redis unavailable")
			}
			return nil
		})
		if looks != 3000 {
			t.Errorf("%d looks in 3000 intervals", looks)
		}
		if strings.Count(log, "\n") != 2 || !strings.Contains(log, "level=WARN") || !strings.Contains(log, "redis unavailable") || !strings.Contains(log, "again") {
			t.Errorf("the log of one outage:\n%s", log)
		}
	})
}

// A sweep that hangs is cancelled and the next one runs. Stopping the monitor does not wait for it.
func TestALookThatHangsIsGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		looks := 0
		hang := func(ctx context.Context) error {
			looks++
			<-ctx.Done()
			return ctx.Err()
		}
		if log := watch(t, time.Second, 35*time.Second, hang); looks < 3 || strings.Count(log, "\n") != 1 {
			t.Errorf("%d looks, and the log\n%s", looks, log)
		}
		began := time.Now()
		watch(t, time.Second, 1500*time.Millisecond, hang)
		if took := time.Since(began); took != 1500*time.Millisecond {
			t.Errorf("a stop took %v", took-1500*time.Millisecond)
		}
	})
}

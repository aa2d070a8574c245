package server

import (
	"testing"
	"time"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/testenv"
)

// A coordinator with a retention trims the log, and its metrics name the reader that holds back.
func TestRetention(t *testing.T) {
	t.Parallel()
	cfg := settings(t, func(c *config.Config) {
		if err := c.RateLimits.Set("off"); err != nil {
			t.Fatal(err)
		}
	})
	first := start(t, cfg)
	for range 20 {
		var items []params
		for range 100 {
			items = append(items, params{"text": "x"})
		}
		call[object](t, first, "task.create_many", params{"tasks": items})
	}
	caughtUp(t, first)
	redis, space := redisOf(t, cfg), keysOf(t, cfg)
	ids, err := redis.XRange(t.Context(), space.Events(), "-", "+").Result()
	if err != nil {
		t.Fatal(err)
	}
	last := ids[len(ids)-1].ID
	redis.HSet(t.Context(), space.Log(), "archive", "a", "archivedClosed", last)
	id, err := events.ParseID(ids[499].ID)
	if err != nil {
		t.Fatal(err)
	}
	checkpoints, err := events.NewRedisCheckpoints(redis, cfg.Namespace)
	if err == nil {
		err = checkpoints.Save(t.Context(), "billing", id)
	}
	if err != nil {
		t.Fatal(err)
	}
	trims := *cfg
	trims.RetainEvents = 1000
	second := start(t, &trims)
	testenv.Eventually(t, 20*time.Second, func() (bool, string) {
		s := second.scrape(t)
		held := s.values("claudebench_trim_holder_events")["checkpoint billing"]
		return held > 0 && s.values("claudebench_trim_held_back_events")[""] == held && s.values("claudebench_trim_removed_entries_total")[""] > 300, s.text
	})
	if s := second.scrape(t); s.values("claudebench_trim_failing")[""] != 0 {
		t.Error("trimming fails")
	}
	first.create(t, params{"text": "after it"})
}

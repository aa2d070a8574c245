package server

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/testenv"
)

// Only the topics that --topics names are written. The log has every event, and the views are made
// from it. Another value takes effect when the fleet starts with it.
func TestTopics(t *testing.T) {
	t.Parallel()
	topics := func(cfg *config.Config) []string {
		var types []string
		prefix := keysOf(t, cfg).Prefix() + "stream:"
		for found := testenv.Client(t).Scan(t.Context(), 0, prefix+"*", 1000).Iterator(); found.Next(t.Context()); {
			types = append(types, found.Val()[len(prefix):])
		}
		slices.Sort(types)
		return types
	}
	cfg := settings(t, func(c *config.Config) {
		c.DatabaseURL = testenv.Postgres(t)
		if err := c.Topics.Set("task.claimed"); err != nil {
			t.Fatal(err)
		}
	})
	some, err := Start(t.Context(), cfg, Options{Logger: quiet, BreakerOpen: briefly})
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t, some.Addr())
	call[object](t, c, "system.register", params{"id": "w", "roles": []string{"worker"}})
	c.create(t, params{"text": "x"})
	call[object](t, c, "task.claim", params{"workerId": "w"})
	if got := topics(cfg); !slices.Equal(got, []string{"events", "leader.elected", "task.claimed"}) &&
		!slices.Equal(got, []string{"events", "task.claimed"}) {
		t.Errorf("the streams are %q", got)
	}
	testenv.Eventually(t, 10*time.Second, func() (bool, string) { // Postgres is migrated meanwhile
		text, err := c.ask("task.list", nil)
		return err == nil && strings.Contains(string(text), `"totalCount":1`), fmt.Sprintf("%s, %v", text, err)
	})
	subscribe := func(topic string) error {
		s, err := events.NewGroupSubscriber(testenv.Client(t), events.GroupSubscriberConfig{Namespace: cfg.Namespace, Group: "g"})
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Subscribe(t.Context(), topic)
		return errors.Join(err, s.Close())
	}
	if err := subscribe("task.created"); !errors.Is(err, events.ErrNoTopic) {
		t.Errorf("subscribing to a topic that is not kept: %v", err)
	}
	if err := subscribe("task.claimed"); err != nil {
		t.Error(err)
	}

	all := *cfg
	all.Topics = config.Topics{}
	refusedToStart(t, &all, "--topics is all, but the running coordinators of this namespace have task.claimed")
	if err := some.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	c = start(t, &all)
	c.create(t, params{"text": "y"})
	if got := topics(cfg); !slices.Contains(got, "task.created") {
		t.Errorf("with all topics, the streams are %q", got)
	}
	if err := subscribe("task.created"); err != nil {
		t.Error(err)
	}
}

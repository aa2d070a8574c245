package system_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/fleettest"
	"github.com/claudebench/claudebench/internal/taskview"
)

func readSubscribers(f *fleettest.Fleet) api.SubscribersResult {
	f.T.Helper()
	return fleettest.Decoded[api.SubscribersResult](f.T, f.OK("system.subscribers", `{}`))
}

// rowOf returns the row of a subscriber in short.
func rowOf(t *testing.T, r api.SubscribersResult, kind, name string) string {
	t.Helper()
	i := slices.IndexFunc(r.Subscribers, func(s api.SubscriberInfo) bool { return s.Kind == kind && s.Name == name })
	if i < 0 {
		t.Fatalf("%s %s is not in %+v", kind, name, r.Subscribers)
	}
	n := func(p *int64) any {
		if p == nil {
			return "-"
		}
		return *p
	}
	s := r.Subscribers[i]
	return fmt.Sprintf("%s seq %v lag %v pending %v parked %v moved %t", s.Stream, n(s.Seq), n(s.Lag), n(s.Pending), n(s.Parked), s.UpdatedAt != "")
}

func TestSubscribers(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		if got := readSubscribers(f); len(got.Subscribers) != 2 || got.Total != 0 || got.Parked != 0 {
			t.Errorf("an empty system: %+v", got)
		}
		for range 5 {
			f.Create("x", "")
		}
		f.Register("w", `[]`, "")
		ids := f.Events()
		checkpoints, err := events.NewRedisCheckpoints(f.Client, f.Keys.Namespace())
		if err != nil {
			t.Fatal(err)
		}
		second, err := events.ParseID(ids[1].ID)
		if err != nil {
			t.Fatal(err)
		}
		fourth, err := events.ParseID(ids[3].ID)
		if err != nil {
			t.Fatal(err)
		}
		if err := checkpoints.Save(t.Context(), `billing "1"/ü`, second); err != nil {
			t.Fatal(err)
		}
		// What this test puts beside a fleet's own keys is removed again, because f.Verify compares them.
		ctx := t.Context()
		topic := f.Keys.Topic("task.created")
		group := func(stream, name, start string, read int64) {
			t.Helper()
			if err := f.Client.XGroupCreate(ctx, stream, name, start).Err(); err != nil {
				t.Fatal(err)
			}
			if read == 0 {
				return
			}
			got, err := f.Client.XReadGroup(ctx, &redis.XReadGroupArgs{Group: name, Consumer: "c", Streams: []string{stream, ">"}, Count: read}).Result()
			if err != nil || int64(len(got[0].Messages)) != read {
				t.Fatalf("read %v, %v", got, err)
			}
		}
		group(topic, "mail", "0", 2)
		group(topic, "done", "$", 0)
		group(f.Keys.Events(), "all", "0", 4)
		for key, field := range map[string]string{f.Keys.GroupStream("task.created", "mail"): "data", f.Keys.Parked(): "reason"} {
			if err := f.Client.XAdd(ctx, &redis.XAddArgs{Stream: key, Values: []any{field, "x"}}).Err(); err != nil {
				t.Fatal(err)
			}
		}
		f.Put([]any{"HSET", f.Keys.ParkedCounts(), "task.created:mail", 1})

		got := readSubscribers(f)
		if got.Parked != 1 || got.Total != 0 || len(got.Subscribers) != 6 {
			t.Errorf("parked %d, total %d, %d subscribers", got.Parked, got.Total, len(got.Subscribers))
		}
		last := f.Seq()
		mail := "task.created seq %d lag 4 pending 2 parked 1 moved false"
		if f.Embedded {
			mail = "task.created seq %d lag 6 pending 2 parked 1 moved false" // it counts all entries
		}
		for who, want := range map[[2]string]string{
			{"checkpoint", `billing "1"/ü`}: fmt.Sprintf("events seq %d lag %d pending - parked - moved true", second.Seq, last-second.Seq),
			{"group", "mail"}:               fmt.Sprintf(mail, second.Seq),
			{"group", "done"}:               "task.created seq 5 lag 0 pending 0 parked 0 moved false",
			{"group", "all"}:                fmt.Sprintf("events seq 4 lag %d pending 4 parked - moved false", last-4),
		} {
			if diff := cmp.Diff(want, rowOf(t, got, who[0], who[1])); diff != "" {
				t.Errorf("%v: %s", who, diff)
			}
		}
		holds(t, f, ids[5].ID, map[string]int64{`billing "1"/ü`: 3, "mail": 5, "done": 0, "all": 5, "state": 5, "metrics": 5})
		f.With(func(o *commands.Options) {
			o.Tasks = &fleettest.View{At: func() events.ID { return second }}
			o.Index = &fleettest.View{At: func() events.ID { return fourth }}
		})
		for name, at := range map[string]int64{"tasks": second.Seq, "events": fourth.Seq} {
			want := fmt.Sprintf("events seq %d lag %d pending - parked - moved false", at, last-at)
			if diff := cmp.Diff(want, rowOf(t, readSubscribers(f), "projection", name)); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
		}
		f.With(func(o *commands.Options) { o.Tasks, o.Index = &fleettest.View{}, &fleettest.View{} })
		for _, name := range []string{"tasks", "events"} {
			if got := rowOf(t, readSubscribers(f), "projection", name); got != "events seq - lag - pending - parked - moved false" {
				t.Errorf("%s, which does not reply: %s", name, got)
			}
		}
		f.With(func(o *commands.Options) { o.Index = taskview.NoIndex{} })
		for _, s := range readSubscribers(f).Subscribers {
			if s.Kind == "projection" && s.Name == "events" {
				t.Errorf("an index that is off is listed: %+v", s)
			}
		}
		if err := f.Client.Del(ctx, f.Keys.GroupStream("task.created", "mail")).Err(); err != nil {
			t.Fatal(err)
		}
	})
}

// holds checks what a log that keeps the events from an ID on keeps beyond that for each reader. A group
// needs what its members have not acknowledged; one that has read its topic needs nothing.
func holds(t *testing.T, f *fleettest.Fleet, trimTo string, want map[string]int64) {
	t.Helper()
	read := func() map[string]int64 {
		got := map[string]int64{}
		for _, s := range readSubscribers(f).Subscribers {
			if s.Holds != nil {
				got[s.Name] = *s.Holds
			}
		}
		return got
	}
	if got := read(); len(got) != 0 {
		t.Errorf("without a retention: %v", got)
	}
	f.Put([]any{"HSET", f.Keys.Log(), "trimTo", trimTo})
	if diff := cmp.Diff(want, read()); diff != "" {
		t.Errorf("held back (-want +got):\n%s", diff)
	}
	f.Put([]any{"HDEL", f.Keys.Log(), "trimTo"})
}

// However many there are, the list is bounded, and neither kind displaces the other.
func TestSubscribersAreBounded(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Create("x", "")
		topic := f.Keys.Topic("task.created")
		create := func(n int, commandOf func(name string) []any) {
			t.Helper()
			for i := range n {
				if err := f.Client.Do(t.Context(), commandOf(fmt.Sprint("s", i))...).Err(); err != nil {
					t.Fatal(err)
				}
			}
		}
		counts := func() (n [3]int, total int64) {
			t.Helper()
			r := readSubscribers(f)
			for _, s := range r.Subscribers {
				n[slices.Index([]string{"projection", "checkpoint", "group"}, s.Kind)]++
			}
			return n, r.Total
		}
		at := float64(time.Now().UnixMilli())
		create(250, func(name string) []any { return []any{"ZADD", f.Keys.Checkpoints(), at, name} })
		if n, total := counts(); n != [3]int{2, 198, 0} || total != 252 {
			t.Errorf("only checkpoints: %v of %d", n, total)
		}
		create(20, func(name string) []any { return []any{"XGROUP", "CREATE", topic, name, "0"} })
		if n, total := counts(); n != [3]int{2, 178, 20} || total != 272 {
			t.Errorf("a few groups: %v of %d", n, total)
		}
		create(250, func(name string) []any { return []any{"XGROUP", "CREATE", topic, "more" + name, "0"} })
		if n, total := counts(); n != [3]int{2, 99, 99} || total != 522 {
			t.Errorf("many of both: %v of %d", n, total)
		}
	})
}

func TestSubscribersWithoutRedis(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Put([]any{"SET", f.Keys.Checkpoints(), "not an index"})
		_, err := f.Do("system.subscribers", `{}`)
		var failed *api.Error
		if !errors.As(err, &failed) || failed.Code != api.CodeInternal {
			t.Errorf("answered %v", err)
		}
		if err := f.Client.Del(t.Context(), f.Keys.Checkpoints()).Err(); err != nil {
			t.Fatal(err)
		}
	})
}

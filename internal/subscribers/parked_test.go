package subscribers_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/fleettest"
	"github.com/claudebench/claudebench/internal/keys"
	"github.com/claudebench/claudebench/internal/logtest"
	"github.com/claudebench/claudebench/internal/subscribers"
	"github.com/claudebench/claudebench/internal/testenv"
	"github.com/claudebench/claudebench/lua"
)

const (
	topic = "task.created"
	wait  = 20 * time.Second
)

type fixture struct {
	*logtest.Log
	t       *testing.T
	keys    keys.Space
	scripts lua.Scripts
}

func newFixture(t *testing.T) *fixture { return fixtureOn(t, fleettest.RealRedis(t)) }

func fixtureOn(t *testing.T, client redis.UniversalClient) *fixture {
	t.Helper()
	log := logtest.On(t, client)
	space, err := keys.New(log.Namespace)
	if err != nil {
		t.Fatal(err)
	}
	return &fixture{Log: log, t: t, keys: space, scripts: lua.NewRunner(log.Client).On(space.Log())}
}

// created appends events with a text of so many bytes to the log and to the topic.
func (f *fixture) created(n, size int) []events.ID {
	f.t.Helper()
	ids := f.Add(topic, `{"text":"`+strings.Repeat("x", size)+`"}`, n)
	all := f.Entries()
	for _, id := range ids {
		f.do("XADD", f.keys.Topic(topic), id.String(), "data", all[id.String()])
	}
	return ids
}

func (f *fixture) do(command ...any) {
	f.t.Helper()
	if err := f.Client.Do(f.t.Context(), command...).Err(); err != nil {
		f.t.Fatalf("%v: %v", command[0], err)
	}
}

// follow subscribes a group whose handler returns an error for the events that fails selects, and
// sends the IDs of the others.
func (f *fixture) follow(group string, fails func(id string) bool) <-chan string {
	f.t.Helper()
	sub, err := events.NewGroupSubscriber(f.Client, events.GroupSubscriberConfig{
		Namespace: f.Namespace, Group: group, Block: 20 * time.Millisecond, MaxDeliveries: 2, NackDelay: time.Millisecond,
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		f.t.Fatal(err)
	}
	in, err := sub.Subscribe(context.Background(), topic)
	if err != nil {
		f.t.Fatal(err)
	}
	out, done := make(chan string, 1000), make(chan struct{})
	go func() {
		defer close(done)
		for m := range in {
			f.answer(m, fails, out)
		}
	}()
	f.t.Cleanup(func() {
		if err := sub.Close(); err != nil {
			f.t.Error(err)
		}
		<-done
	})
	return out
}

func (f *fixture) answer(m *message.Message, fails func(id string) bool, out chan<- string) {
	if fails(m.UUID) {
		m.Nack()
		return
	}
	out <- m.UUID
	m.Ack()
}

// parked waits for n parked events of a group.
func (f *fixture) parked(group string, n int) []subscribers.Parked {
	f.t.Helper()
	var list []subscribers.Parked
	testenv.Eventually(f.t, wait, func() (bool, string) {
		var err error
		if list, err = subscribers.ListParked(f.t.Context(), f.Client, f.keys, group); err != nil {
			f.t.Fatal(err)
		}
		return len(list) == n, fmt.Sprintf("%+v", list)
	})
	return list
}

func (f *fixture) want(from <-chan string, ids ...events.ID) {
	f.t.Helper()
	for _, id := range ids {
		select {
		case got := <-from:
			if got != id.String() {
				f.t.Errorf("got %s, want %s", got, id)
			}
		case <-time.After(wait):
			f.t.Fatalf("%s did not come", id)
		}
	}
}

func ids(list []subscribers.Parked) (ids []string) {
	for _, p := range list {
		ids = append(ids, p.ID)
	}
	return ids
}

// A retry delivers a parked event to its group alone, also if the topic and the log no longer have it.
func TestRetryAndDrop(t *testing.T) {
	t.Parallel()
	for name, client := range map[string]func(testing.TB) *redis.Client{"redis": fleettest.RealRedis, "embedded": fleettest.EmbeddedRedis} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			retryAndDrop(t, fixtureOn(t, client(t)))
		})
	}
}

func retryAndDrop(t *testing.T, f *fixture) {
	t.Helper()
	broken := make(chan struct{})
	fails := func(string) bool {
		select {
		case <-broken:
			return false
		default:
			return true
		}
	}
	bills, mail := f.follow("bills", fails), f.follow("mail", func(string) bool { return false })
	log := f.created(3, 10)
	f.want(mail, log...)
	parked := f.parked("bills", 3)
	if len(f.parked("mail", 0)) != 0 || len(f.parked("", 3)) != 3 {
		t.Error("a group has parked what it has handled")
	}
	for i, p := range parked {
		if p.Event != log[i].String() || p.Reason != "nacked" || p.Type != topic || p.Group != "bills" || p.Consumer == "" || p.Deliveries != 2 ||
			p.Data != f.Entries()[p.Event] || !strings.HasSuffix(p.At, "Z") {
			t.Errorf("parked %+v", p)
		}
	}
	close(broken)
	f.do("XTRIM", f.keys.Topic(topic), "MAXLEN", 0)
	last := f.created(1, 10)
	f.want(mail, last...)
	f.want(bills, last...)
	f.Trim(last[0])
	outcome, err := subscribers.RetryParked(t.Context(), f.scripts, []string{parked[1].ID, parked[0].ID, "1-1"})
	if err != nil || outcome != (subscribers.Outcome{Done: 2, NotParked: 1}) {
		t.Errorf("retried %+v, %v", outcome, err)
	}
	f.want(bills, log[1], log[0])
	outcome, err = subscribers.DropParked(t.Context(), f.scripts, []string{parked[2].ID, parked[1].ID})
	if err != nil || outcome != (subscribers.Outcome{Done: 1, NotParked: 1}) {
		t.Errorf("dropped %+v, %v", outcome, err)
	}
	f.parked("", 0)
	after := f.created(1, 10)
	f.want(bills, after...)
	f.want(mail, after...)
	if n := f.Client.HLen(t.Context(), f.keys.ParkedCounts()).Val(); n != 0 {
		t.Errorf("%d counts are left", n)
	}
	testenv.Eventually(t, wait, func() (bool, string) {
		n, err := f.Client.Exists(t.Context(), f.keys.GroupStream(topic, "bills")).Result()
		return err == nil && n == 0, "the group's own stream is still there"
	})
}

// A retried event that fails again is parked again.
func TestRetriedEventsAreParkedAgain(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.follow("g", func(string) bool { return true })
	event := f.created(1, 10)[0].String()
	first := f.parked("g", 1)
	if _, err := subscribers.RetryParked(t.Context(), f.scripts, ids(first)); err != nil {
		t.Fatal(err)
	}
	var again []subscribers.Parked
	testenv.Eventually(t, wait, func() (bool, string) {
		again = f.parked("g", 1)
		return again[0].ID != first[0].ID, fmt.Sprintf("%+v", again)
	})
	if p := again[0]; p.Event != event || p.Deliveries != 2 || p.Data != f.Entries()[event] {
		t.Errorf("parked %+v", p)
	}
}

// What cannot be retried stays parked: events of a group that does not exist, and long events that
// the log no longer has.
func TestRetryThatCannotBe(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.follow("g", func(string) bool { return true })
	log := f.created(2, 20_000)
	parked := f.parked("g", 2)
	for _, p := range parked {
		if p.Data != "" {
			t.Errorf("a long event was copied: %d bytes", len(p.Data))
		}
	}
	f.Trim(log[1])
	f.do("XADD", f.keys.Parked(), "*", "type", topic, "group", "gone", "event", log[1].String(), "data", "x")
	outcome, err := subscribers.RetryParked(t.Context(), f.scripts, ids(f.parked("", 3)))
	if err != nil || outcome.Done != 1 || outcome.WithoutGroup != 1 || outcome.Lost != 1 {
		t.Errorf("retried %+v, %v", outcome, err)
	}
	testenv.Eventually(t, wait, func() (bool, string) {
		list := f.parked("", 3)
		return list[2].Event == log[1].String() && list[2].Group == "g", fmt.Sprintf("%+v", list)
	})
}

// Nothing is changed while a flush deletes everything.
func TestParkedDuringAFlush(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.do("XADD", f.keys.Parked(), "1-1", "type", topic, "group", "g", "data", "x")
	f.do("HSET", f.keys.Log(), "flushPhase", "deleting")
	for _, change := range []func(context.Context, lua.Scripts, []string) (subscribers.Outcome, error){subscribers.RetryParked, subscribers.DropParked} {
		if _, err := change(t.Context(), f.scripts, []string{"1-1"}); err == nil || !strings.Contains(err.Error(), "FLUSH_IN_PROGRESS") {
			t.Errorf("answered %v", err)
		}
	}
	f.parked("", 1)
}

func TestListParkedInPages(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	if _, err := f.Client.Pipelined(t.Context(), func(p redis.Pipeliner) error {
		for n := range 1203 {
			p.XAdd(t.Context(), &redis.XAddArgs{Stream: f.keys.Parked(), ID: fmt.Sprintf("1-%d", n+1), Values: []any{"type", topic, "group", fmt.Sprint("g", n%3)}})
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	f.parked("", 1203)
	if list := f.parked("g1", 401); list[400].ID != "1-1202" {
		t.Errorf("the last one is %+v", list[400])
	}
	if outcome, err := subscribers.DropParked(t.Context(), f.scripts, ids(f.parked("g1", 401))); err != nil || outcome.Done != 401 {
		t.Errorf("dropped %+v, %v", outcome, err)
	}
	f.parked("", 802)
}

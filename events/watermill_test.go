package events

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-redisstream/pkg/redisstream"
	"github.com/ThreeDotsLabs/watermill/components/cqrs"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/internal/testenv"
)

// stock returns the subscriber of watermill-redisstream on a client of its own, because Close closes
// the client.
func stock(t *testing.T, log *testLog, topic, group string) *service {
	t.Helper()
	options := log.client.(*redis.Client).Options()
	sub, err := redisstream.NewSubscriber(redisstream.SubscriberConfig{
		Client: redis.NewClient(options), Unmarshaller: Unmarshaller{}, ConsumerGroup: group, FanOutOldestId: "0",
		BlockTime: 20 * time.Millisecond, NackResendSleep: time.Millisecond, DisableIndefiniteInitialBlock: true,
	}, watermill.NopLogger{})
	if err != nil {
		t.Fatal(err)
	}
	return serve(t, sub, topic)
}

// The stock subscriber reads topics and the log, in a group and without one, and goes on behind
// entries that are not events.
func TestStockSubscriber(t *testing.T) {
	t.Parallel()
	for _, group := range []string{"", "g"} {
		t.Run("group "+group, func(t *testing.T) {
			t.Parallel()
			log := newTestLog(t)
			topic := log.space.Topic("task.created")
			ids := log.add(TypeTaskCreated, 2)
			for _, values := range [][]any{{"hello", "world"}, {"data", "{"}} {
				if err := log.client.XAdd(testContext(t), &redis.XAddArgs{Stream: topic, Values: values}).Err(); err != nil {
					t.Fatal(err)
				}
			}
			log.last.MS = time.Now().UnixMilli() + 1000
			s := stock(t, log, topic, group)
			m := s.next()
			if m.UUID != ids[0].String() || m.Metadata.Get(MetadataType) != "task.created" || m.Metadata.Get(MetadataError) != "" {
				t.Errorf("the message is %s, %v", m.UUID, m.Metadata)
			}
			m.Nack()
			s.take(ids...)
			for _, want := range []string{"no field", "malformed"} {
				m := s.next()
				if !strings.Contains(m.Metadata.Get(MetadataError), want) || m.Metadata.Get(MetadataType) != "" {
					t.Errorf("an entry that is not an event has %v, want %q", m.Metadata, want)
				}
				if err := (Marshaler{}).Unmarshal(m, new(TaskCreated)); err == nil || (Marshaler{}).NameFromMessage(m) != "" {
					t.Errorf("it is unmarshaled as an event: %v", err)
				}
				m.Ack()
			}
			s.take(log.add(TypeTaskCreated, 2)...)
			stock(t, log, log.space.Events(), group).take(append(ids, log.last.minus(1), log.last)...)
		})
	}
}

func (id ID) minus(n int64) ID { return ID{MS: id.MS, Seq: id.Seq - n} }

func TestMarshalerNames(t *testing.T) {
	t.Parallel()
	var m Marshaler
	for _, typ := range Types() {
		want := string(typ)
		if reflect.TypeOf(NewPayload(typ)) == reflect.TypeFor[*Hook]() {
			want = "hook.*"
		}
		msg := message.NewMessage("x", nil)
		msg.Metadata.Set(MetadataType, string(typ))
		if got := []string{m.Name(NewPayload(typ)), m.NameFromMessage(msg)}; !slices.Equal(got, []string{want, want}) {
			t.Errorf("%s is named %q", typ, got)
		}
	}
	if got := m.Name(TaskCreated{}); got != "task.created" {
		t.Errorf("a payload, not a pointer to it, is named %s", got)
	}
	for _, v := range []any{nil, 7, new(Envelope)} {
		if _, ok := Version(Type(m.Name(v))); ok {
			t.Errorf("%T is named %s", v, m.Name(v))
		}
		if _, err := m.Marshal(v); err == nil {
			t.Errorf("%T was marshaled", v)
		}
	}
}

var (
	_ cqrs.CommandEventMarshaler = Marshaler{}
	_ redisstream.Unmarshaller   = Unmarshaller{}
)

// handled collects what handlers got.
type handled struct {
	mu   sync.Mutex
	list map[string][]string
}

func (h *handled) add(handler string, what any) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.list[handler] = append(h.list[handler], fmt.Sprint(what))
	return len(h.list[handler])
}

func (h *handled) count() (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, l := range h.list {
		n += len(l)
	}
	return n
}

// Watermill's event processor runs on each subscriber: several handlers, one of which fails at first,
// and one of a struct that several types share.
func TestEventProcessor(t *testing.T) {
	t.Parallel()
	for name, subscriber := range map[string]func(*testLog, string) (message.Subscriber, error){
		"log": func(log *testLog, handler string) (message.Subscriber, error) {
			return NewSubscriber(log.client, SubscriberConfig{
				ReaderConfig: ReaderConfig{Namespace: log.ns, Block: 20 * time.Millisecond, Logger: quiet}, Name: handler, NackDelay: time.Millisecond,
			})
		},
		"group": func(log *testLog, handler string) (message.Subscriber, error) {
			return NewGroupSubscriber(log.client, GroupSubscriberConfig{
				Namespace: log.ns, Group: handler, Block: 20 * time.Millisecond, Logger: quiet, NackDelay: time.Millisecond,
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := newTestLog(t)
			payload := func(n int) string { return fmt.Sprintf(`{"id":"t-%d","workerId":"w","n":%d}`, n, n) }
			for n := range 3 {
				for _, typ := range []Type{TypeTaskCreated, TypeTaskCompleted, TypeHookStopped, TypeHookDecided} {
					if _, err := log.append(typ, []byte(payload(n))); err != nil {
						t.Fatal(err)
					}
				}
			}
			router, err := message.NewRouter(message.RouterConfig{}, watermill.NopLogger{})
			if err != nil {
				t.Fatal(err)
			}
			processor, err := cqrs.NewEventProcessorWithConfig(router, cqrs.EventProcessorConfig{
				Marshaler: Marshaler{}, AckOnUnknownEvent: true,
				GenerateSubscribeTopic: func(p cqrs.EventProcessorGenerateSubscribeTopicParams) (string, error) { return p.EventName, nil },
				SubscriberConstructor: func(p cqrs.EventProcessorSubscriberConstructorParams) (message.Subscriber, error) {
					return subscriber(log, p.HandlerName)
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			got := &handled{list: map[string][]string{}}
			handlers := []cqrs.EventHandler{
				cqrs.NewEventHandler("mail", func(_ context.Context, e *TaskCreated) error {
					got.add("mail", e.ID)
					return nil
				}),
				cqrs.NewEventHandler("bills", func(_ context.Context, e *TaskCreated) error {
					if got.add("bills", e.ID) < 3 {
						return errors.New("not now")
					}
					return nil
				}),
				cqrs.NewEventHandler("stats", func(ctx context.Context, e *TaskCompleted) error {
					got.add("stats", e.WorkerID+" "+cqrs.OriginalMessageFromCtx(ctx).Metadata.Get(MetadataSeq))
					return nil
				}),
			}
			want := map[string][]string{
				"mail": {"t-0", "t-1", "t-2"}, "bills": {"t-0", "t-0", "t-0", "t-1", "t-2"}, "stats": {"w 2", "w 6", "w 10"},
			}
			if name == "log" {
				handlers = append(handlers, cqrs.NewEventHandler("hooks", func(ctx context.Context, _ *Hook) error {
					got.add("hooks", cqrs.OriginalMessageFromCtx(ctx).Metadata.Get(MetadataType))
					return nil
				}))
				want["hooks"] = []string{"hook.stopped", "hook.stopped", "hook.stopped"}
			}
			if err := processor.AddHandlers(handlers...); err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() { done <- router.Run(context.Background()) }()
			all := 0
			for _, l := range want {
				all += len(l)
			}
			testenv.Eventually(t, wait, func() (bool, string) { return got.count() >= all, fmt.Sprint(got.count()) })
			if err := router.Close(); err != nil {
				t.Error(err)
			}
			if err := <-done; err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(want, got.list); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A payload of an older version is converted, and one of another type or a newer version is an error.
func TestMarshalerUnmarshals(t *testing.T) {
	t.Parallel()
	msg := func(typ Type, v int, payload string) *message.Message {
		id := ID{MS: 5, Seq: 7}
		data, err := Envelope{ID: id, Seq: 7, Timestamp: 5, Type: typ, V: v, Payload: []byte(payload)}.Encode()
		if err != nil {
			t.Fatal(err)
		}
		return message.NewMessage(id.String(), data)
	}
	var m Marshaler
	updated := new(TaskUpdated)
	if err := m.Unmarshal(msg(TypeTaskUpdated, 1, `{"id":"t-1"}`), updated); err != nil || updated.ID != "t-1" {
		t.Errorf("version 1: %+v, %v", updated, err)
	}
	for what, err := range map[string]error{
		"is the payload of": m.Unmarshal(msg(TypeTaskUpdated, 1, `{}`), new(TaskCreated)),
		"unknown event v":   m.Unmarshal(msg(TypeTaskUpdated, 9, `{}`), new(TaskUpdated)),
		"unknown event t":   m.Unmarshal(msg("task.vanished", 1, `{}`), new(TaskUpdated)),
		"payload":           m.Unmarshal(msg(TypeTaskUpdated, 2, `{"id":7}`), new(TaskUpdated)),
		"malformed":         m.Unmarshal(message.NewMessage("x", []byte("{")), new(TaskUpdated)),
	} {
		if err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%v, want %q", err, what)
		}
	}
}

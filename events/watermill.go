package events

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
)

// MetadataError is the metadata key that says why a message of an [Unmarshaller] is not an event. It
// is absent from the message of an event.
const MetadataError = "error"

// Unmarshaller reads events for the subscriber of watermill-redisstream, on the log or on a topic:
//
//	redisstream.NewSubscriber(redisstream.SubscriberConfig{
//		Client:        client,
//		Unmarshaller:  events.Unmarshaller{},
//		ConsumerGroup: "mail",
//	}, logger)
//
// The messages are those of a [Subscriber]. Unmarshal never fails, because an error ends that
// subscriber's subscription. An entry that is not an event becomes a message with a random UUID, the
// entry's field data as its payload, and [MetadataError].
//
// A [GroupSubscriber] does more: it survives a flush, loses nothing when the topic is trimmed, and
// parks events that fail again and again.
type Unmarshaller struct{}

// Unmarshal returns the message of an entry. The error is always nil.
func (Unmarshaller) Unmarshal(values map[string]any) (*message.Message, error) {
	data, ok := values["data"].(string)
	reason := `the entry has no field "data"`
	if ok {
		raw := []byte(data)
		envelope, err := Decode(raw)
		if err == nil {
			return newMessage(Entry{ID: envelope.ID, Envelope: envelope, Raw: raw}), nil
		}
		reason = err.Error()
	}
	m := message.NewMessage(watermill.NewUUID(), message.Payload(data))
	m.Metadata.Set(MetadataError, reason)
	return m, nil
}

// Marshaler lets the event processors of Watermill's component cqrs handle events. A handler takes a
// pointer to a payload's struct:
//
//	processor, err := cqrs.NewEventProcessorWithConfig(router, cqrs.EventProcessorConfig{
//		Marshaler:         events.Marshaler{},
//		AckOnUnknownEvent: true,
//		GenerateSubscribeTopic: func(p cqrs.EventProcessorGenerateSubscribeTopicParams) (string, error) {
//			return p.EventName, nil
//		},
//		SubscriberConstructor: func(p cqrs.EventProcessorSubscriberConstructorParams) (message.Subscriber, error) {
//			return events.NewSubscriber(client, events.SubscriberConfig{Name: p.HandlerName})
//		},
//	})
//	...
//	err = processor.AddHandlers(cqrs.NewEventHandler("mail",
//		func(ctx context.Context, e *events.TaskCompleted) error { ... }))
//
// The name of an event is its type. All types that share a struct have one name, which is a pattern:
// hook.* for [Hook]. The message with the envelope is in the handler's context
// (cqrs.OriginalMessageFromCtx). Payloads of older versions are converted.
//
// It implements cqrs.CommandEventMarshaler. This package does not import cqrs, whose dependencies
// other services do not need.
type Marshaler struct{}

// payloadNames and typeNames are the names of events by the struct of their payload, and by type.
var payloadNames, typeNames = eventNames()

func eventNames() (map[reflect.Type]string, map[Type]string) {
	byStruct, byType := map[reflect.Type]string{}, map[Type]string{}
	shared := map[reflect.Type][]Type{}
	for _, d := range definitions {
		s := reflect.TypeOf(d.new())
		shared[s] = append(shared[s], d.typ)
	}
	for s, types := range shared {
		name := string(types[0])
		if len(types) > 1 {
			noun, _, _ := strings.Cut(name, ".")
			name = noun + ".*"
		}
		byStruct[s] = name
		for _, t := range types {
			byType[t] = name
		}
	}
	return byStruct, byType
}

// Marshal fails: only coordinators write events.
func (Marshaler) Marshal(v any) (*message.Message, error) {
	return nil, fmt.Errorf("marshal %T: only coordinators write events; call a method of the coordinator instead", v)
}

// Unmarshal decodes the payload of a message's event into v, a pointer to the struct of its type. It
// returns the errors of [Decode] and [Envelope.Decoded].
func (m Marshaler) Unmarshal(msg *message.Message, v any) error {
	if reason := msg.Metadata.Get(MetadataError); reason != "" {
		return fmt.Errorf("message %s is not an event: %w", msg.UUID, errors.New(reason))
	}
	e, err := Decode(msg.Payload)
	if err != nil {
		return fmt.Errorf("message %s: %w", msg.UUID, err)
	}
	_, payload, err := e.current()
	if err != nil {
		return err
	}
	if want, got := m.Name(v), typeNames[e.Type]; want != got {
		return fmt.Errorf("%s: %T is the payload of %s, and the event is %s", e.ID, v, want, e.Type)
	}
	return decodePayload(e, payload, v)
}

// Name returns the name of the event whose payload v is, or points to. For anything else it returns
// Go's name of v's type, which is the name of no event.
func (Marshaler) Name(v any) string {
	t := reflect.TypeOf(v)
	if t != nil && t.Kind() != reflect.Pointer {
		t = reflect.PointerTo(t)
	}
	if name, ok := payloadNames[t]; ok {
		return name
	}
	return fmt.Sprintf("%T", v)
}

// NameFromMessage returns the name of a message's event. It returns the type itself if this build
// does not know it, and "" if the message is not an event.
func (Marshaler) NameFromMessage(msg *message.Message) string {
	t := msg.Metadata.Get(MetadataType)
	if name, ok := typeNames[Type(t)]; ok {
		return name
	}
	return t
}

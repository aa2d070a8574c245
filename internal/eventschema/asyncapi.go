package eventschema

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/google/jsonschema-go/jsonschema"
	"go.yaml.in/yaml/v3"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/jsontext"
)

// object is a JSON object with its members in the order in which they are written.
type object []member

type member struct {
	name  string
	value any
}

// MarshalJSON implements [json.Marshaler].
func (o object) MarshalJSON() ([]byte, error) {
	text := []byte{'{'}
	for i, m := range o {
		if i > 0 {
			text = append(text, ',')
		}
		value, err := jsontext.Marshal(m.value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.name, err)
		}
		text = append(append(append(text, jsontext.Quote(m.name)...), ':'), value...)
	}
	return append(text, '}'), nil
}

func reference(path string) object { return object{{"$ref", "#/" + path}} }

// AsyncAPI returns the AsyncAPI document of the streams of events, as JSON. Its version is the format
// of the log.
func AsyncAPI() (json.RawMessage, error) {
	var messages, ofChannel, schemas object
	schemas = append(schemas, member{"Envelope", envelope()})
	have := map[string]bool{}
	for _, t := range events.Types() {
		version, _ := events.Version(t)
		name := Name(t)
		if !have[name] {
			have[name] = true
			schema, err := Payload(t)
			if err != nil {
				return nil, err
			}
			schemas = append(schemas, member{name, schema})
		}
		messages = append(messages, member{string(t), object{
			{"name", string(t)},
			{"title", string(t)},
			{"summary", Summary(t)},
			{"contentType", "application/json"},
			{"payload", object{{"allOf", []any{
				reference("components/schemas/Envelope"),
				object{{"properties", object{
					{"type", object{{"const", string(t)}}}, {"v", object{{"const", version}}}, {"payload", reference("components/schemas/" + name)},
				}}},
			}}}},
		}})
		ofChannel = append(ofChannel, member{string(t), reference("components/messages/" + string(t))})
	}
	messages = append(messages,
		member{"gap", object{
			{"name", "gap"},
			{"title", "gap"},
			{"summary", "Events that the stream should have sent are not in the log. The stream goes on behind them."},
			{"contentType", "application/json"},
			{"payload", gap()},
		}},
		member{"end", object{
			{"name", "end"}, {"title", "end"}, {"summary", "The coordinator ends the stream."}, {"contentType", "application/json"}, {"payload", end()},
		}})
	messages = append(messages, member{"notification", object{
		{"name", "notification"},
		{"title", "notification"},
		{"summary", "An event of a subscription, or what happened to the subscription."},
		{"contentType", "application/json"},
		{"payload", notification()},
	}})
	stream := append(append(object{}, ofChannel...), member{"gap", reference("components/messages/gap")}, member{"end", reference("components/messages/end")})
	document := object{
		{"asyncapi", "3.0.0"},
		{"info", object{
			{"title", "ClaudeBench events"},
			{"version", fmt.Sprintf("%d.0.0", events.Format)},
			{"description", "The event log of a fleet: every change is one event. Older versions of a payload are in docs/events.md."},
		}},
		{"defaultContentType", "application/json"},
		{"servers", object{
			{"coordinator", object{{"host", "127.0.0.1:3000"}, {"protocol", "http"}, {"description", "A coordinator. With an auth file, a token of any role is needed: Authorization: Bearer <token>."}}},
			{"redis", object{{"host", "127.0.0.1:6379"}, {"protocol", "redis"}, {"description", "The Redis of the fleet."}}},
		}},
		{"channels", object{
			{"events", object{
				{"address", "/events"},
				{"title", "Server-Sent Events"},
				{"description", "The event of the stream is the type, its id is the entry's ID, and its data is the envelope. Query: types, task, instance, after, from, to, format; header: Last-Event-ID."},
				{"servers", []any{reference("servers/coordinator")}},
				{"messages", stream},
			}},
			{"websocket", object{
				{"address", "/ws"},
				{"title", "WebSocket"},
				{"description", "JSON-RPC 2.0. After a call of events.subscribe, each event is a notification with the method event; gap, position and end are further notifications."},
				{"servers", []any{reference("servers/coordinator")}},
				{"messages", object{{"notification", reference("components/messages/notification")}}},
			}},
			{"log", object{
				{"address", "cb:stream:events"},
				{"title", "The Redis stream"},
				{"description", "With a namespace ns it is cb:{ns}:stream:events. Each entry has one field, data: the envelope."},
				{"servers", []any{reference("servers/redis")}},
				{"messages", ofChannel},
			}},
		}},
		{"operations", object{
			{"streamEvents", object{{"action", "send"}, {"channel", reference("channels/events")}, {"summary", "Send the events that a subscriber asked for."}}},
			{"notifySubscribers", object{{"action", "send"}, {"channel", reference("channels/websocket")}, {"summary", "Send the events of the subscriptions of a connection."}}},
			{"appendEvents", object{{"action", "send"}, {"channel", reference("channels/log")}, {"summary", "Append an event, in the step that makes the change."}}},
		}},
		{"components", object{{"messages", messages}, {"schemas", schemas}}},
	}
	return json.Marshal(document)
}

func text(description string, nullable bool) *jsonschema.Schema {
	s := &jsonschema.Schema{Type: "string", Description: description}
	if nullable {
		s.Type, s.Types = "", []string{"string", "null"}
	}
	return s
}

func integer(description string) *jsonschema.Schema {
	return &jsonschema.Schema{Type: "integer", Description: description}
}

// ordered returns the schema of an object with these members, which are required unless they are
// optional.
func ordered(properties map[string]*jsonschema.Schema, order []string, optional ...string) *jsonschema.Schema {
	s := &jsonschema.Schema{Type: "object", Properties: properties, PropertyOrder: order}
	for _, name := range order {
		if !slices.Contains(optional, name) {
			s.Required = append(s.Required, name)
		}
	}
	return s
}

func envelope() *jsonschema.Schema {
	return ordered(map[string]*jsonschema.Schema{
		"id":        {Type: "string", Pattern: `^\d+-\d+$`, Description: "the entry's ID: the time in ms since 1970, and the seq"},
		"seq":       integer("rises by one with each event"),
		"type":      text("the type of the event", false),
		"v":         integer("the version of the payload"),
		"timestamp": integer("ms since 1970, by Redis's clock"),
		"actor":     text("who acted", false),
		"cause":     text("the request or the event that led to this one", true),
		"trace":     text("W3C traceparent", true),
		"payload":   {Type: "object"},
	}, []string{"id", "seq", "type", "v", "timestamp", "actor", "cause", "trace", "payload"})
}

func gap() *jsonschema.Schema {
	return ordered(map[string]*jsonschema.Schema{
		"from":   integer("seq of the first event that is gone"),
		"to":     integer("seq of the last event that is gone"),
		"reason": {Type: "string", Enum: []any{"flushed", "trimmed", "rolled_back", "missing", "malformed"}},
		"last":   text("rolled_back: the ID of the log's last event", false),
	}, []string{"from", "to", "reason", "last"}, "last")
}

func end() *jsonschema.Schema {
	return ordered(map[string]*jsonschema.Schema{
		"reason": {Type: "string", Enum: []any{"stopping", "slow", "token"}},
		"after":  text("the ID after which to go on", false),
	}, []string{"reason", "after"})
}

func notification() *jsonschema.Schema {
	params := ordered(map[string]*jsonschema.Schema{
		"subscription": text("which subscription", false),
		"event":        {Ref: "#/components/schemas/Envelope", Description: "event: the envelope"},
		"position":     text("position: the ID to resume from", false),
		"from":         integer("gap: seq of the first event that is gone"),
		"to":           integer("gap: seq of the last event that is gone"),
		"reason":       text("gap and end: why", false),
		"last":         text("gap, rolled_back: the ID of the log's last event", false),
		"after":        text("end: the ID after which to go on", false),
	}, []string{"subscription", "event", "position", "from", "to", "reason", "last", "after"}, "event", "position", "from", "to", "reason", "last", "after")
	return ordered(map[string]*jsonschema.Schema{
		"jsonrpc": {Type: "string", Enum: []any{"2.0"}},
		"method":  {Type: "string", Enum: []any{"event", "gap", "position", "end"}},
		"params":  params,
	}, []string{"jsonrpc", "method", "params"})
}

// YAML returns a JSON document as YAML, in the same order.
func YAML(document json.RawMessage) ([]byte, error) {
	var node yaml.Node
	if err := yaml.Unmarshal(document, &node); err != nil {
		return nil, fmt.Errorf("read the document as YAML: %w", err)
	}
	block(&node)
	return yaml.Marshal(&node)
}

// block removes the style of JSON.
func block(n *yaml.Node) {
	n.Style = 0
	for _, child := range n.Content {
		block(child)
	}
}

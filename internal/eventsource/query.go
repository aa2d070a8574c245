package eventsource

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/position"
	"github.com/claudebench/claudebench/internal/stream"
)

type format string

const (
	formatEnvelope    format = ""
	formatCloudEvents format = "cloudevents"
)

const (
	// maxTypes is the maximum number of types and patterns in a list.
	maxTypes = 100
	// maxID is the maximum length of an id that a user chooses.
	maxID = 256
)

// asked is what a request asks for.
type asked struct {
	query  stream.Query
	format format
}

var parameters = []string{"types", "task", "instance", "after", "from", "to", "format"}

// parse reads the parameters of a request. An empty parameter is the same as none. The error is a
// sentence for the caller.
func parse(r *http.Request) (asked, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return asked{}, fmt.Errorf("the query is not valid: %.100s", err.Error())
	}
	for name, given := range values {
		if !slices.Contains(parameters, name) {
			return asked{}, fmt.Errorf("unknown parameter %.100q; the parameters are %s", name, strings.Join(parameters, ", "))
		}
		if len(given) > 1 {
			return asked{}, fmt.Errorf("the parameter %s is repeated; separate several types by commas", name)
		}
	}
	var a asked
	if a.query, err = NewQuery(values.Get("types"), values.Get("task"), values.Get("instance"), values.Get("after")); err != nil {
		return asked{}, err
	}
	if values.Get("after") != "" && values.Get("from") != "" {
		return asked{}, errors.New("after and from are two places to start; pass one of them")
	}
	from, err := position.Parse(values.Get("from"))
	if err != nil {
		return asked{}, fmt.Errorf("from is %w", err)
	}
	to, err := position.Parse(values.Get("to"))
	if err != nil {
		return asked{}, fmt.Errorf("to is %w", err)
	}
	if a.query.From, a.query.To, err = position.Span(r.Context(), noSeqs{}, from, to); err != nil {
		return asked{}, err
	}
	switch a.format = format(values.Get("format")); a.format {
	case formatEnvelope, formatCloudEvents:
	default:
		return asked{}, fmt.Errorf("format %.100q is unknown; it must be cloudevents, or absent for envelopes", string(a.format))
	}
	// A browser sends it when it connects again, and then it knows more than the URL.
	last := r.Header.Values("Last-Event-Id")
	if len(last) > 1 {
		return asked{}, fmt.Errorf("the header Last-Event-ID is repeated")
	}
	if len(last) == 1 && last[0] != "" {
		if a.query.After, err = parseID("the header Last-Event-ID", last[0]); err != nil {
			return asked{}, err
		}
	}
	return a, nil
}

// noSeqs is a position.Locator for a log that is not read.
type noSeqs struct{}

func (noSeqs) Locate(_ context.Context, seq int64) (events.ID, error) {
	return events.ID{}, fmt.Errorf("from and to must be event IDs or times; event.get has the ID of event %d", seq)
}

// NewQuery returns the query of a subscription. An empty text is the same as none. The error is a
// sentence for the caller.
func NewQuery(types, task, instance, after string) (stream.Query, error) {
	q := stream.Query{Task: task, Instance: instance}
	var err error
	if types == "" {
		types = events.All
	}
	if strings.Count(types, ",") >= maxTypes {
		return stream.Query{}, fmt.Errorf("types must be a list of at most %d types and patterns", maxTypes)
	}
	if q.Filter, err = events.ParseFilter(types); err != nil {
		return stream.Query{}, fmt.Errorf("types must be a list such as task.*,instance.failed, or *: %.300s", err.Error())
	}
	if len(task) > maxID || len(instance) > maxID {
		return stream.Query{}, fmt.Errorf("task and instance must be ids of at most %d bytes", maxID)
	}
	if after != "" {
		if q.After, err = parseID("after", after); err != nil {
			return stream.Query{}, err
		}
	}
	return q, nil
}

// parseID parses an event's ID, or 0.
func parseID(name, text string) (*events.ID, error) {
	if text == "0" {
		return &events.ID{}, nil
	}
	id, err := events.ParseID(text)
	if err != nil {
		return nil, fmt.Errorf("%s is %.100q; it must be the ID of an event, such as 1700000000000-42, or 0 for all events", name, text)
	}
	return &id, nil
}

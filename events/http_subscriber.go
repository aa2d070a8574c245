package events

import (
	"errors"
	"fmt"
)

// HTTPSubscriberConfig configures an HTTP subscriber.
type HTTPSubscriberConfig struct {
	SubscriberConfig

	// Task and Instance are the ids of a task and of an instance: only events that concern them are
	// delivered, see [Subjects].
	Task, Instance string
	// Client makes the requests, see [HTTPReaderConfig].
	Client HTTPClient
}

// NewHTTPSubscriber returns a [Subscriber] that follows the log over HTTP, at /events of the
// coordinator at an address such as http://127.0.0.1:3000. So its service needs no Redis. token is ""
// for a coordinator without an auth file. It makes no request.
//
// It delivers as every Subscriber does. The coordinator leaves out the events that the topic does
// not select. A Name needs Checkpoints, for which there is [FileCheckpoints]. Namespace, Block,
// Linger and OnForeign belong to Redis and must not be set. While the coordinator does not answer or
// refuses, the subscriber waits, and logs the reason once.
func NewHTTPSubscriber(coordinator, token string, config HTTPSubscriberConfig) (*Subscriber, error) {
	switch {
	case config.Namespace != "" || config.Block != 0 || config.Linger != 0 || config.OnForeign != nil:
		return nil, errors.New("new event subscriber: Namespace, Block, Linger and OnForeign are for Redis; leave them out over HTTP")
	case config.Name != "" && config.Checkpoints == nil:
		return nil, fmt.Errorf("new event subscriber: %q needs Checkpoints, such as events.FileCheckpoints, because there is no Redis to keep its checkpoint", config.Name)
	}
	config.setDefaults()
	if err := config.validate(); err != nil {
		return nil, fmt.Errorf("new event subscriber: %w", err)
	}
	reading := HTTPReaderConfig{Task: config.Task, Instance: config.Instance, BatchSize: config.BatchSize, Client: config.Client}
	open := func(topic string) (source, error) {
		reading.Types = topic
		return NewHTTPReader(coordinator, token, reading)
	}
	if _, err := open(All); err != nil {
		return nil, err
	}
	return &Subscriber{lifecycle: newLifecycle(), config: config.SubscriberConfig, open: open}, nil
}

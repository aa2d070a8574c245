// Package events contains what a service needs to follow ClaudeBench: the types of the events, and
// readers of the log.
//
// # The log
//
// Every change in ClaudeBench is an event in one log, the Redis stream cb:stream:events
// (cb:{namespace}:stream:events with a namespace). An entry has one field, data, which holds an
// [Envelope] as JSON. Its [ID] is <ms>-<seq>: the time by Redis's clock, and a count that rises by
// one with each event and never restarts, not even after a flush. The log therefore has one total
// order, an ID is a position in it, and a missing count proves a missing event.
//
// # Following it
//
// A service uses a [Subscriber], which is a Watermill subscriber. It sends one message for each
// event, in order, and the next one after the ack. It keeps a checkpoint under its name and
// continues from there after a restart.
//
//	sub, err := events.NewSubscriber(client, events.SubscriberConfig{Name: "billing"})
//	...
//	router.AddConsumerHandler("billing", "task.completed,task.failed", sub,
//		func(m *message.Message) error {
//			e, err := events.Decode(m.Payload)
//			if err != nil {
//				return err
//			}
//			task, err := events.PayloadAs[events.TaskCompleted](e)
//			...
//		})
//
// [NewHTTPSubscriber] makes the same subscriber for a service that has no access to Redis: it follows
// a coordinator's stream. The program in examples/follow is a complete service. There are other
// readers:
//
//   - [HTTPReader] reads batches from a coordinator's stream.
//   - [BatchSubscriber] sends one message for each batch. It is for handlers that write their
//     results and their checkpoint in one transaction.
//   - [GroupSubscriber] distributes the events of one type among the members of a Redis consumer
//     group, and parks those that they cannot handle. The events lose their order.
//   - [Reader] is the basis of [Subscriber] and [BatchSubscriber]. It reads batches after an ID,
//     and ranges for replays.
//
// [Unmarshaller] makes the subscriber of watermill-redisstream read the log, and [Marshaler] lets
// Watermill's event processors handle events.
//
// # Versions
//
// A payload changes by additions only; any other change raises its version. An older version is
// converted when it is read ([Envelope.Decoded], [PayloadAs]). An event of a type or version that
// this build does not know still has a readable envelope: the error wraps [ErrUnknownType] or
// [ErrUnknownVersion], and the service decides.
//
// # When something fails
//
//   - Redis is unavailable: subscribers wait and continue by themselves, and log the outage once. A
//     Reader returns the error and may be called again.
//   - The log was flushed or trimmed: reading continues with the first event kept. The batch says
//     how many were skipped ([Batch.Gaps]), and a subscriber calls OnGap. After a flush that event is
//     system.flushed.
//   - The log was rolled back (an older file, or a failover that lost its tail): reading starts at
//     the last event that was read, inclusive, and finds that it is gone. The error is
//     [RolledBackError].
//   - Events are missing without such a reason: the error is [GapError]. No reader skips a gap.
//   - An event does not decode: a Reader returns it with the error. A Subscriber passes it to
//     OnBadEvent, or logs and skips it.
//   - Another program writes to the stream: an entry that is not an event and does not have the
//     next event's seq is skipped and reported.
//
// Delivery is at least once. A service that dies after it handled an event and before it saved its
// checkpoint gets the event again, so handlers must be idempotent. The envelope's ID is the same
// each time.
package events

// Package events is what a service needs to follow ClaudeBench: the events' types, and readers of
// the log that hold them.
//
// # The log
//
// Every change in ClaudeBench is an event in one log, the Redis stream cb:stream:events
// (cb:{namespace}:stream:events with a namespace). An entry has one field, data, with an [Envelope]
// as JSON. Its [ID] is <ms>-<seq>: when it happened by Redis's clock, and a count that rises by one
// with each event and never starts again, not after a flush either. So the log has one total order,
// an ID is a position in it, and a missing count proves a missing event.
//
// # Following it
//
// A service uses a [Subscriber], which is a Watermill subscriber: it gives one message an event, in
// order, and the next one after the ack. Under its name it keeps a checkpoint, and goes on from
// there after a restart.
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
// The program in examples/follow is a whole service. What else there is:
//
//   - [BatchSubscriber] gives one message a batch, to handlers that write what
//     they derive and their checkpoint in one transaction.
//   - [GroupSubscriber] shares the events of one type out among the members of
//     a Redis consumer group; they lose their order.
//   - [Reader] is what the first two stand on: batches after an ID, and a range
//     for replays.
//
// # Versions
//
// A payload changes by additions only; anything else raises its version, and the older one is
// lifted when it is read ([Envelope.Decoded], [PayloadAs]). An event of a type or version that this
// build does not know still has a readable envelope: the error wraps [ErrUnknownType] or
// [ErrUnknownVersion], and the service decides.
//
// # When something fails
//
//   - Redis is away: subscribers wait and go on by themselves; they log it once.
//     A Reader gives the error, and may be called again.
//   - The log was flushed or trimmed: reading goes on with the first event left;
//     a batch tells how many were skipped. After a flush that is system.flushed.
//   - The log was rolled back (an older file, a failover that lost its tail):
//     reading starts at the event that was read last, inclusive, and notices
//     that it is gone: [RolledBackError].
//   - Events are missing without such a reason: [GapError]. Nothing steps over
//     it.
//   - An event does not decode: it is delivered as such to a Reader's caller,
//     and a Subscriber hands it to OnBadEvent, or logs it and goes on.
//   - Somebody else writes to the stream: an entry that is no event and does not
//     stand where the next one must is passed over and reported.
//
// Delivery is at least once: a service that dies after handling an event and before its checkpoint
// is saved gets the event again, so handling it twice must do no harm. The envelope's ID is the
// same each time.
package events

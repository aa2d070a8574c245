// Package stream fans the event log out to subscribers in this process. Its users are the
// transports: internal/eventsource (Server-Sent Events) and internal/websocket.
//
// A Hub reads the log once for all subscribers, and only while there are any. Its tail appends what
// it reads to a chain of nodes: runs of events, and gaps. Subscribers walk the chain, each at its
// own pace. So a subscriber has no queue of its own: the chain is the queue of all, and its length
// in events and in bytes is bounded. A node that falls out of the chain is cut off from the next
// one, so a subscriber that holds on to it keeps no more than this node in memory.
//
// A subscriber whose position is not in the chain, because it starts at an old event or because it
// was slow, reads pages from Redis by itself until the chain has its position. Few of these reads
// run at a time. Each node says which position it continues from, so the change from one source to
// the other loses and repeats nothing. A subscriber that was in the chain and is maxBehind events
// behind is ended.
//
// Nothing ends the tail. During an outage of Redis it retries, and subscribers wait. Where the log
// has no events any more that a subscriber has not seen (a flush, a trim, a rollback, a missing or
// malformed event), the subscriber gets a Gap and then the events behind it.
package stream

// Package span reads a part of the log in order, from Redis or from a coordinator. The commands that
// only read the log use it, so that they work in both ways and tell gaps in the same words.
//
// A read from a coordinator that has begun goes on when the coordinator is back, for up to a minute,
// and with Span.Follow for ever. A read from Redis does so only with Span.Follow.
package span

// Package wire speaks HTTP and the Redis protocol with as little work as it can, so that the load
// generator does not eat the cores it measures: requests are bytes that were built before, replies
// are skipped or handed out as they lie in the buffer. The benchmark's figures are its only
// callers.
//
// It repairs nothing: an error reply of Redis, a status other than 200, and any fault of the
// connection is an error, and the measurement that meets it is over.
package wire

// Package wire speaks HTTP and the Redis protocol with as little work as possible, so that the load
// generator does not use the cores that it measures. Requests are built in advance; replies are
// skipped or returned as slices of the buffer. Only the benchmark calls it.
//
// It never retries: an error reply of Redis, a status other than 200, or a connection fault is an
// error, and ends the measurement.
package wire

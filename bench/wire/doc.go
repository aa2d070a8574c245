// Package wire speaks HTTP and the Redis protocol with as little work as possible, so that the load
// generator does not use the cores that it measures. Requests are built in advance; replies are
// skipped or returned as slices of the buffer. Only the benchmark calls it.
//
// Package client is for those who call a coordinator. Here its typed results, request ids and retries
// would use more time than the coordinator does for some calls, on the same cores.
//
// It never retries: an error reply of Redis, a status other than 200, or a connection fault is an
// error, and ends the measurement.
package wire

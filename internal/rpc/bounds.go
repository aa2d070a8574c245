package rpc

// maxHelpers is the maximum number of goroutines of all batches together, besides those of their
// connections. A batch that gets none uses only the goroutine of its connection.
const maxHelpers = 4096

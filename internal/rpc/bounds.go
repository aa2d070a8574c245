package rpc

// maxHelpers is how many goroutines all batches together may have beside those of their
// connections. A batch that gets none goes on with its connection's own.
const maxHelpers = 4096

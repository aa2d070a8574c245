package rpc

import "sync/atomic"

// maxHelpers is how many goroutines all batches together may have beside those of their connections.
const maxHelpers = 4096

// helpers are the goroutines that batches may still have. A batch that gets none goes on with its connection's own.
type helpers struct{ left atomic.Int64 }

func (h *helpers) take() bool {
	if h.left.Add(-1) >= 0 {
		return true
	}
	h.left.Add(1)
	return false
}

func (h *helpers) giveBack() { h.left.Add(1) }

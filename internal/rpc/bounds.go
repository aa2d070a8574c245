package rpc

import "sync/atomic"

const (
	// maxHelpers is how many goroutines all batches together may have beside those of their connections.
	maxHelpers = 4096
	// maxAnswers is how many bytes the answers of a batch may have together before the rest of it is not begun any more.
	maxAnswers = 16 << 20
)

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

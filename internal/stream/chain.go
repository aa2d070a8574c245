package stream

import (
	"sort"
	"sync"
	"sync/atomic"

	"github.com/claudebench/claudebench/events"
)

// node is a link of the chain: a run of consecutive events, or a gap. Only next and evicted change.
type node struct {
	before events.ID // the position that this node continues from
	last   events.ID // the position behind it
	gap    *Gap      // nil for a run
	run    run

	next    atomic.Pointer[node]
	evicted atomic.Bool // it has fallen out of the chain, and next is nil again
}

func newNode(before, last events.ID) *node {
	return &node{before: before, last: last}
}

// overhead is about what an event takes in memory besides its text and its frames.
const overhead = 512

// weight returns about how much memory the node takes once an event has been sent in one format.
func (n *node) weight() int {
	size := overhead
	for i := range n.run.entries {
		size += overhead + 2*len(n.run.entries[i].Raw)
	}
	return size
}

// chain holds the latest nodes of the log in order, and the subscribers that wait for the next ones.
type chain struct {
	maxEntries, maxBytes int

	mu      sync.Mutex
	waiting waiting
	window  []*node // never empty
	weights []int
	entries int
	bytes   int
}

// newChain returns a chain whose next node continues from a position.
func newChain(at events.ID, maxEntries, maxBytes int) *chain {
	return &chain{maxEntries: maxEntries, maxBytes: maxBytes, window: []*node{newNode(at, at)}, weights: []int{0}, waiting: waiting{}}
}

// tip returns the last node.
func (c *chain) tip() *node {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.window[len(c.window)-1]
}

// add appends a node and cuts off nodes that are too many. The newest node always stays.
func (c *chain) add(n *node) {
	weight := n.weight()
	n.run.indexed()
	c.mu.Lock()
	defer c.mu.Unlock()
	tip := c.window[len(c.window)-1]
	if n.last.Compare(n.before) < 0 {
		// A rollback. The positions in the chain must rise, so that it can be searched. Subscribers
		// that still walk along the old nodes come to this one.
		c.window, c.weights = nil, nil
		c.entries, c.bytes = 0, 0
	}
	c.window, c.weights = append(c.window, n), append(c.weights, weight)
	c.entries += len(n.run.entries)
	c.bytes += weight
	tip.next.Store(n)
	for len(c.window) > 1 && (c.entries > c.maxEntries || c.bytes > c.maxBytes) {
		old := c.window[0]
		c.entries -= len(old.run.entries)
		c.bytes -= c.weights[0]
		c.window[0] = nil
		c.window, c.weights = c.window[1:], c.weights[1:]
		old.evicted.Store(true)
		old.next.Store(nil)
	}
	c.waiting.wake(tip, n)
}

// wait joins the subscribers that wait for events of a query. It returns nil if the chain goes on
// behind the node, or if the node has fallen out. The caller must call leave.
func (c *chain) wait(n *node, q *Query) *group {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n.next.Load() != nil || n.evicted.Load() {
		return nil
	}
	return c.waiting.join(q)
}

// leave returns the node from which a subscriber walks on that was in a group: no node up to this one
// has events of its query.
func (c *chain) leave(g *group) *node {
	c.mu.Lock()
	defer c.mu.Unlock()
	if g.from != nil {
		return g.from
	}
	c.waiting.leave(g)
	return c.window[len(c.window)-1]
}

// find returns the node from which a subscriber at a position walks on, nil if the chain does not
// have the position. ahead allows a position behind the end of the chain.
func (c *chain) find(at events.ID, ahead bool) *node {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := sort.Search(len(c.window), func(i int) bool { return c.window[i].last.Compare(at) >= 0 })
	switch {
	case i == len(c.window):
		if ahead {
			return c.window[i-1]
		}
	case c.window[i].last == at:
		return c.window[i]
	case i > 0 && (c.window[i].before == at || c.window[i].run.index(at) >= 0):
		return c.window[i-1]
	}
	return nil
}

// knows reports whether the chain has an event.
func (c *chain) knows(id events.ID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := sort.Search(len(c.window), func(i int) bool { return c.window[i].last.Compare(id) >= 0 })
	return i < len(c.window) && (c.window[i].last == id || c.window[i].run.index(id) >= 0)
}

// first returns the lowest position of the chain.
func (c *chain) first() events.ID {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.window[0].before
}

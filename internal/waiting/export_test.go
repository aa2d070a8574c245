package waiting

// WakeupsOnly disables the looks for tasks without a wake-up, which would hide that one was lost.
func (h *Hub) WakeupsOnly() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.looks = 0
}

// Idle returns how many calls wait and do not attempt to claim.
func (h *Hub) Idle() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, g := range h.groups {
		n += g.idle.Len()
	}
	return n
}

// Pending returns how many wake-ups arrived for attempts under way.
func (h *Hub) Pending() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for c := range h.all {
		n += len(c.pending)
	}
	return n
}

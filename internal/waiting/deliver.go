package waiting

import (
	"container/list"
	"maps"
	"slices"
)

// deliver gives a wake-up to one call: to the one that has waited longest, or if none waits, to one
// whose attempt is under way and may have come too early. If all of those have such a wake-up
// already, and if there is none, nothing is lost: whoever comes later attempts first.
func (h *Hub) deliver(w wakeup) {
	if c := h.longestWaiting(w); c != nil {
		c.group.idle.Remove(c.place)
		c.idle, c.place = false, h.busy.PushBack(c)
		c.current = append(c.current, w)
		c.woken <- struct{}{} // has room: an idle call has been woken by nobody else
		return
	}
	for e := h.busy.Front(); e != nil; e = e.Next() {
		c, _ := e.Value.(*call)
		if c.takes(w) {
			if !slices.Contains(c.pending, w) {
				c.pending = append(c.pending, w)
				h.busy.MoveToBack(e)
			}
			return
		}
	}
}

// longestWaiting returns the call that is to take a wake-up, or nil.
func (h *Hub) longestWaiting(w wakeup) *call {
	var longest *call
	consider := func(e *list.Element) {
		if e == nil {
			return
		}
		if c, _ := e.Value.(*call); longest == nil || c.since.Before(longest.since) {
			longest = c
		}
	}
	switch w.kind {
	case forInstance:
		siblings := h.byInstance[w.name]
		if siblings == nil {
			return nil
		}
		for e := siblings.Front(); e != nil; e = e.Next() {
			if c, _ := e.Value.(*call); c.idle {
				return c
			}
		}
	case forRoles:
		if g := h.groups[w.name]; g != nil {
			consider(g.idle.Front())
		}
	default:
		for _, g := range h.groups {
			if g.takes(w) {
				consider(g.idle.Front())
			}
		}
	}
	return longest
}

// groupOf returns the group of these roles.
func (h *Hub) groupOf(roles string) *group {
	g := h.groups[roles]
	if g == nil {
		g = newGroup(roles)
		h.groups[roles] = g
	}
	return g
}

// join puts a call into a group, instead of the one that it is in. It does not add it to the idle
// ones.
func (h *Hub) join(c *call, g *group) {
	if c.group == g {
		return
	}
	if g != nil {
		g.size++
	}
	if old := c.group; old != nil {
		if old.size--; old.size == 0 {
			delete(h.groups, old.roles)
		}
	}
	c.group = g
}

// lookAll lets one call of each group look for tasks. If it claims one, the next call looks.
func (h *Hub) lookAll() {
	for roles := range h.groups {
		h.deliver(wakeup{forRoles, roles})
	}
}

// lookSome is lookAll for a few groups, in turn.
func (h *Hub) lookSome(most int) {
	all := slices.Sorted(maps.Keys(h.groups))
	for range min(most, len(all)) {
		h.rotation++
		h.deliver(wakeup{forRoles, all[h.rotation%len(all)]})
	}
}

package stream

// waiting holds the subscribers that wait for new events, so that a node wakes only those for whom it
// has some. Subscribers with equal queries are one group. What a node costs grows with the number of
// queries that name neither a task nor an instance, but not with the number of subscribers.
type waiting map[place]map[string]*group

// place is the task or the instance that queries name: the zero value for those that name neither.
type place struct{ kind, id string }

// group is the subscribers that wait for events of the same query.
type group struct {
	query   *Query
	members int
	found   chan struct{} // closed when there may be events of the query
	from    *node         // set before found is closed: the node before the one with the events
}

func placeOf(q *Query) place {
	switch {
	case q.Task != "":
		return place{"task", q.Task}
	case q.Instance != "":
		return place{"instance", q.Instance}
	}
	return place{}
}

// key names a query among those of a place.
func (q *Query) key() string { return q.Filter.String() + " " + q.Instance }

func (w waiting) join(q *Query) *group {
	p, key := placeOf(q), q.text
	if w[p] == nil {
		w[p] = map[string]*group{}
	}
	g := w[p][key]
	if g == nil {
		g = &group{query: q, found: make(chan struct{})}
		w[p][key] = g
	}
	g.members++
	return g
}

func (w waiting) leave(g *group) {
	if g.members--; g.members == 0 {
		w.remove(g)
	}
}

func (w waiting) remove(g *group) {
	p := placeOf(g.query)
	delete(w[p], g.query.text)
	if len(w[p]) == 0 {
		delete(w, p)
	}
}

// wake wakes the groups for which a node may have events. tip is the node before. A gap concerns all.
func (w waiting) wake(tip, n *node) {
	if n.gap != nil {
		for p := range w {
			w.wakeAt(p, tip, n)
		}
		return
	}
	w.wakeAt(place{}, tip, n)
	for id := range n.run.tasks {
		w.wakeAt(place{"task", id}, tip, n)
	}
	for id := range n.run.instances {
		w.wakeAt(place{"instance", id}, tip, n)
	}
}

func (w waiting) wakeAt(p place, tip, n *node) {
	for _, g := range w[p] {
		if n.gap != nil || n.run.has(g.query) {
			g.from = tip
			w.remove(g)
			close(g.found)
		}
	}
}

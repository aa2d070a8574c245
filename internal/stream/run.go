package stream

import (
	"slices"
	"sort"
	"sync"
	"sync/atomic"

	"github.com/claudebench/claudebench/events"
)

// Entry is an event with its renderings.
type Entry struct {
	events.Entry
	frames [numFrames]atomic.Pointer[[]byte]
}

// Frame names a rendering of an event that subscribers share.
type Frame int

// The renderings.
const (
	FrameEnvelope Frame = iota
	FrameCloudEvent
	numFrames
)

// Render returns the result of render for the event. All subscribers share the first result. render
// must always return the same for an event, and nobody may change it.
func (e *Entry) Render(f Frame, render func(*events.Entry) []byte) []byte {
	if text := e.frames[f].Load(); text != nil {
		return *text
	}
	text := render(&e.Entry)
	e.frames[f].Store(&text)
	return text
}

// run is a number of consecutive events.
type run struct {
	entries []Entry

	once      sync.Once
	types     []events.Type    // without repetition
	tasks     map[string][]int // the events that concern a task
	instances map[string][]int // the events that concern an instance
}

// indexed makes what match needs, once for all subscribers.
func (r *run) indexed() {
	r.once.Do(func() {
		r.tasks, r.instances = map[string][]int{}, map[string][]int{}
		seen := map[events.Type]bool{}
		for i := range r.entries {
			e := &r.entries[i].Envelope
			if !seen[e.Type] {
				seen[e.Type] = true
				r.types = append(r.types, e.Type)
			}
			about := e.Subjects()
			if about.Task != "" {
				r.tasks[about.Task] = append(r.tasks[about.Task], i)
			}
			for _, id := range about.Instances {
				r.instances[id] = append(r.instances[id], i)
			}
		}
	})
}

// index returns the place of an event, -1 if it is not in the run.
func (r *run) index(id events.ID) int {
	i := sort.Search(len(r.entries), func(i int) bool { return r.entries[i].ID.Compare(id) >= 0 })
	if i < len(r.entries) && r.entries[i].ID == id {
		return i
	}
	return -1
}

// match returns the events of a query from a place on.
func (r *run) match(q *Query, from int) []*Entry {
	r.indexed()
	places, some := r.concern(q)
	if some && len(places) == 0 {
		return nil
	}
	matching := 0
	for _, t := range r.types {
		if q.Filter.Match(t) {
			matching++
		}
	}
	if matching == 0 {
		return nil
	}
	all := matching == len(r.types)
	var found []*Entry
	take := func(i int) {
		if e := &r.entries[i]; i >= from && (all || q.Filter.Match(e.Envelope.Type)) {
			found = append(found, e)
		}
	}
	if some {
		for _, i := range places {
			take(i)
		}
		return found
	}
	if all {
		found = make([]*Entry, 0, len(r.entries)-from)
	}
	for i := from; i < len(r.entries); i++ {
		take(i)
	}
	return found
}

// has reports whether the run has an event of a query.
func (r *run) has(q *Query) bool {
	places, some := r.concern(q)
	if !some {
		return slices.ContainsFunc(r.types, q.Filter.Match)
	}
	return slices.ContainsFunc(places, func(i int) bool { return q.Filter.Match(r.entries[i].Envelope.Type) })
}

// concern returns the places of the events that concern the query's task and instance. some is false
// if the query names neither.
func (r *run) concern(q *Query) (places []int, some bool) {
	switch {
	case q.Task == "" && q.Instance == "":
		return nil, false
	case q.Instance == "":
		return r.tasks[q.Task], true
	case q.Task == "":
		return r.instances[q.Instance], true
	}
	ofInstance := map[int]bool{}
	for _, i := range r.instances[q.Instance] {
		ofInstance[i] = true
	}
	for _, i := range r.tasks[q.Task] {
		if ofInstance[i] {
			places = append(places, i)
		}
	}
	return places, true
}

package waiting

import (
	"container/list"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/lua"
)

// call is a call of task.claim that waits or attempts to claim. The Hub's mutex guards it.
type call struct {
	instance string
	sibling  *list.Element // in the Hub's list of the instance's calls
	idle     bool          // it waits; otherwise it attempts to claim
	place    *list.Element // in the list of the idle calls of its group, or of the busy ones
	group    *group        // nil until the first attempt has told the instance's roles
	since    time.Time     // when it began to wait
	woken    chan struct{}
	// current holds the wake-ups that the attempt under way is for, and pending those that arrived
	// meanwhile.
	current, pending []wakeup
	ttl              time.Duration
	renewal          time.Time // when the registration is to be renewed next
}

func newCall(instance string) *call {
	now := time.Now()
	return &call{instance: instance, since: now, renewal: now.Add(time.Minute), woken: make(chan struct{}, 1)}
}

// heard notes that the instance's registration was renewed.
func (c *call) heard(r Reply) {
	if r.TTL > 0 {
		c.ttl = r.TTL
	}
	// At different times, so that the calls that began together are not all renewed together.
	c.renewal = time.Now().Add(c.ttl/6 + rand.N(c.ttl/6+1))
}

// takes reports whether a wake-up is for the call's instance.
func (c *call) takes(w wakeup) bool {
	if w.kind == forInstance {
		return c.instance == w.name
	}
	return c.group == nil || c.group.takes(w)
}

// group is the calls of instances with the same roles.
type group struct {
	roles string // JSON text, as the instances registered
	set   map[string]bool
	size  int
	idle  *list.List // of *call, the longest waiting first
	fits  map[string]bool
}

func newGroup(roles string) *group {
	g := &group{roles: roles, set: map[string]bool{}, idle: list.New(), fits: map[string]bool{}}
	for _, role := range decodeRoles(roles) {
		g.set[role] = true
	}
	return g
}

// maxFits bounds the role sets that a group remembers. Open tasks require at most 64 at a time.
const maxFits = 256

// takes reports whether a wake-up is for instances with the group's roles.
func (g *group) takes(w wakeup) bool {
	switch w.kind {
	case forRoles:
		return g.roles == w.name
	case forSet:
		fits, known := g.fits[w.name]
		if !known {
			fits = !slices.ContainsFunc(decodeRoles(w.name), func(role string) bool { return !g.set[role] })
			if len(g.fits) >= maxFits {
				clear(g.fits)
			}
			g.fits[w.name] = fits
		}
		return fits
	default:
		return false
	}
}

func decodeRoles(text string) []string {
	var roles []string
	if text != "" {
		_ = json.Unmarshal([]byte(text), &roles) // the scripts wrote it
	}
	return roles
}

// wakeup says who can claim a task.
type wakeup struct {
	kind kind
	name string
}

type kind int

const (
	forSet      kind = iota // instances that have all roles of this role set
	forInstance             // this instance
	forRoles                // instances with exactly these roles; not in the stream
)

// parseWakeups returns the wake-ups of an entry of the stream, each as often as there are tasks, but
// not more often than most. flushed reports that the entry is for all instances.
func parseWakeups(values map[string]any, most int) (found []wakeup, flushed bool) {
	for field, n := range values {
		if field == "all" {
			flushed = true
			continue
		}
		w := wakeup{}
		if set, ok := strings.CutPrefix(field, "set:"); ok {
			w.name = set
		} else if instance, ok := strings.CutPrefix(field, "to:"); ok {
			w = wakeup{forInstance, instance}
		} else {
			continue // of a later version
		}
		for range min(lua.Integer(n), int64(most)) {
			found = append(found, w)
		}
	}
	return found, flushed
}

// unclaimed returns the wake-ups that must be passed on after an attempt has claimed tasks with
// these role sets. A task that is claimed consumes one wake-up of its role set. Any other wake-up
// may be for a task that is still there.
func unclaimed(wakeups []wakeup, sets []string) []wakeup {
	for _, set := range sets {
		if i := slices.Index(wakeups, wakeup{forSet, set}); i >= 0 {
			wakeups = slices.Delete(wakeups, i, i+1)
		}
	}
	return wakeups
}

// unavailable reports whether Redis did not run an attempt, because it did not answer or because the
// method's circuit breaker is open.
func unavailable(err error) bool {
	failed := (*api.Error)(nil)
	return errors.Is(err, lua.ErrUnavailable) || errors.As(err, &failed) && failed.Failure() == api.CircuitBreakerOpen
}

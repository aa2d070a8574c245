package events

import (
	"fmt"
	"slices"
	"strings"
)

// All is the topic that matches every event.
const All = "*"

// Filter selects types of events.
type Filter struct {
	all      bool
	types    map[Type]bool
	prefixes []string // with the dot: "task."
}

// ParseFilter parses a comma-separated list of types and patterns: `task.*,instance.failed`, or `*`
// for all. It accepts types that this build does not know, because the coordinator may be newer.
func ParseFilter(list string) (Filter, error) {
	f := Filter{types: map[Type]bool{}}
	for item := range strings.SplitSeq(list, ",") {
		item = strings.TrimSpace(item)
		noun, wild := strings.CutSuffix(item, ".*")
		switch {
		case item == All:
			f.all = true
		case noun == "" || strings.ContainsAny(noun, "* \t\r\n"):
			return Filter{}, fmt.Errorf("event types %q: %q is not a type, a pattern such as task.*, or *", list, item)
		case wild:
			f.prefixes = append(f.prefixes, noun+".")
		default:
			f.types[Type(item)] = true
		}
	}
	return f, nil
}

// String returns the list of the types and patterns, for [ParseFilter]. Filters with the same list,
// in any order, have the same text.
func (f Filter) String() string {
	if f.all {
		return All
	}
	list := make([]string, 0, len(f.types)+len(f.prefixes))
	for t := range f.types {
		list = append(list, string(t))
	}
	for _, p := range f.prefixes {
		list = append(list, p+All)
	}
	slices.Sort(list)
	return strings.Join(slices.Compact(list), ",")
}

// Match reports whether the filter selects events of type t.
func (f Filter) Match(t Type) bool {
	if f.all || f.types[t] {
		return true
	}
	for _, p := range f.prefixes {
		if strings.HasPrefix(string(t), p) {
			return true
		}
	}
	return false
}

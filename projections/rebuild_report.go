package projections

import (
	"cmp"
	"slices"

	"github.com/claudebench/claudebench/events"
)

// FirstDifferences is the maximum number of differences that a Rebuilt describes for each hash in
// Redis, and of rows for each table in Postgres. The others are only counted.
const FirstDifferences = 20

// Rebuilt is what a rebuild found and did.
type Rebuilt struct {
	Name   string // of the projection
	Events int64  // that were folded into the second place
	// At is the event at which the live view and the second place were compared. It is zero if they
	// were not, and Uncompared says why.
	At         events.ID
	Uncompared string
	// Differences has an entry for each hash or table with differences.
	Differences []Differences
	// Replaced reports that the live view was replaced by the second place.
	Replaced bool
}

// Differences are those of a hash in Redis or a table in Postgres: how many fields or rows the live
// view lacks, has in addition, or has with other values.
type Differences struct {
	Object                  string
	Missing, Extra, Changed int64
	First                   []Difference
}

// Difference is a field or a column that differs. Nil means that the field, the row or the value does
// not exist. Column is empty if the whole row exists only on one side.
type Difference struct {
	Key, Column   string
	Live, Rebuilt *string
}

// Same reports whether the two were compared and are equal.
func (r *Rebuilt) Same() bool { return r.Uncompared == "" && len(r.Differences) == 0 }

// Total returns the number of fields or rows that differ.
func (d Differences) Total() int64 { return d.Missing + d.Extra + d.Changed }

// count adds a field to the totals, and describes it if it is one of the first.
func (d *Differences) count(field string, live, rebuilt *string) {
	switch {
	case live == nil:
		d.Missing++
	case rebuilt == nil:
		d.Extra++
	default:
		d.Changed++
	}
	if len(d.First) < FirstDifferences {
		d.First = append(d.First, Difference{Key: field, Live: live, Rebuilt: rebuilt})
	}
}

// compareHashes compares the fields of the hashes of two sides.
func compareHashes(prefix string, live, rebuilt map[string]map[string]string) []Differences {
	var all []Differences
	for _, hash := range bothKeys(live, rebuilt) {
		d := Differences{Object: prefix + hash}
		for _, field := range bothKeys(live[hash], rebuilt[hash]) {
			was, is := value(live[hash], field), value(rebuilt[hash], field)
			if was == nil || is == nil || *was != *is {
				d.count(field, was, is)
			}
		}
		if d.Total() > 0 {
			all = append(all, d)
		}
	}
	return all
}

func value(fields map[string]string, field string) *string {
	if v, ok := fields[field]; ok {
		return &v
	}
	return nil
}

// bothKeys returns the keys of both maps in order.
func bothKeys[K cmp.Ordered, V any](a, b map[K]V) []K {
	keys := make([]K, 0, len(a))
	for k := range a {
		keys = append(keys, k)
	}
	for k := range b {
		if _, ok := a[k]; !ok {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return keys
}

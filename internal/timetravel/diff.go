package timetravel

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/fold"
	"github.com/claudebench/claudebench/internal/jsontext"
	"github.com/claudebench/claudebench/internal/position"
)

// ErrOrder is the error of Diff for a position that is before the other.
var ErrOrder = errors.New("the first position is after the second")

// Diff returns what changed between two positions, in one fold of the log. Of the tasks that changed it
// keeps what they were, and of those that were created, the first o.Limit. Its errors are those of
// State, and ErrOrder.
func Diff(ctx context.Context, o Options, from, to position.Position) (*api.PastDiff, error) {
	t, err := begin(ctx, o)
	if err == nil {
		defer t.fold.Close()
		err = t.reaches(from)
	}
	if err != nil {
		return nil, fmt.Errorf("difference of two states: %w", err)
	}
	d := &difference{traveller: t, places: map[int64]string{}, tasks: map[int64]*api.PastTask{}, PastDiff: api.PastDiff{Types: map[string]int64{}}}
	if !from.IsOpen() && !to.IsOpen() {
		if err := ordered(ctx, o.Log, from, to); err != nil {
			return nil, err
		}
	}
	if err := t.to(ctx, []position.Position{from, to}, d.begin, d.before); err != nil {
		return nil, fmt.Errorf("difference of two states: %w", err)
	}
	d.end()
	if err := t.fold.Err(); err != nil {
		return nil, fmt.Errorf("difference of two states: %w", err)
	}
	return &d.PastDiff, nil
}

// ordered returns ErrOrder if a position is after another.
func ordered(ctx context.Context, log Log, from, to position.Position) error {
	first, last, err := position.Span(ctx, log, from, to)
	switch {
	case errors.Is(err, position.ErrAfter):
		return nil // both are the end of the log
	case err != nil:
		return fmt.Errorf("difference of two states: %w", err)
	case !last.IsZero() && first.Compare(last) > 0:
		return ErrOrder
	}
	return nil
}

// difference is what Diff keeps while it folds.
type difference struct {
	*traveller
	api.PastDiff
	since     int64                        // seq of the first moment
	statuses  map[string]int64             // at the first moment
	instances map[string]*api.PastInstance // registered at the first moment
	others    map[[2]string]string         // at the first moment, by kind and name
	places    map[int64]string             // of the open tasks at the first moment
	tasks     map[int64]*api.PastTask      // those that existed, as they were at the first moment
	created   []int64                      // the first ones
	flushed   bool
}

// begin keeps what the first moment has.
func (d *difference) begin() {
	d.From, d.since = d.moment(), d.last.Seq
	d.statuses, d.instances, d.others = counts(d.fold), registered(d.fold), others(d.fold)
	for task := range d.fold.Open() {
		d.places[task.Num] = place(task)
	}
}

// before keeps what the event's task was.
func (d *difference) before(e *events.Envelope) {
	d.Events++
	d.Types[string(e.Type)]++
	if e.Type == events.TypeSystemFlushed {
		d.flushed = true
		for task := range d.fold.Open() {
			d.keep(task.Num)
		}
		return
	}
	num, ok := fold.TaskNumber(e.Subjects().Task)
	switch {
	case !ok:
	case e.Type == events.TypeTaskCreated:
		if d.PastDiff.Totals.Created++; len(d.created) < d.Limit {
			d.created = append(d.created, num)
		}
	default:
		d.keep(num)
	}
}

func (d *difference) keep(num int64) {
	if _, known := d.tasks[num]; known || num > d.since {
		return
	}
	if task := d.fold.Task(num); task != nil {
		was := taskOf(task)
		// An event about its instance may have changed its place before: that of the task comes later.
		was.Place = d.places[num]
		d.tasks[num] = &was
	}
}

// end compares what was kept with the second moment.
func (d *difference) end() {
	d.To, d.Notes = d.moment(), d.told()
	if d.flushed {
		d.Notes = append(d.Notes, "a flush between them deleted everything; tasks that had ended before it are not listed")
	}
	d.Statuses, d.Tasks, d.Instances, d.Others = []api.StatusChange{}, []api.TaskChange{}, []api.InstanceChange{}, []api.OtherChange{}
	for task := range d.fold.Open() {
		if was, open := d.places[task.Num]; open && was != place(task) {
			d.keep(task.Num)
		}
	}
	now := counts(d.fold)
	for _, status := range statuses {
		if d.statuses[status] != now[status] {
			d.Statuses = append(d.Statuses, api.StatusChange{Status: status, Before: d.statuses[status], After: now[status]})
		}
	}
	for _, num := range slices.Sorted(maps.Keys(d.tasks)) {
		c := api.TaskChange{ID: d.tasks[num].ID, Before: d.tasks[num]}
		if task := d.fold.Task(num); task != nil {
			is := taskOf(task)
			c.After = &is
		}
		switch {
		case c.After == nil && d.flushed:
			c.Changed = []string{"flushed"}
		case c.After == nil:
			c.Changed = []string{"deleted"}
		default:
			c.Changed = changed(*c.Before, *c.After)
		}
		if len(c.Changed) == 0 {
			continue
		}
		if d.PastDiff.Totals.Tasks++; len(d.Tasks) < d.Limit {
			d.Tasks = append(d.Tasks, c)
		}
	}
	for _, num := range d.created {
		if task := d.fold.Task(num); task != nil && len(d.Tasks) < d.Limit {
			is := taskOf(task)
			d.Tasks = append(d.Tasks, api.TaskChange{ID: is.ID, Changed: []string{"created"}, After: &is})
		}
	}
	d.compareInstances()
	d.compareOthers()
}

func (d *difference) compareInstances() {
	now := registered(d.fold)
	for _, id := range names(d.instances, now) {
		c := api.InstanceChange{ID: id, Before: d.instances[id], After: now[id]}
		switch {
		case c.Before == nil:
			c.Changed = []string{"registered"}
		case c.After == nil:
			c.Changed = []string{"left"}
		default:
			c.Changed = changed(*c.Before, *c.After)
		}
		if len(c.Changed) == 0 {
			continue
		}
		if d.PastDiff.Totals.Instances++; len(d.Instances) < d.Limit {
			d.Instances = append(d.Instances, c)
		}
	}
}

func (d *difference) compareOthers() {
	now := others(d.fold)
	keys := slices.Collect(maps.Keys(d.others))
	for key := range now {
		if _, had := d.others[key]; !had {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, b [2]string) int { return slices.Compare(a[:], b[:]) })
	for _, key := range keys {
		if d.others[key] == now[key] {
			continue
		}
		if d.PastDiff.Totals.Others++; len(d.Others) < d.Limit {
			d.Others = append(d.Others, api.OtherChange{Kind: key[0], Name: key[1], Before: d.others[key], After: now[key]})
		}
	}
}

func counts(f *fold.Fold) map[string]int64 {
	found := map[string]int64{}
	for _, status := range statuses {
		found[status] = f.Count(status)
	}
	return found
}

func registered(f *fold.Fold) map[string]*api.PastInstance {
	found := map[string]*api.PastInstance{}
	for i := range f.Instances() {
		if i.Registered {
			is := instanceOf(f, i)
			found[i.ID] = &is
		}
	}
	return found
}

// others returns the leader, pauses, limits and schedules as texts, by kind and name.
func others(f *fold.Fold) map[[2]string]string {
	found := map[[2]string]string{}
	if leader, term := f.Leader(); leader != "" {
		found[[2]string{"leader", ""}] = fmt.Sprintf("%s, term %d", leader, term)
	}
	for queue, pause := range f.Pauses() {
		if pause != "" {
			found[[2]string{"pause", queue}] = pause
		}
	}
	for key, limit := range f.Limits() {
		found[[2]string{"limit", key}] = fmt.Sprint(limit)
	}
	for c := range f.Schedules() {
		text, err := jsontext.Marshal(api.PastSchedule{
			ID: c.ID, Cron: c.Cron, Timezone: c.Timezone, Paused: c.Paused, NextTick: fold.ISO(c.Next), Fired: c.Fired,
		})
		if err != nil {
			text = []byte(err.Error())
		}
		found[[2]string{"schedule", c.ID}] = string(text)
	}
	return found
}

// names returns the names of both, sorted.
func names[V, W any](a map[string]V, b map[string]W) []string {
	all := slices.Collect(maps.Keys(a))
	for name := range b {
		if _, had := a[name]; !had {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all
}

// changed returns the names of the members that differ, as JSON has them.
func changed[V any](before, after V) []string {
	var list []string
	a, b := reflect.ValueOf(before), reflect.ValueOf(after)
	for i := range a.NumField() {
		if !reflect.DeepEqual(a.Field(i).Interface(), b.Field(i).Interface()) {
			name, _, _ := strings.Cut(a.Type().Field(i).Tag.Get("json"), ",")
			list = append(list, name)
		}
	}
	return list
}

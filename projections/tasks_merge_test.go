package projections_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/claudebench/claudebench/events"
)

// Updates that name the changed members are merged into the row, whatever came before in the batch.
func TestTaskRowsMergeMetadata(t *testing.T) {
	t.Parallel()
	const told = `{"keep":1.0,"a":[],"<":"\u00e9"}`
	whole := events.TaskChanges{Metadata: json.RawMessage(`{"a":2.50,"z":{}}`)}
	member := func(text string) events.TaskChanges {
		return events.TaskChanges{MetadataChanges: json.RawMessage(text)}
	}
	for name, c := range map[string]struct {
		created string
		updates []events.TaskChanges
		want    string
	}{
		"a log of version 1":          {told, []events.TaskChanges{whole}, `{"a":2.50,"z":{}}`},
		"version 2":                   {told, []events.TaskChanges{member(`{"new":{},"a":12345678901234567890}`)}, `{"keep":1.0,"a":12345678901234567890,"<":"\u00e9","new":{}}`},
		"null is a value":             {told, []events.TaskChanges{member(`{"a":null}`)}, `{"keep":1.0,"a":null,"<":"\u00e9"}`},
		"version 2 on none":           {"null", []events.TaskChanges{member(`{"a":1.0}`)}, `{"a":1.0}`},
		"version 2 behind version 1":  {told, []events.TaskChanges{whole, member(`{"b":1}`), member(`{"a":[],"b":2}`)}, `{"a":[],"z":{},"b":2}`},
		"version 1 behind version 2":  {told, []events.TaskChanges{member(`{"b":1}`), whole}, `{"a":2.50,"z":{}}`},
		"an update of something else": {told, []events.TaskChanges{{}}, told},
	} {
		for size := 1; size <= 4; size += 3 {
			t.Run(fmt.Sprintf("%s, in batches of %d", name, size), func(t *testing.T) {
				t.Parallel()
				b := newBundle(t)
				b.prepare(t)
				h := newHistory()
				id := h.create("x", 50, c.created)
				for _, u := range c.updates {
					h.update(id, u)
				}
				for _, batch := range batches(events.ID{}, h.events, func() int { return size }) {
					b.apply(t, batch)
				}
				var got string
				if err := b.db.QueryRow(t.Context(), `SELECT metadata::text FROM tasks`).Scan(&got); err != nil {
					t.Fatal(err)
				}
				if got != c.want {
					t.Errorf("the row has %s, want %s", got, c.want)
				}
			})
		}
	}
}

// More rows than are merged at a time.
func TestTaskRowsMergeMetadataOfMany(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.prepare(t)
	h := newHistory()
	var ids []string
	for range 100 {
		ids = append(ids, h.create("x", 50, `{"a":1}`))
	}
	b.apply(t, oneBatch(h.events))
	created := len(h.events)
	for _, id := range ids {
		h.update(id, events.TaskChanges{MetadataChanges: json.RawMessage(fmt.Sprintf(`{"b":%q}`, id))})
	}
	b.apply(t, events.Batch{After: h.events[created-1].ID, Entries: oneBatch(h.events[created:]).Entries})
	for id, row := range h.wantedRows() {
		if got := b.plainRows(t)[id]; got != row {
			t.Errorf("row of %s: %s, want %s", id, got, row)
		}
	}
}

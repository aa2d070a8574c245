package events

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// poll makes one attempt at a batch. Without entries, cursor is the entry behind which to wait for
// more.
func (r *Reader) poll(ctx context.Context, after ID) (batch Batch, cursor string, err error) {
	anchor := after.String()
	count := int64(r.config.BatchSize) + 1
	w := walk{batch: Batch{After: after}, limit: r.config.BatchSize}

	var page []redis.XMessage
	if !after.IsZero() {
		page, err = r.client.XRangeN(ctx, r.space.Events(), anchor, "+", count).Result()
		if err != nil {
			return Batch{}, "", fmt.Errorf("XRANGE: %w", err)
		}
	}
	if len(page) > 0 && page[0].ID == anchor {
		w.expected = after.Seq + 1
		_, err := decodeEntry(page[0])
		w.badLast = err != nil
		page = page[1:]
		count-- // the anchor was one of them
	} else {
		// The anchor is not there, or there is none. What that means, and what comes first, must be
		// told from one moment of the log.
		var log logState
		page, log, err = r.snapshot(ctx, anchor, count)
		if err != nil {
			return Batch{}, "", err
		}
		if len(page) > 0 && page[0].ID == anchor {
			return r.poll(ctx, after) // there after all: another server answered
		}
		if !after.IsZero() && after.Seq >= log.base {
			if log.length == 0 && log.seq >= after.Seq {
				// A flush has removed the entries and not yet said so. The next event does.
				return w.batch, anchor, nil
			}
			return Batch{}, "", r.rolledBack(ctx, after)
		}
		w.startAt(log)
	}

	for {
		err := w.take(page)
		r.tellForeign(w.foreign)
		w.foreign = nil
		if len(page) > 0 {
			anchor = page[len(page)-1].ID
		}
		switch {
		case len(w.batch.Entries) > 0:
			// A gap behind them is met again by the next Read, at its start.
			w.batch.Skipped = w.batch.Entries[0].ID.Seq - after.Seq - 1
			return w.batch, "", nil
		case err != nil:
			if w.floor > 0 {
				return Batch{}, "", err
			}
			// Lawful if a flush or a trim came up to here and left the anchor.
			_, log, serr := r.snapshot(ctx, anchor, 1)
			if serr != nil {
				return Batch{}, "", serr
			}
			if w.floor = log.base; w.gap > w.floor {
				return Batch{}, "", err
			}
			continue
		case int64(len(page)) < count:
			return w.batch, anchor, nil
		}
		// A whole page of foreign entries: look behind it.
		page, err = r.client.XRangeN(ctx, r.space.Events(), "("+anchor, "+", count).Result()
		if err != nil {
			return Batch{}, "", fmt.Errorf("XRANGE: %w", err)
		}
	}
}

// logState is what cb:log says, and how many entries there are.
type logState struct {
	known  bool  // cb:log is there
	base   int64 // the first seq still kept
	seq    int64 // the last seq given
	ms     int64
	length int64
}

// snapshot reads a page and the log's own hash at one moment.
func (r *Reader) snapshot(ctx context.Context, start string, count int64) ([]redis.XMessage, logState, error) {
	var (
		page   *redis.XMessageSliceCmd
		length *redis.IntCmd
		fields *redis.SliceCmd
	)
	_, err := r.client.TxPipelined(ctx, func(p redis.Pipeliner) error {
		page = p.XRangeN(ctx, r.space.Events(), start, "+", count)
		length = p.XLen(ctx, r.space.Events())
		fields = p.HMGet(ctx, r.space.Log(), "base", "seq", "ms")
		return nil
	})
	if err != nil {
		return nil, logState{}, fmt.Errorf("snapshot of the log: %w", err)
	}
	log := logState{length: length.Val()}
	for i, into := range []*int64{&log.base, &log.seq, &log.ms} {
		text, ok := fields.Val()[i].(string)
		if !ok {
			continue
		}
		if *into, err = strconv.ParseInt(text, 10, 64); err != nil {
			return nil, logState{}, fmt.Errorf("%s holds %q: %w", r.space.Log(), text, err)
		}
	}
	log.known = log.seq > 0
	log.base = max(log.base, 1)
	return page.Val(), log, nil
}

func (r *Reader) rolledBack(ctx context.Context, after ID) error {
	last, err := r.Last(ctx)
	if err != nil {
		return err
	}
	return &RolledBackError{Checkpoint: after, LastInLog: last}
}

// walk takes entries one after the other and holds them to the log's rules.
type walk struct {
	batch    Batch
	limit    int
	expected int64 // the seq that comes next; 0 if any may
	// floor allows the next entry any seq up to it: where entries were removed from the log's
	// start, the first one left has seq base (or less, while the removal is still to come).
	floor   int64
	badLast bool  // the entry before counts but does not decode
	gap     int64 // the seq that came where another was expected
	foreign []ForeignEntry
}

// startAt expects the first event that the log keeps. Where cb:log is lost, that is whatever comes
// first, which is also what the scripts take for it.
func (w *walk) startAt(log logState) {
	if log.known {
		w.expected, w.floor = log.base, log.base
	}
}

// take adds entries to the batch up to a gap, the limit, or the page's end.
func (w *walk) take(page []redis.XMessage) error {
	for i := range page {
		if len(w.batch.Entries) == w.limit {
			return nil
		}
		entry, err := decodeEntry(page[i])
		switch {
		case err != nil && (w.expected == 0 || entry.ID.Seq != w.expected):
			w.foreign = append(w.foreign, ForeignEntry{EntryID: page[i].ID, Reason: err})
			continue
		case err != nil:
			entry.Err = err
		case w.expected == 0 || entry.ID.Seq == w.expected:
		case entry.ID.Seq <= w.floor && entry.ID.Seq > w.batch.After.Seq:
		case w.badLast && entry.ID.Seq == w.expected-1:
			// The one before was a stranger that had guessed the seq: this is the event.
		default:
			w.gap = entry.ID.Seq
			return &GapError{Expected: w.expected, Got: entry.ID.Seq, At: entry.ID}
		}
		w.batch.Entries = append(w.batch.Entries, entry)
		w.badLast = err != nil
		w.expected = entry.ID.Seq + 1
		w.floor = 0
	}
	return nil
}

// decodeEntry reads what one entry of the stream holds. With an error, the entry still has its ID
// (if that is one of ours) and Raw (if there is any).
func decodeEntry(m redis.XMessage) (Entry, error) {
	id, err := ParseID(m.ID)
	if err != nil {
		return Entry{}, err
	}
	entry := Entry{ID: id}
	data, ok := m.Values["data"].(string)
	if !ok {
		return entry, &DecodeError{Reason: `the entry has no field "data"`}
	}
	entry.Raw = []byte(data)
	envelope, err := Decode(entry.Raw)
	if err != nil {
		return entry, err
	}
	if envelope.ID != id {
		return entry, &DecodeError{Member: "id", Reason: "is not the entry's"}
	}
	entry.Envelope = envelope
	return entry, nil
}

// tellForeign reports entries that were not told of before: at the tail a reader meets the same
// ones at each round trip.
func (r *Reader) tellForeign(list []ForeignEntry) {
	if len(list) == 0 {
		return
	}
	fresh := list[:0]
	r.mu.Lock()
	for _, f := range list {
		if id := entryIDOf(f.EntryID); r.lastForeign.before(id) {
			r.lastForeign = id
			fresh = append(fresh, f)
		}
	}
	r.mu.Unlock()
	switch {
	case len(fresh) == 0:
	case r.config.OnForeign != nil:
		for _, f := range fresh {
			r.config.OnForeign(f)
		}
	default:
		r.config.Logger.Warn("passed over entries in the log that are no events; something else writes to this stream",
			"stream", r.space.Events(), "entries", len(fresh), "first", fresh[0].EntryID, "reason", fresh[0].Reason)
	}
}

// entryID is where an entry stands in a stream. Redis lets strangers choose IDs that no event has:
// up to twice as high.
type entryID struct{ ms, seq uint64 }

// entryIDOf reads an ID as Redis gives it.
func entryIDOf(text string) entryID {
	ms, seq, _ := strings.Cut(text, "-")
	var id entryID
	id.ms, _ = strconv.ParseUint(ms, 10, 64) // Redis gives nothing else
	id.seq, _ = strconv.ParseUint(seq, 10, 64)
	return id
}

func (id entryID) before(other entryID) bool {
	return id.ms < other.ms || id.ms == other.ms && id.seq < other.seq
}

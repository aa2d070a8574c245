package events

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

// poll makes one attempt to read a batch of up to limit entries. If there are none, cursor is the
// entry after which to wait.
func (r *Reader) poll(ctx context.Context, after ID, limit int) (batch Batch, cursor string, err error) {
	anchor := after.String()
	count := int64(limit) + 1
	w := walk{batch: Batch{After: after, derived: new(derived)}, limit: limit}

	var page []redis.XMessage
	if !after.IsZero() {
		page, err = r.client.XRangeN(ctx, r.space.Events(), anchor, "+", count).Result()
		if err != nil {
			return Batch{}, "", fmt.Errorf("XRANGE: %w", err)
		}
	}
	if len(page) > 0 && page[0].ID == anchor {
		w.expected = after.Seq + 1
		w.badLast = decodeEntry(page[0]).Err != nil
		page = page[1:]
		count-- // the anchor was one of them
	} else {
		// The anchor is missing, or there is none. The reason and the first entry must come from
		// one snapshot of the log.
		var log logState
		page, log, err = r.snapshot(ctx, anchor, count)
		if err != nil {
			return Batch{}, "", err
		}
		if len(page) > 0 && page[0].ID == anchor {
			return r.poll(ctx, after, limit) // there after all: another server replied
		}
		if !after.IsZero() && after.Seq >= log.base {
			if log.length == 0 && log.seq >= after.Seq {
				// A flush has removed the entries and not yet written its event. The next event
				// explains it.
				return w.batch, anchor, nil
			}
			return Batch{}, "", r.rolledBack(ctx, after)
		}
		if r.config.Archive != nil {
			batch, err := r.archived(ctx, after, limit, decodeAll(page[:min(1, len(page))]), log)
			if err != nil || len(batch.Entries) > 0 {
				return batch, "", err
			}
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
			// The next Read finds a gap behind them, at its start.
			w.batch.Skipped = w.batch.Entries[0].ID.Seq - after.Seq - 1
			return w.batch, "", nil
		case err != nil:
			if w.floor > 0 {
				return Batch{}, "", err
			}
			// This is legal if a flush or trim came up to here and left the anchor.
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
		// The whole page is foreign entries: look behind it.
		page, err = r.client.XRangeN(ctx, r.space.Events(), "("+anchor, "+", count).Result()
		if err != nil {
			return Batch{}, "", fmt.Errorf("XRANGE: %w", err)
		}
	}
}

// logState is the content of cb:log, and the number of entries.
type logState struct {
	known  bool  // cb:log exists
	base   int64 // the first seq still kept
	seq    int64 // the last seq given
	ms     int64
	length int64
}

// snapshot reads a page and the log's hash atomically.
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

// walk takes entries one by one and checks them against the log's rules.
type walk struct {
	batch    Batch
	limit    int
	expected int64 // the next seq; 0 accepts any
	// floor is the highest seq that the next entry may have without a gap. If entries were removed
	// from the log's start, the first one left has seq base, or less while the removal continues.
	floor   int64
	badLast bool  // the entry before has a seq but does not decode
	gap     int64 // the seq that came instead of the expected one
	foreign []ForeignEntry
	// archived is the lowest seq that may come from the archive.
	archived int64
}

// startAt expects the first event that the log keeps. If cb:log is lost, that is the first entry,
// which is also what the scripts assume.
func (w *walk) startAt(log logState) {
	if log.known {
		w.expected, w.floor = log.base, log.base
	}
}

// take adds entries to the batch up to a gap, the limit, or the page's end.
func (w *walk) take(page []redis.XMessage) error {
	entries := decodeAll(page)
	w.batch.Entries = entries[:0]
	for i, entry := range entries {
		if len(w.batch.Entries) == w.limit {
			return nil
		}
		switch {
		case entry.Err != nil && (w.expected == 0 || entry.ID.Seq != w.expected):
			w.foreign = append(w.foreign, ForeignEntry{EntryID: page[i].ID, Reason: entry.Err})
			continue
		case entry.Err != nil:
		case w.expected == 0 || entry.ID.Seq == w.expected:
		case entry.ID.Seq <= w.floor && entry.ID.Seq > w.batch.After.Seq:
		case w.badLast && entry.ID.Seq == w.expected-1:
			// The entry before was foreign and had guessed the seq: this is the event.
		default:
			w.gap = entry.ID.Seq
			return &GapError{Expected: w.expected, Got: entry.ID.Seq, At: entry.ID}
		}
		w.batch.Entries = append(w.batch.Entries, entry)
		w.badLast = entry.Err != nil
		w.expected = entry.ID.Seq + 1
		w.floor = 0
	}
	return nil
}

// manyEntries is how many entries are worth a goroutine.
const manyEntries = 200

// decodeAll decodes the entries of a page. It does parts of a long page side by side, because Redis
// and its client have their share of the work done by then.
func decodeAll(page []redis.XMessage) []Entry {
	all := make([]Entry, len(page))
	each := max(manyEntries, (len(page)+runtime.GOMAXPROCS(0)-1)/runtime.GOMAXPROCS(0))
	var parts sync.WaitGroup
	for from := 0; from < len(page); from += each {
		part := func() {
			for i := from; i < min(from+each, len(page)); i++ {
				all[i] = decodeEntry(page[i])
			}
		}
		if from+each < len(page) {
			parts.Go(part)
		} else {
			part()
		}
	}
	parts.Wait()
	return all
}

// decodeEntry decodes one entry of the stream. With Err set, the entry still has its ID, if it is one
// of ours, and Raw, if there is any.
func decodeEntry(m redis.XMessage) Entry {
	id, err := ParseID(m.ID)
	if err != nil {
		return Entry{Err: err}
	}
	data, ok := m.Values["data"].(string)
	if !ok {
		return DecodeEntry(id, nil)
	}
	return DecodeEntry(id, []byte(data))
}

// DecodeEntry returns the entry of the log with an ID and the bytes of its envelope, as a [Reader]
// does; nil if the entry has none. The entry shares memory with raw: do not change raw afterwards.
func DecodeEntry(id ID, raw []byte) Entry {
	if raw == nil {
		return Entry{ID: id, Err: &DecodeError{Reason: `the entry has no field "data"`}}
	}
	entry := Entry{ID: id, Raw: raw}
	switch envelope, err := Decode(entry.Raw); {
	case err != nil:
		entry.Err = err
	case envelope.ID != id:
		entry.Err = &DecodeError{Member: "id", Reason: "does not match the entry's ID"}
	default:
		entry.Envelope = envelope
	}
	return entry
}

// tellForeign reports entries that were not reported before. At the tail, a reader sees the same
// entries at each round trip.
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
		r.config.Logger.Warn("skipped entries of the log that are not events; another program writes to this stream",
			"stream", r.space.Events(), "entries", len(fresh), "first", fresh[0].EntryID, "reason", fresh[0].Reason)
	}
}

// entryID is an entry's position in the stream. Redis lets other programs choose IDs that no event
// has: up to twice as high.
type entryID struct{ ms, seq uint64 }

// entryIDOf parses an ID from Redis.
func entryIDOf(text string) entryID {
	ms, seq, _ := strings.Cut(text, "-")
	var id entryID
	id.ms, _ = strconv.ParseUint(ms, 10, 64) // Redis returns nothing else
	id.seq, _ = strconv.ParseUint(seq, 10, 64)
	return id
}

func (id entryID) before(other entryID) bool {
	return id.ms < other.ms || id.ms == other.ms && id.seq < other.seq
}

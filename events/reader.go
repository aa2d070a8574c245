package events

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/internal/keys"
)

// Entry is one event as read from the log.
type Entry struct {
	ID       ID
	Envelope Envelope // zero if Err is set
	Raw      []byte   // the envelope's JSON as written; do not change it
	// Err is set if the entry has the next seq but cannot be decoded. Such an event is a bug in the
	// program that wrote it. It is delivered so that each reader can decide, and so that no reader
	// stops at it forever.
	Err error
}

// Batch is a run of entries without a gap.
type Batch struct {
	After   ID      // where reading started
	Entries []Entry // never empty when Read returns it
	// Skipped counts the events between After and the first entry that a flush or trim removed.
	Skipped int64

	derived  *derived // nil in a batch that no Reader made
	gaps     []Gap    // of an HTTPReader
	position ID       // of an HTTPReader: the last event that the coordinator looked at
}

type derived struct {
	once  sync.Once
	value any
}

// Once returns the value of the first derive that is called for this batch or a copy of it, so that
// handlers that share a batch derive something from it once. They must all derive the same, and must
// not change it.
func (b Batch) Once(derive func() any) any {
	if b.derived == nil {
		return derive()
	}
	b.derived.once.Do(func() { b.derived.value = derive() })
	return b.derived.value
}

// Join returns one batch with the entries of batches that follow each other.
func Join(batches []Batch) Batch {
	if len(batches) == 1 {
		return batches[0]
	}
	joined := Batch{derived: new(derived)}
	for i, b := range batches {
		if i == 0 {
			joined.After, joined.Skipped = b.After, b.Skipped
		}
		joined.Entries = append(joined.Entries, b.Entries...)
		joined.gaps = append(joined.gaps, b.gaps...)
		joined.position = b.position
	}
	return joined
}

// Last returns the ID to read after next: the last entry's, unless events after it were left out.
func (b Batch) Last() ID {
	switch {
	case !b.position.IsZero():
		return b.position
	case len(b.Entries) == 0:
		return b.After
	}
	return b.Entries[len(b.Entries)-1].ID
}

// next returns the ID of the first entry; without entries, that of the event to read after.
func (b Batch) next() ID {
	if len(b.Entries) == 0 {
		return b.Last()
	}
	return b.Entries[0].ID
}

// ForeignEntry is an entry of the stream that is not an event: it does not decode and does not have
// the next event's seq. Readers skip it.
type ForeignEntry struct {
	EntryID string // as Redis has it
	Reason  error
}

// ReaderConfig configures a [Reader]. The zero value is valid.
type ReaderConfig struct {
	Namespace string // the coordinator's --namespace; required on a cluster
	BatchSize int    // the most entries in a batch, default 1000
	// how long one wait at the tail lasts, default 1s; ending a Read may take as long
	Block time.Duration
	// Linger is how long a reader at the tail waits for more events. On a busy log it then makes at
	// most one round trip each Linger. The default 0 returns every event at once.
	Linger time.Duration
	// OnForeign is called for foreign entries, normally once for each. The default logs them.
	OnForeign func(ForeignEntry)
	// Archive has the events that are no longer in Redis. Readers then get the archived and the live
	// log as one. Nil means that these events are gone.
	Archive Archive
	// SinceFlush leaves out of the archive what is older than the last flush, as if the flush had
	// removed it there too.
	SinceFlush bool
	Logger     *slog.Logger // default slog.Default()
}

func (c *ReaderConfig) setDefaults() {
	if c.BatchSize == 0 {
		c.BatchSize = 1000
	}
	if c.Block == 0 {
		c.Block = time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
}

func (c ReaderConfig) validate(client redis.UniversalClient) error {
	if client == nil {
		return errors.New("a Redis client is required")
	}
	if _, cluster := client.(*redis.ClusterClient); cluster && c.Namespace == "" {
		return errors.New("a Redis Cluster needs a namespace")
	}
	if c.BatchSize < 0 {
		return fmt.Errorf("batch size %d is negative", c.BatchSize)
	}
	if c.Block < time.Millisecond {
		return fmt.Errorf("block %s is shorter than a millisecond", c.Block)
	}
	if c.Linger < 0 {
		return fmt.Errorf("linger %s is negative", c.Linger)
	}
	return nil
}

// Reader reads the log in order. It keeps no position: each call says where to start. It is safe
// for concurrent use. It leaves no goroutine behind and does not own the client.
type Reader struct {
	client redis.UniversalClient
	space  keys.Space
	config ReaderConfig

	mu          sync.Mutex
	archiveFits bool      // the archive is of this log
	lastForeign entryID   // the newest foreign entry that was reported
	atTail      time.Time // when a poll last reached the log's end
}

// NewReader checks the configuration. It does not call Redis.
func NewReader(client redis.UniversalClient, config ReaderConfig) (*Reader, error) {
	config.setDefaults()
	if err := config.validate(client); err != nil {
		return nil, fmt.Errorf("new event reader: %w", err)
	}
	space, err := keys.New(config.Namespace)
	if err != nil {
		return nil, fmt.Errorf("new event reader: %w", err)
	}
	return &Reader{client: client, space: space, config: config}, nil
}

// Read returns the events after the given one. It waits until there is at least one. The zero ID
// reads from the first event kept.
//
// Each round trip starts at the event after, inclusive. If that event is gone and no flush or trim
// removed it, the log was rolled back and Read returns a [*RolledBackError]. A missing seq that no
// flush or trim explains is a [*GapError]; the events before the gap are returned first. Any other
// error comes from Redis or the context, and calling again with the same ID is safe.
func (r *Reader) Read(ctx context.Context, after ID) (Batch, error) {
	if err := r.pace(ctx); err != nil {
		return Batch{}, err
	}
	for {
		batch, cursor, err := r.poll(ctx, after, r.config.BatchSize)
		if err != nil {
			return Batch{}, r.wrap(ctx, after, err)
		}
		if len(batch.Entries) < r.config.BatchSize {
			r.mu.Lock()
			r.atTail = time.Now()
			r.mu.Unlock()
		}
		if len(batch.Entries) > 0 {
			return batch, nil
		}
		woken, err := r.wait(ctx, cursor)
		if err != nil {
			return Batch{}, r.wrap(ctx, after, err)
		}
		if woken {
			if err := sleep(ctx, r.config.Linger); err != nil {
				return Batch{}, err
			}
		}
	}
}

// wrap adds what failed. Errors of the context and of the log itself stay as they are.
func (r *Reader) wrap(ctx context.Context, after ID, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if IsBroken(err) {
		return err
	}
	// The deadline of ctx is also that of the connection, which may notice first that it has passed.
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		return context.DeadlineExceeded
	}
	return fmt.Errorf("read the log after %s: %w", after, err)
}

// pace delays a reader that was at the tail until Linger has passed.
func (r *Reader) pace(ctx context.Context) error {
	r.mu.Lock()
	rest := time.Until(r.atTail.Add(r.config.Linger))
	r.mu.Unlock()
	return sleep(ctx, rest)
}

const (
	// minWait is the shortest time until a deadline that is waited for in Redis, which may end a
	// wait a tenth of a second late. If the deadline passed first, the client would close its
	// connection. A reader with less time asks again and again, every minPause at most.
	minWait  = 300 * time.Millisecond
	minPause = 10 * time.Millisecond
)

// wait blocks until the log has an entry after cursor, for at most Block.
func (r *Reader) wait(ctx context.Context, cursor string) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	block := r.config.Block
	if deadline, ok := ctx.Deadline(); ok {
		rest := time.Until(deadline)
		if rest < minWait {
			return false, sleep(ctx, max(r.config.Linger, minPause))
		}
		block = min(block, rest-minWait/2)
	}
	err := r.client.XRead(ctx, &redis.XReadArgs{
		Streams: []string{r.space.Events(), cursor},
		Count:   1,
		Block:   block,
	}).Err()
	if errors.Is(err, redis.Nil) {
		return false, ctx.Err()
	}
	return err == nil, err
}

// IsBroken reports whether err means that the log itself has changed ([*RolledBackError] or
// [*GapError]), so that a retry cannot help.
func IsBroken(err error) bool {
	var rolledBack *RolledBackError
	var gap *GapError
	return errors.As(err, &rolledBack) || errors.As(err, &gap)
}

// sleep waits for d. If ctx ends first, it returns ctx's error.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

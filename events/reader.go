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

// Entry is one event as the log gave it.
type Entry struct {
	ID       ID
	Envelope Envelope // zero when Err is set
	Raw      []byte   // the envelope's JSON as it was written; do not change it
	// Err says why the entry, which has its place in the log's count, cannot be decoded. Such an
	// event is somebody's bug; it is delivered so that each reader decides for itself, and so that
	// nobody stops at it for ever.
	Err error
}

// Batch is a run of entries without a gap.
type Batch struct {
	After   ID      // where reading started
	Entries []Entry // never empty when Read gave it
	// Skipped counts the events between After and the first entry that the log no longer keeps: a
	// flush or a trim removed them. It is zero otherwise.
	Skipped int64
}

// Last is where to go on: the last entry's ID.
func (b Batch) Last() ID {
	if len(b.Entries) == 0 {
		return b.After
	}
	return b.Entries[len(b.Entries)-1].ID
}

// ForeignEntry is something in the log that is no event: an entry that does not decode as an event
// and does not stand where the next event must. Readers pass over it.
type ForeignEntry struct {
	EntryID string // as Redis has it
	Reason  error
}

// ReaderConfig configures a [Reader]; its zero value is good.
type ReaderConfig struct {
	Namespace string        // the coordinator's --namespace; on a cluster required
	BatchSize int           // the most entries in a batch, default 1000
	Block     time.Duration // how long one wait at the tail lasts, default 1s; ending a Read may take as long
	// Linger makes a reader at the tail wait so long for more to come, so that on a busy log it
	// makes at most one round trip each Linger. Default 0: every event as soon as it is there.
	Linger time.Duration
	// OnForeign is told of foreign entries, normally once each. Default: the Logger is.
	OnForeign func(ForeignEntry)
	Logger    *slog.Logger // default slog.Default()
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

// Reader reads the log in order. It keeps no position: each call says where it starts. It is safe
// for concurrent use and owns neither client nor goroutine.
type Reader struct {
	client redis.UniversalClient
	space  keys.Space
	config ReaderConfig

	mu          sync.Mutex
	lastForeign entryID   // the newest foreign entry told of
	atTail      time.Time // when a poll last came to the log's end
}

// NewReader checks the configuration; it does not call Redis.
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

// Read returns the events after the one that was read last, waiting until there is one. The zero ID
// reads from the first event kept.
//
// Reading starts at the event named by after, inclusive, at each round trip: if it is gone, and no
// flush or trim removed it, the log was rolled back and Read fails with [*RolledBackError]. A
// missing seq that no flush or trim explains is a [*GapError]; the events before the gap are given
// first. Any other error is Redis's or the context's, and calling again with the same after is
// safe.
func (r *Reader) Read(ctx context.Context, after ID) (Batch, error) {
	if err := r.pace(ctx); err != nil {
		return Batch{}, err
	}
	for {
		batch, cursor, err := r.poll(ctx, after)
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

// wrap says what failed; a context's own end and the log's own faults speak for themselves.
func (r *Reader) wrap(ctx context.Context, after ID, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if IsBroken(err) {
		return err
	}
	return fmt.Errorf("read the log after %s: %w", after, err)
}

// pace keeps a reader that was at the tail from coming back before it has lingered.
func (r *Reader) pace(ctx context.Context) error {
	r.mu.Lock()
	rest := time.Until(r.atTail.Add(r.config.Linger))
	r.mu.Unlock()
	return sleep(ctx, rest)
}

// wait blocks until the log has an entry behind cursor, for Block at most.
func (r *Reader) wait(ctx context.Context, cursor string) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	block := r.config.Block
	if deadline, ok := ctx.Deadline(); ok {
		// Never under a millisecond: 0 would block for ever.
		block = max(min(block, time.Until(deadline)), time.Millisecond)
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

// IsBroken reports whether err means that the log itself is not what was read before
// ([*RolledBackError] or [*GapError]), so that trying again cannot help.
func IsBroken(err error) bool {
	var rolledBack *RolledBackError
	var gap *GapError
	return errors.As(err, &rolledBack) || errors.As(err, &gap)
}

// sleep waits for d or for ctx's end, and gives ctx's error.
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

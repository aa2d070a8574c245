package projections

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/lease"
)

// Status is the state of a projection.
type Status struct {
	Name       string    `json:"name"`
	Checkpoint events.ID `json:"checkpoint"`
	// Lag is how many events of the log are not applied yet, or -1 if Redis or the store does not
	// reply.
	Lag int64 `json:"lag"`
	// Holder reports that this coordinator runs the projection.
	Holder bool `json:"holder"`
	// Applied counts the events that this coordinator has applied, BadEntries the entries it
	// skipped because they are not events, and Rebuilds how often it restarted because the log was
	// rolled back.
	Applied    int64 `json:"applied"`
	BadEntries int64 `json:"badEntries"`
	Rebuilds   int64 `json:"rebuilds"`
	// Error is why the projection does not move, or why Lag is unknown; "" if there is no error.
	Error string `json:"error,omitempty"`
	// FailingSince is when Error began; zero if there is no error.
	FailingSince time.Time `json:"failingSince,omitzero"`
}

// Status asks the stores for the state of each projection. A store that does not reply delays it
// until ctx ends.
func (r *Runner) Status(ctx context.Context) []Status {
	last, readErr := r.reader.Last(ctx)
	all := make([]Status, len(r.loops))
	var asked sync.WaitGroup
	for i, l := range r.loops {
		asked.Go(func() {
			s := l.status()
			at, err := l.projection.Checkpoint(ctx)
			switch {
			case err != nil:
				if s.Error == "" {
					s.Error = err.Error()
				}
			case readErr != nil:
				s.Checkpoint = at
				if s.Error == "" {
					s.Error = readErr.Error()
				}
			default:
				s.Checkpoint = at
				s.Lag = max(last.Seq-at.Seq, 0)
			}
			all[i] = s
		})
	}
	asked.Wait()
	return all
}

// Progress returns the state of each projection that this coordinator knows itself, without asking
// a store. Lag is -1, and Checkpoint is from when this coordinator last ran the projection.
func (r *Runner) Progress() []Status {
	all := make([]Status, len(r.loops))
	for i, l := range r.loops {
		all[i] = l.status()
	}
	return all
}

// progress is what a loop records about itself.
type progress struct {
	mu       sync.Mutex
	position events.ID
	prepared bool
	holder   bool
	count    int64
	bad      int64
	rebuilds int64
	err      error
	stage    stage // what must work to clear err
	since    time.Time
	failedAt time.Time // the last time
}

// stage orders what a projection needs in order to move.
type stage int

const (
	stageLease stage = iota // Redis replies
	stageStart              // the store replies
	stageBatch              // a batch is applied
)

func (l *loop) status() Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := Status{
		Name: l.projection.Name(), Checkpoint: l.position, Lag: -1, Holder: l.holder,
		Applied: l.count, BadEntries: l.bad, Rebuilds: l.rebuilds, FailingSince: l.since,
	}
	if l.err != nil {
		s.Error = l.err.Error()
	}
	return s
}

func (p *progress) hold(held bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.holder = held
}

// keepsFailing reports whether the projection has failed for longer than a lease lasts and failed
// again just now. A long migration after a failure does not count as another failure.
func (p *progress) keepsFailing() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.since.IsZero() && time.Since(p.since) > lease.TTL && time.Since(p.failedAt) < failedJustNow
}

// failedJustNow is longer than the time from one attempt to the end of the next if the store hangs.
const failedJustNow = maxConnect + 2*time.Second

func (p *progress) at() events.ID {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.position
}

// known returns the last event that the projection has applied, false before it has started or while
// its store fails.
func (p *progress) known() (events.ID, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.position, p.prepared
}

// moveTo sets where the projection starts from.
func (p *progress) moveTo(at events.ID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.position = at
}

func (p *progress) isPrepared() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.prepared
}

func (p *progress) prepare(done bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.prepared = done
}

func (p *progress) rebuilt() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rebuilds++
}

// applied counts a batch, which clears any failure.
func (p *progress) applied(log *slog.Logger, batch events.Batch) {
	var bad []events.Entry
	for _, entry := range batch.Entries {
		if entry.Err != nil {
			bad = append(bad, entry)
		}
	}
	p.mu.Lock()
	p.position = batch.Last()
	p.count += int64(len(batch.Entries) - len(bad))
	p.bad += int64(len(bad))
	p.mu.Unlock()
	p.worked(log, stageBatch)
	for _, entry := range bad {
		log.Error("skipped an entry of the log that is not an event; another program writes to this stream",
			"entry", entry.ID, "error", entry.Err)
	}
}

// failed records why the projection does not move, and logs the failure when it begins. The end of
// ctx is not a failure.
func (p *progress) failed(ctx context.Context, log *slog.Logger, at stage, err error) {
	if ctx.Err() != nil {
		return
	}
	p.mu.Lock()
	begins := p.since.IsZero()
	if begins {
		p.since = time.Now()
	}
	p.err, p.stage, p.failedAt = err, max(at, p.stage), time.Now()
	p.mu.Unlock()
	if begins {
		log.Error("the projection has stopped; retrying", "error", err)
	}
}

// relieved clears any failure: another coordinator now runs the projection and reports its state.
func (p *progress) relieved() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err, p.stage, p.since = nil, stageLease, time.Time{}
}

// worked clears a failure of this stage or an earlier one.
func (p *progress) worked(log *slog.Logger, at stage) {
	p.mu.Lock()
	since := p.since
	over := !since.IsZero() && p.stage <= at
	if over {
		p.err, p.stage, p.since = nil, stageLease, time.Time{}
	}
	p.mu.Unlock()
	if over {
		log.Info("the projection works again", "after", time.Since(since).Round(time.Millisecond))
	}
}

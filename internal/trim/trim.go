// Package trim removes the beginning of the log from Redis: what is older than a retention, archived,
// sealed where the log is sealed, and read by every reader that Redis knows. The coordinator's loop
// and `claudebench trim` call it.
//
// One script decides and removes, in slices that are short enough for other clients not to notice.
// Without an archive it removes nothing. If Redis fails, the next round continues; nothing is
// removed twice or halfway, because a slice is one script.
package trim

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/keys"
	"github.com/claudebench/claudebench/lua"
)

// Kept is the number of events at the end of the log that are never removed. Readers find their place
// by them.
const Kept = 1000

const (
	firstSlice = 500  // entries of the first slice, and of the smallest
	mostSlice  = 2000 // entries of the largest slice
	lastSlice  = 10_000
	// goodTime is how long a slice may take, seen from here. A longer one makes the next one smaller.
	goodTime = 2 * time.Millisecond
	// After a slice the others have Redis for pauseTimes as long as the slice took.
	pauseTimes = 4
	minPause   = 2 * time.Millisecond
	maxPause   = 100 * time.Millisecond
)

// Errors of Plan and Trim.
var (
	// ErrNoArchive means that nothing is archived, so nothing may be removed.
	ErrNoArchive = errors.New("nothing of this log is archived, so nothing can be trimmed: archive it first, with 'serve --archive-dir DIR' or " +
		"'claudebench archive'")
	// ErrFlushing means that a flush runs.
	ErrFlushing = errors.New("a flush is running; try again when it has ended")
	// ErrTooManyCheckpoints means that the script would take too long.
	ErrTooManyCheckpoints = errors.New("more than 2,000 services have a checkpoint in Redis; delete those of services that no longer exist " +
		"('claudebench checkpoints delete NAME')")
)

// Policy says what is kept. An event is removed if it exceeds Age or Events. A zero field has no limit.
type Policy struct {
	Age    time.Duration // by the clock of Redis
	Events int64         // at least Kept
	// Ignore has the names of readers that do not hold back: checkpoints, the projections tasks and
	// events, and groups as stream:group, where the stream is events or the type of a topic.
	Ignore []string
}

// Active reports whether the policy removes anything.
func (p Policy) Active() bool { return p.Age > 0 || p.Events > 0 }

// Validate returns an error that names the flag of a field that cannot work.
func (p Policy) Validate() error {
	switch {
	case p.Age < 0:
		return fmt.Errorf("--retain must not be negative, but is %s", p.Age)
	case p.Events != 0 && p.Events < Kept:
		return fmt.Errorf("--retain-events must be at least %d, but is %d", Kept, p.Events)
	}
	for _, name := range p.Ignore {
		if name == "" || strings.ContainsAny(name, "\n") {
			return fmt.Errorf("%q is not the name of a subscriber; 'claudebench checkpoints' lists them", name)
		}
		if name == "state" || name == "metrics" {
			return fmt.Errorf("the projection %s cannot be ignored: it would be wrong afterwards", name)
		}
	}
	return nil
}

// Holder is something that keeps events in the log beyond the retention.
type Holder struct {
	Kind   string `json:"kind"`   // archive, seal, projection, checkpoint or group
	Name   string `json:"name"`   // as in Policy.Ignore
	Needs  string `json:"needs"`  // the first ID that it needs
	Events int64  `json:"events"` // that the log keeps only for it and those like it
}

// Report is the result of a round.
type Report struct {
	// First is the first event in the log after the round.
	First events.ID `json:"first"`
	// Retained is the first event that the retention keeps, and Limit the first one that must stay:
	// the earlier of Retained and what a holder needs.
	Retained events.ID `json:"retained"`
	Limit    events.ID `json:"limit"`
	// Removed is the number of entries removed; of a plan, those that would be.
	Removed int64 `json:"removed"`
	// HeldBack is the number of events that Holders, the worst of them first, keep beyond the retention.
	HeldBack int64    `json:"heldBack"`
	Holders  []Holder `json:"holders"`
	// Longest is the time of the slowest slice, seen from here.
	Longest time.Duration `json:"-"`
}

type readArgs struct {
	To, Ignored string
	Types       []string
}

type trimArgs struct {
	To      string
	Most    int
	Ignored string
	Types   []string
}

type topicArgs struct{ Type, First string }

var (
	readTrim  = lua.Bind[readArgs]("read_trim")
	trimLog   = lua.Bind[trimArgs]("trim_log")
	trimTopic = lua.Bind[topicArgs]("trim_topic")
)

// Trimmer trims the log of a namespace.
type Trimmer struct {
	client  redis.UniversalClient
	scripts lua.Scripts
	log     *events.Reader // without the archive
	types   []string
}

// New returns a Trimmer. It has a runner of its own, so that no command waits in its queue. It does
// not call Redis.
func New(client redis.UniversalClient, space keys.Space) (*Trimmer, error) {
	return with(lua.NewRunner(client), client, space)
}

// NewPlanner returns a Trimmer that can only plan. Its Redis user needs no right to write, and its
// Redis may be a replica.
func NewPlanner(client redis.UniversalClient, space keys.Space) (*Trimmer, error) {
	return with(lua.NewReadOnlyRunner(client), client, space)
}

func with(runner *lua.Runner, client redis.UniversalClient, space keys.Space) (*Trimmer, error) {
	log, err := events.NewReader(client, events.ReaderConfig{Namespace: space.Namespace(), OnForeign: func(events.ForeignEntry) {}})
	if err != nil {
		return nil, err
	}
	t := &Trimmer{client: client, scripts: runner.On(space.Log()), log: log}
	for _, typ := range events.Types() {
		t.types = append(t.types, string(typ))
	}
	return t, nil
}

// reply is what read_trim and trim_log return.
type reply struct {
	Refused string    `json:"refused"`
	First   events.ID `json:"first"`
	Limit   string    `json:"limit"`
	Removed int64     `json:"removed"`
	Holders []Holder  `json:"holders"`
}

// err returns why the script refused, nil if it did not.
func (r reply) err() error {
	switch r.Refused {
	case "", "empty":
		return nil
	case "archive":
		return ErrNoArchive
	case "flush":
		return ErrFlushing
	case "checkpoints":
		return ErrTooManyCheckpoints
	}
	return fmt.Errorf("the script refused for an unknown reason, %q", r.Refused)
}

// into puts a reply into a report.
func (r reply) into(report *Report) error {
	if r.Refused == "empty" {
		return nil
	}
	limit, err := events.ParseID(r.Limit)
	if err != nil {
		return fmt.Errorf("read how far the log may be trimmed: %w", err)
	}
	report.First, report.Limit, report.Holders, report.HeldBack = r.First, limit, r.Holders, 0
	if len(r.Holders) > 0 {
		report.HeldBack = r.Holders[0].Events
	}
	return nil
}

// Plan says what Trim would remove now. It changes nothing.
func (t *Trimmer) Plan(ctx context.Context, p Policy) (report Report, err error) {
	if err := p.Validate(); err != nil {
		return report, err
	}
	to, err := t.retained(ctx, p)
	if err != nil {
		return report, err
	}
	var r reply
	if err := readTrim.Decode(ctx, t.scripts, readArgs{to.String(), ignored(p), t.types}, &r); err != nil {
		return report, err
	}
	if err := r.err(); err != nil {
		return report, err
	}
	report.Retained = to
	if err := r.into(&report); err != nil {
		return report, err
	}
	report.Removed = max(report.Limit.Seq-report.First.Seq, 0)
	return report, nil
}

// Trim removes what the policy allows. keep is called before each slice; an error of it ends the
// round. The report of a round that failed has what was removed before.
func (t *Trimmer) Trim(ctx context.Context, p Policy, keep func(context.Context) error) (report Report, err error) {
	if err := p.Validate(); err != nil {
		return report, err
	}
	to, err := t.retained(ctx, p)
	if err != nil {
		return report, err
	}
	report.Retained = to
	most := firstSlice
	for {
		if err := keep(ctx); err != nil {
			return report, err
		}
		began := time.Now()
		var r reply
		if err := trimLog.Decode(ctx, t.scripts, trimArgs{to.String(), most, ignored(p), t.types}, &r); err != nil {
			return report, err
		}
		took := time.Since(began)
		if err := r.err(); err != nil {
			return report, err
		}
		if err := r.into(&report); err != nil {
			return report, err
		}
		report.Removed += r.Removed
		report.Longest = max(report.Longest, took)
		switch {
		case r.Removed == 0 && most >= lastSlice || report.First.Compare(report.Limit) >= 0:
			return report, t.topics(ctx, report)
		case r.Removed == 0:
			most = lastSlice // perhaps the nodes of this stream are long
		case took > goodTime:
			most = max(most/2, firstSlice)
		default:
			most = min(most*2, mostSlice)
		}
		if err := pause(ctx, min(max(pauseTimes*took, minPause), maxPause)); err != nil {
			return report, err
		}
	}
}

// topics trims the topics to the log's first event.
func (t *Trimmer) topics(ctx context.Context, report Report) error {
	if report.Removed == 0 {
		return nil
	}
	for _, typ := range t.types {
		began := time.Now()
		if _, err := trimTopic.Run(ctx, t.scripts, topicArgs{typ, report.First.String()}); err != nil {
			return err
		}
		if err := pause(ctx, min(pauseTimes*time.Since(began), maxPause)); err != nil {
			return err
		}
	}
	return nil
}

// ignored returns the names as the scripts take them.
func ignored(p Policy) string { return strings.Join(p.Ignore, "\n") }

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("trim the log: %w", ctx.Err())
	}
}

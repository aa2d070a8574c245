package doctor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/subscribers"
	"github.com/claudebench/claudebench/projections"
)

// Lags of a projection from which on it warns and fails.
const (
	slow  = 10 * time.Second
	stuck = 5 * time.Minute
)

// checkProjections checks that the projections follow the log, and that somebody runs them.
func checkProjections(ctx context.Context, e *exam) (list []Finding) {
	if _, err := e.inViews(); projections.NotMigrated(err) {
		list = append(list, Finding{
			Level: Unknown, Text: "tasks, events: the database has no tables of this fleet", Do: "see the finding about migrations",
		})
	} else if err != nil {
		list = append(list, e.unread("the checkpoints in Postgres", err))
	}
	all, err := e.readers()
	if err != nil {
		return append(list, e.unread("the projections", err))
	}
	alive, err := e.alive(ctx)
	if err != nil {
		return append(list, e.unread("the coordinators", err))
	}
	var fine []string
	worst := time.Duration(0)
	for _, s := range all.Subscribers {
		if s.Kind != subscribers.Projection || s.Lag == nil {
			continue
		}
		held, err := e.Redis.Exists(ctx, e.Keys.Lease(s.Name)).Result()
		if err != nil {
			list = append(list, e.unread("the lease of the projection "+s.Name, err))
			continue
		}
		lag := age(s.LagMs)
		if f := judgeProjection(s.Name, *s.Lag, lag, held > 0 || len(alive) == 0); f.Level != OK {
			list = append(list, f)
			continue
		}
		fine, worst = append(fine, s.Name), max(worst, lag)
	}
	if len(fine) > 0 {
		f := ok("%s: up to date", strings.Join(fine, ", "))
		if worst > 0 {
			f.Text = fmt.Sprintf("%s: at most %s behind the log", strings.Join(fine, ", "), span(worst))
		}
		list = append(list, f)
	}
	return list
}

// judgeProjection judges a projection by its lag in events and in time. run says that a coordinator
// runs it, or that there is none that could.
func judgeProjection(name string, lag int64, behind time.Duration, run bool) Finding {
	f := ok("%s: %s behind the log, for %s", name, amount(lag, "event"), span(behind))
	if lag == 0 {
		return f
	}
	switch {
	case !run && name == "events":
		f.Level = Warn
		f.Text += "; no coordinator keeps the event index"
		f.Do = "start a coordinator without --no-event-index; or, if the index is no longer wanted, free its space with TRUNCATE events"
	case !run:
		f.Level = Warn
		if behind > slow {
			f.Level = Fail
		}
		f.Text += "; no coordinator runs this projection"
		f.Do = "look at /readyz and the logs of the coordinators: they say why they do not run it"
	case behind > stuck:
		f.Level = Fail
		f.Do = "look at /readyz and the logs of the coordinators; 'claudebench rebuild " + name + "' builds it again if it is damaged"
	case behind > slow:
		f.Level = Warn
		f.Do = "wait if it has much to catch up with; if the lag grows, look at the load of its store"
	}
	return f
}

// forgotten is how far behind the log a checkpoint or a consumer group may be.
const forgotten = time.Hour

// checkCheckpoints checks that no service is left behind.
func checkCheckpoints(_ context.Context, e *exam) (list []Finding) {
	all, err := e.readers()
	if err != nil {
		return []Finding{e.unread("the checkpoints", err)}
	}
	l, err := e.log()
	if err != nil {
		return []Finding{e.unread("the log", err)}
	}
	n := int64(0)
	for _, s := range all.Subscribers {
		if s.Kind != subscribers.Checkpoint {
			continue
		}
		n++
		if f := judgeCheckpoint(s, l); f.Level != OK {
			list = append(list, f)
		}
	}
	if all.Total > 0 {
		list = append(list, Finding{
			Level: Unknown, Text: fmt.Sprintf("there are %s more checkpoints and groups than doctor reads", strconv.FormatInt(all.Total-int64(len(all.Subscribers)), 10)),
			Do: "delete what no longer exists: 'claudebench checkpoints delete NAME', or XGROUP DESTROY in redis-cli",
		})
	}
	if len(list) == 0 {
		list = append(list, noneBehind(n, "service with a checkpoint", "services with a checkpoint"))
	}
	return list
}

func judgeCheckpoint(s api.SubscriberInfo, l logView) Finding {
	f := ok("%s", s.Name)
	at := int64(0)
	if s.Seq != nil {
		at = *s.Seq
	}
	behind := age(s.LagMs)
	switch {
	case at > l.Seq:
		f.Level = Fail
		f.Text = fmt.Sprintf("the checkpoint of %q (seq %d) is after the end of the log (seq %d): the log has lost its end, or the checkpoint is of another log", s.Name, at, l.Seq)
		f.Do = fmt.Sprintf("find out what restored the Redis; let the service begin again: stop it, 'claudebench checkpoints delete %s', start it", s.Name)
	case s.Position != "" && at+1 < l.Base && !l.Flushed:
		f.Level = Fail
		f.Text = fmt.Sprintf("the service %q has read up to seq %d, and the log begins at %d: it will miss %s", s.Name, at, l.Base, amount(l.Base-1-at, "event"))
		f.Do = fmt.Sprintf("let the service handle the gap (OnGap); if it no longer exists, 'claudebench checkpoints delete %s'", s.Name)
	case s.Lag != nil && *s.Lag > 0 && behind > forgotten:
		f.Level = Warn
		f.Text = fmt.Sprintf("the service %q is %s behind, for %s; its checkpoint last moved %s", s.Name, amount(*s.Lag, "event"), span(behind), s.UpdatedAt)
		f.Do = fmt.Sprintf("start the service; if it no longer exists, 'claudebench checkpoints delete %s'", s.Name)
	}
	return f
}

// checkGroups checks that no consumer group is left behind, and that none holds events for long.
func checkGroups(ctx context.Context, e *exam) (list []Finding) {
	all, err := e.readers()
	if err != nil {
		return []Finding{e.unread("the consumer groups", err)}
	}
	// The script finds no groups if the user may not see them.
	if err := e.Redis.XInfoGroups(ctx, e.Keys.Events()).Err(); err != nil && !strings.Contains(err.Error(), "no such key") {
		return []Finding{e.unread("the consumer groups", err)}
	}
	l, err := e.log()
	if err != nil {
		return []Finding{e.unread("the log", err)}
	}
	n := int64(0)
	for _, s := range all.Subscribers {
		if s.Kind != subscribers.Group {
			continue
		}
		n++
		name := fmt.Sprintf("the group %q of %s", s.Name, s.Stream)
		if behind := age(s.LagMs); behind > forgotten && (s.Lag == nil || *s.Lag > 0) {
			list = append(list, Finding{
				Level: Warn, Text: fmt.Sprintf("%s has not read the events of the last %s", name, span(behind)),
				Do: fmt.Sprintf("start its members; if the group no longer exists, run XGROUP DESTROY %s %s in redis-cli", e.Keys.Topic(s.Stream), s.Name),
			})
		}
		if s.Pending == nil || *s.Pending == 0 {
			continue
		}
		oldest, err := e.oldestPending(ctx, s)
		if err != nil {
			list = append(list, e.unread("what "+name+" holds", err))
			continue
		}
		if held := l.now().Sub(oldest); !oldest.IsZero() && held > forgotten {
			list = append(list, Finding{
				Level: Warn, Text: fmt.Sprintf("%s holds %s, the oldest for %s", name, amount(*s.Pending, "unacknowledged event"), span(held)),
				Do: "look at the logs of its members: they handle too slowly, hang, or do not run",
			})
		}
	}
	if len(list) == 0 {
		list = append(list, noneBehind(n, "consumer group", "consumer groups"))
	}
	return list
}

func noneBehind(n int64, one, many string) Finding {
	switch n {
	case 0:
		return ok("no %s", one)
	case 1:
		return ok("one %s, not left behind", one)
	}
	return ok("%d %s, none left behind", n, many)
}

// oldestPending returns the time of the oldest event that a group holds; the zero time if it holds
// none.
func (e *exam) oldestPending(ctx context.Context, s api.SubscriberInfo) (at time.Time, err error) {
	streams := []string{e.Keys.Topic(s.Stream)} // the log is the topic "events"
	if s.Stream != "events" {
		streams = append(streams, e.Keys.GroupStream(s.Stream, s.Name))
	}
	for _, stream := range streams {
		pending, err := e.Redis.XPending(ctx, stream, s.Name).Result()
		if redis.HasErrorPrefix(err, "NOGROUP") || errors.Is(err, redis.Nil) {
			continue
		}
		if err != nil {
			return at, err
		}
		id, err := events.ParseID(pending.Lower)
		if err != nil {
			continue // it holds none
		}
		if t := time.UnixMilli(id.MS); at.IsZero() || t.Before(at) {
			at = t
		}
	}
	return at, nil
}

// fullOfParked is how many parked events are nearly too many. At 10,000, groups stop parking.
const fullOfParked = 9000

// checkParked counts the events that consumer groups have given up.
func checkParked(ctx context.Context, e *exam) []Finding {
	n, err := e.Redis.XLen(ctx, e.Keys.Parked()).Result()
	if err != nil {
		return []Finding{e.unread("the parked events", err)}
	}
	if n == 0 {
		return []Finding{ok("no parked events")}
	}
	counts, err := e.Redis.HGetAll(ctx, e.Keys.ParkedCounts()).Result()
	if err != nil {
		return []Finding{e.unread("the parked events", err)}
	}
	var groups []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		if counts[name] != "0" && len(groups) < 5 {
			groups = append(groups, name+" "+counts[name])
		}
	}
	f := Finding{
		Level: Warn, Text: fmt.Sprintf("%s: %s", amount(n, "parked event"), strings.Join(groups, ", ")),
		Do: "look at them with 'claudebench parked list', then 'claudebench parked retry' or 'parked drop' (docs/operations.md)",
	}
	if n >= fullOfParked {
		f.Level, f.Text = Fail, f.Text+"; at 10,000, groups stop parking, and failed events hold up their members"
	}
	return []Finding{f}
}

// age returns a time of an API's object, 0 if it is unknown.
func age(ms *int64) time.Duration {
	if ms == nil {
		return 0
	}
	return time.Duration(*ms) * time.Millisecond
}

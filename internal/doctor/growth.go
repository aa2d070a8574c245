package doctor

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/redisconn"
)

// recent is the time whose events say how fast the log grows. A fixed time, so that a burst after a
// flush is not taken for the rule.
const recent = time.Hour

// Time until the memory is full from which on growth warns and fails.
const (
	soon    = 7 * 24 * time.Hour
	tooSoon = 24 * time.Hour
)

// checkGrowth estimates when the log will have filled the memory, if the last hour is the rule.
func checkGrowth(ctx context.Context, e *exam) []Finding {
	l, err := e.log()
	if err != nil {
		return []Finding{e.unread("the events of the last hour", err)}
	}
	if l.Events == 0 {
		return []Finding{ok("the log is empty")}
	}
	s, err := e.settings()
	if err != nil {
		return []Finding{e.unread("the memory of Redis", err)}
	}
	from := l.now().Add(-recent).UnixMilli()
	first, err := e.Redis.XRangeN(ctx, e.Keys.Events(), strconv.FormatInt(from, 10), "+", 1).Result()
	if err != nil {
		return []Finding{e.unread("the events of the last hour", err)}
	}
	g := growth{entries: l.Events}
	if len(first) > 0 {
		if id, err := events.ParseID(first[0].ID); err == nil {
			g.recent = max(l.Last.Seq-id.Seq+1, 1)
		}
	}
	g.bytes, err = e.Redis.MemoryUsage(ctx, e.Keys.Events(), 100).Result()
	if err != nil {
		return []Finding{e.unread("the memory of the log", err)}
	}
	return []Finding{g.judge(s)}
}

// growth is how large the log is, and how fast it grows.
type growth struct {
	entries, bytes int64 // of the log
	recent         int64 // events of the last hour
}

func (g growth) judge(s redisconn.Settings) Finding {
	each := float64(g.bytes) / float64(max(g.entries, 1))
	perHour := each * float64(g.recent)
	f := ok("the log has %s in %s; the last hour added %s, about %s", amount(g.entries, "event"), size(g.bytes), amount(g.recent, "event"), size(int64(perHour)))
	most, _ := room(s)
	if most == 0 || s.UsedMemory < 0 {
		f.Level, f.Do = Unknown, "permit INFO to the Redis user, so that doctor can tell when the memory is full"
		f.Text += "; how much memory is left is unknown"
		return f
	}
	if g.recent == 0 {
		return f
	}
	hours := max(float64(most-s.UsedMemory), 0) / perHour
	if hours > 10*365*24 {
		f.Text += "; at this rate Redis's memory lasts for more than 10 years"
		return f
	}
	left := time.Duration(hours * float64(time.Hour))
	f.Text += fmt.Sprintf("; at this rate Redis's memory is full in %s", span(left))
	switch {
	case left < tooSoon:
		f.Level = Fail
	case left < soon:
		f.Level = Warn
	default:
		return f
	}
	f.Do = "give Redis more memory (maxmemory), or remove old events (docs/guarantees.md); find who creates so many events in 'claudebench tail'"
	return f
}

// span returns a duration for people.
func span(d time.Duration) string {
	days := d.Hours() / 24
	switch {
	case days >= 730:
		return fmt.Sprintf("%.0f years", days/365)
	case days >= 2:
		return fmt.Sprintf("%.0f days", days)
	case d >= 2*time.Hour:
		return fmt.Sprintf("%.0f hours", d.Hours())
	case d >= 2*time.Minute:
		return fmt.Sprintf("%.0f minutes", d.Minutes())
	case d >= time.Second:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Millisecond).String()
}

// amount returns a number with its noun.
func amount(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text + " " + noun + "s"
}

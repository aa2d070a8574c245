package doctor

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/claudebench/claudebench/events"
)

// checkLog checks that the log is there, that this program can read it, and that it has as many
// entries as its numbers say.
func checkLog(ctx context.Context, e *exam) []Finding {
	l, err := e.log()
	if err != nil {
		return []Finding{e.unread("the log", err)}
	}
	noted, err := e.Redis.HMGet(ctx, e.Keys.Log(), "format", "program").Result()
	if err != nil {
		return []Finding{e.unread("the format of the log", err)}
	}
	format, _ := noted[0].(string)
	program, _ := noted[1].(string)
	if newer, err := strconv.Atoi(format); err == nil && newer > events.Format {
		return []Finding{{
			Level: Fail, Text: (&events.NewerLogError{Format: int64(newer), Program: program}).Error(),
			Do: "replace this program, and every coordinator of its version, by the newer version",
		}}
	}
	if l.Seq == 0 && l.Events == 0 && format == "" {
		where := "the default namespace"
		if name := e.Keys.Namespace(); name != "" {
			where = fmt.Sprintf("namespace %q", name)
		}
		return []Finding{{
			Level: Fail, Text: where + " has no log in this Redis: no coordinator has ever started there, or Redis has lost its data",
			Do: "pass the right --redis-url and --namespace; if Redis has lost its data, restore it from a backup before a coordinator starts",
		}}
	}
	return []Finding{l.judge(e.Keys.Log())}
}

// judge compares the numbers of the log. key is that of its hash.
func (l logView) judge(key string) Finding {
	base := max(l.Base, 1)
	should := l.Seq - base + 1
	f := ok("the log has %s, seq %d to %d, as it should", amount(l.Events, "event"), l.First.Seq, l.Last.Seq)
	switch {
	case l.Events == 0 && should <= 0:
		f.Text = "the log is empty"
	case l.Events > 0 && l.Events == should && l.First.Seq == base && l.Last.Seq == l.Seq:
	case l.Events > 0 && l.First.Seq > base && l.Last.Seq == l.Seq && l.Events == l.Seq-l.First.Seq+1:
		f.Level = Warn
		f.Text = fmt.Sprintf("the log begins at seq %d, but should begin at %d: somebody trimmed it without setting base", l.First.Seq, base)
		f.Do = fmt.Sprintf("find out who did; then run HSET %s base %d in redis-cli", key, l.First.Seq)
	default:
		f.Level = Fail
		f.Text = fmt.Sprintf("the log should have %s, seq %d to %d, but the number of its entries is %d, from %s to %s",
			amount(max(should, 0), "event"), base, l.Seq, l.Events, l.First, l.Last)
		f.Do = "run 'claudebench verify', which names what is missing or too much"
	}
	return f
}

// leftBehind is how long a flush may be without a run that holds its lease. A coordinator takes it
// over before that.
const leftBehind = 10 * time.Second

// checkFlush checks that no flush was left behind half done.
func checkFlush(ctx context.Context, e *exam) []Finding {
	fields, err := e.Redis.HMGet(ctx, e.Keys.Log(), "flush", "flushPhase", "flushUntil", "fence").Result()
	if err != nil {
		return []Finding{e.unread("the state of flushes", err)}
	}
	l, err := e.log()
	if err != nil {
		return []Finding{e.unread("the time of Redis", err)}
	}
	text := make([]string, len(fields))
	for i, v := range fields {
		text[i], _ = v.(string)
	}
	until, _ := strconv.ParseInt(text[2], 10, 64)
	if text[0] == "" && text[3] == "" {
		return []Finding{ok("no flush is left behind")}
	}
	if silent := l.now().Sub(time.UnixMilli(until)); silent > leftBehind {
		f := Finding{
			Level: Warn, Text: fmt.Sprintf("a flush was left behind (%s) %s ago", text[1], span(silent)),
			Do: "start a coordinator of this version, or restart one: it finishes or undoes the flush within seconds",
		}
		if text[3] != "" {
			f.Level, f.Text = Fail, f.Text+", and its fence rejects every command"
		}
		return []Finding{f}
	}
	return []Finding{ok("a flush runs (%s)", text[1])}
}

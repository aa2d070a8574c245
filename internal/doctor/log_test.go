package doctor

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/claudebench/claudebench/events"
)

func TestLog(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	p.expect("log", Fail, fmt.Sprintf("namespace %q has no log", p.Keys.Namespace()))
	p.do("HSET", p.Keys.Log(), "format", events.Format)
	p.expect("log", OK, "the log is empty") // a coordinator has started
	p.events(10, time.Minute)
	p.expect("log", OK, "the log has 10 events, seq 1 to 10")
	p.do("XTRIM", p.Keys.Events(), "MAXLEN", 7)
	p.expect("log", Warn, "begins at seq 4, but should begin at 1")
	p.do("HSET", p.Keys.Log(), "base", 4)
	p.expect("log", OK, "seq 4 to 10")
	id := fmt.Sprintf("%d-6", p.now.Add(-time.Minute).UnixMilli())
	p.do("XDEL", p.Keys.Events(), id)
	p.expect("log", Fail, "should have 7 events, seq 4 to 10, but the number of its entries is 6")
	p.do("HSET", p.Keys.Log(), "format", events.Format+1, "program", "v9")
	p.expect("log", Fail, "v9")
	p.Redis = never(t)
	p.expect("log", Unknown, "does not reply")
}

func TestLogOfTheDefaultNamespace(t *testing.T) {
	t.Parallel()
	l := logView{Seq: 3, Base: 1, Events: 0}
	if f := l.judge("cb:log"); f.Level != Fail {
		t.Errorf("a log that lost its stream: %+v", f)
	}
	l = logView{Seq: 9, Base: 1, Events: 4, First: events.ID{MS: 1, Seq: 6}, Last: events.ID{MS: 2, Seq: 9}}
	if f := l.judge("cb:log"); f.Level != Warn || !strings.Contains(f.Do, "HSET cb:log base 6 ") {
		t.Errorf("a log that was trimmed by hand: %+v", f)
	}
	l = logView{Seq: 9, Base: 6, Events: 4, First: events.ID{MS: 1, Seq: 6}, Last: events.ID{MS: 2, Seq: 8}}
	if f := l.judge("cb:log"); f.Level != Fail {
		t.Errorf("a log without its end: %+v", f)
	}
}

func TestFlush(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	p.events(1, 0)
	p.expect("flush", OK, "no flush is left behind")
	p.do("HSET", p.Keys.Log(), "flush", "f", "flushPhase", "draining", "flushUntil", p.now.Add(time.Minute).UnixMilli())
	p.expect("flush", OK, "a flush runs (draining)")
	p.do("HSET", p.Keys.Log(), "flushUntil", p.now.Add(-time.Hour).UnixMilli())
	p.expect("flush", Warn, "left behind (draining) 60 minutes ago")
	p.do("HSET", p.Keys.Log(), "fence", "f", "flushPhase", "deleting")
	p.expect("flush", Fail, "rejects every command")
	p.Redis = never(t)
	p.expect("flush", Unknown, "does not reply")
}

func TestClocks(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	p.events(1, 0)
	p.expect("clocks", OK, "the clocks agree")
	p.events(1, -30*time.Second)
	p.expect("clocks", Warn, "ahead of the clock of Redis")
	p.events(1, -10*time.Minute)
	p.expect("clocks", Fail, "minutes ahead of the clock of Redis")
	p.Redis = never(t)
	p.expect("clocks", Unknown, "does not reply")

	now := time.Now()
	for _, at := range []time.Time{now.Add(-5 * time.Second), now.Add(6 * time.Second)} {
		expect(t, judgeClock("Postgres", at, now, now.Add(time.Second)), Warn, "the clocks of Postgres and of this machine are 5s apart")
	}
	for _, at := range []time.Time{now, now.Add(time.Minute), now.Add(-time.Second)} {
		if found := judgeClock("Redis", at, now, now.Add(time.Minute)); found != nil {
			t.Errorf("a clock within the time of the question: %+v", found)
		}
	}
	p = newPatient(t)
	p.events(1, 0)
	e := newExam(t.Context(), p.Options)
	l, err := e.log()
	if err != nil {
		t.Fatal(err)
	}
	e.log = func() (logView, error) {
		l.asked, l.answered = l.asked.Add(time.Hour), l.answered.Add(time.Hour)
		return l, nil
	}
	expect(t, p.examine(e, "clocks"), Warn, "the clocks of Redis and of this machine are 60 minutes apart")
}

func TestVerification(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	p.expect("verification", OK, "nothing to verify")
	p.events(1, time.Hour)
	p.expect("verification", OK, "no coordinator has verified the log yet, which is 60 minutes old")
	last := func(result string, ago time.Duration) {
		t.Helper()
		p.do("HSET", p.Keys.Verification(), "last", result, "lastAt", p.now.Add(-ago).UnixMilli())
	}
	last(`{"ok":true}`, 3*time.Hour)
	p.expect("verification", OK, "everything agreed with the log 3 hours ago")
	last(`{"ok":true}`, 40*24*time.Hour)
	p.expect("verification", Warn, "the last verification was 40 days ago")
	last(`{"ok":false,"error":"interrupted: its coordinator was stopped"}`, time.Hour)
	p.expect("verification", Warn, "proves nothing: interrupted")
	last(`{"ok":false,"damages":["t-1 is wrong","t-2 is wrong"],"damagesTotal":2}`, time.Hour)
	p.expect("verification", Fail, "found 2 damages, the first: t-1 is wrong")
	last(`{`, time.Hour)
	p.expect("verification", Unknown, "cannot be read")

	p = newPatient(t)
	p.events(1, 31*24*time.Hour)
	p.expect("verification", Warn, "no coordinator has ever verified the log, which is 31 days old")
}

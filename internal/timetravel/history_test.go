package timetravel_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/fleettest"
	"github.com/claudebench/claudebench/internal/timetravel"
)

func TestMain(m *testing.M) { fleettest.Main(m) }

func readerOf(t *testing.T, f *fleettest.Fleet) *events.Reader {
	t.Helper()
	reader, err := events.NewReader(f.Client, events.ReaderConfig{Namespace: f.Keys.Namespace(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return reader
}

func tell(t *testing.T, o timetravel.HistoryOptions) *timetravel.History {
	t.Helper()
	if o.Limit == 0 {
		o.Limit = 100
	}
	h, err := timetravel.Tell(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func types(h *timetravel.History) string {
	var all []string
	for _, s := range h.Events {
		all = append(all, string(s.Type))
	}
	return strings.Join(all, " ")
}

// lost creates a task whose worker leaves with it, and which another worker then completes.
func lost(f *fleettest.Fleet) (task, other string) {
	f.Register("w1", `["worker"]`, "")
	task, other = f.Create("one", ""), f.Create("two", `,"priority":1`)
	f.Claim("w1")
	f.OK("system.unregister", `{"instanceId":"w1"}`)
	f.SweepOnce()
	f.Register("w2", `["worker"]`, "")
	f.Claim("w2")
	f.OK("task.complete", `{"id":%q,"result":{"a":1}}`, task)
	return task, other
}

func TestHistoryOfATask(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		task, other := lost(f)
		subject, ok := timetravel.TaskSubject(task)
		if !ok {
			t.Fatal(task)
		}
		h := tell(t, timetravel.HistoryOptions{Subject: subject, Log: readerOf(t, f)})
		if want := "task.created task.claimed task.unassigned task.assigned task.claimed task.completed"; types(h) != want && types(h) != strings.Replace(want, "task.assigned ", "", 1) {
			t.Fatalf("got %s, want %s", types(h), want)
		}
		var gone *timetravel.Step
		var gaps int64
		for i := range h.Events {
			gaps += h.Events[i].GapMs
			if h.Events[i].Type == events.TypeTaskUnassigned {
				gone = &h.Events[i]
			}
		}
		if gone.Because == nil || gone.Because.Type != events.TypeInstanceUnregistered || gone.Because.About != "w1" {
			t.Errorf("why it was unassigned: %+v", gone.Because)
		}
		if details := gone.Details(); !strings.Contains(details, "instance_unregistered") || !strings.Contains(details, "because of instance.unregistered w1") {
			t.Errorf("details %q", details)
		}
		if gone.Status() != "in_progress → pending" || gone.Others(subject) != "w1" {
			t.Errorf("status %q, others %q", gone.Status(), gone.Others(subject))
		}
		sums := h.Totals
		if sums.Status != "completed" || sums.Events != int64(len(h.Events)) || sums.SpanMs != gaps || sums.Types["task.claimed"] != 2 ||
			sums.InStatusMs["pending"]+sums.InStatusMs["in_progress"] != gaps || len(h.Notes) != 0 {
			t.Errorf("%+v, notes %q", sums, h.Notes)
		}
		short := tell(t, timetravel.HistoryOptions{Subject: subject, Log: readerOf(t, f), Limit: 2})
		if all := h.Events[len(h.Events)-2:]; len(short.Events) != 2 || short.Events[0].ID != all[0].ID || short.Events[1].ID != all[1].ID ||
			short.LeftOut != int64(len(h.Events)-2) || short.Totals.Events != sums.Events {
			t.Errorf("the last two: %s, %+v", types(short), short.Totals)
		}
		text, err := json.Marshal(h)
		if err != nil || !strings.Contains(string(text), `"payload":{"id":"`+task) || !strings.Contains(string(text), `"because":{`) {
			t.Errorf("%s, %v", text, err)
		}

		f.OK("task.delete", `{"id":%q}`, other)
		subject, _ = timetravel.TaskSubject(other)
		if h := tell(t, timetravel.HistoryOptions{Subject: subject, Log: readerOf(t, f)}); h.Totals.Status != "deleted" || !strings.HasSuffix(h.Events[len(h.Events)-1].Status(), "→ deleted") {
			t.Errorf("%s, %+v", types(h), h.Totals)
		}
		subject, _ = timetravel.TaskSubject("t-99")
		if h := tell(t, timetravel.HistoryOptions{Subject: subject, Log: readerOf(t, f)}); h.Totals.Events != 0 {
			t.Errorf("a task that never was: %s", types(h))
		}
	})
}

func TestHistoryOfAnInstance(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		lost(f)
		h := tell(t, timetravel.HistoryOptions{Subject: timetravel.Subject{Instance: "w1"}, Log: readerOf(t, f)})
		if got := types(h); !strings.HasPrefix(got, "instance.registered") || !strings.Contains(got, "task.claimed instance.unregistered task.unassigned") {
			t.Errorf("got %s", got)
		}
		if h.Totals.Status != "" || h.Totals.InStatusMs != nil {
			t.Errorf("an instance has no status of a task: %+v", h.Totals)
		}
	})
}

// The index is read first, page by page, and the log behind what it has.
func TestHistoryFromIndexAndLog(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		task, _ := lost(f)
		subject, _ := timetravel.TaskSubject(task)
		whole := tell(t, timetravel.HistoryOptions{Subject: subject, Log: readerOf(t, f)})
		// The index has the first two events.
		at := whole.Events[1].ID
		var indexed []json.RawMessage
		for _, s := range whole.Events[:2] {
			text, err := s.Encode()
			if err != nil {
				t.Fatal(err)
			}
			indexed = append(indexed, text)
		}
		index := func(_ context.Context, cursor string) ([]json.RawMessage, string, events.ID, error) {
			if cursor == "" {
				return indexed[:1], "2", at, nil
			}
			return indexed[1:], "", at, nil
		}
		h := tell(t, timetravel.HistoryOptions{Subject: subject, Log: readerOf(t, f), Index: index})
		if types(h) != types(whole) || h.Totals.SpanMs != whole.Totals.SpanMs {
			t.Errorf("got %s, want %s", types(h), types(whole))
		}
		if h := tell(t, timetravel.HistoryOptions{Subject: subject, Index: index}); len(h.Events) != 2 {
			t.Errorf("the index alone: %s", types(h))
		}
	})
}

// Of a log that begins later, the history says so.
func TestHistoryOfATrimmedLog(t *testing.T) {
	t.Parallel()
	f := fleettest.New(t, fleettest.RealRedis(t), commands.Options{})
	task, _ := lost(f)
	subject, _ := timetravel.TaskSubject(task)
	whole := tell(t, timetravel.HistoryOptions{Subject: subject, Log: readerOf(t, f)})
	at := whole.Events[1].ID
	if err := f.Client.XTrimMinID(t.Context(), f.Keys.Events(), at.String()).Err(); err != nil {
		t.Fatal(err)
	}
	if err := f.Client.HSet(t.Context(), f.Keys.Log(), "base", at.Seq).Err(); err != nil {
		t.Fatal(err)
	}
	h := tell(t, timetravel.HistoryOptions{Subject: subject, Log: readerOf(t, f)})
	if len(h.Notes) != 1 || !strings.Contains(h.Notes[0], "begins with seq") || len(h.Events) != len(whole.Events)-1 {
		t.Errorf("notes %q of %s", h.Notes, types(h))
	}
	if h := tell(t, timetravel.HistoryOptions{Subject: timetravel.Subject{Instance: "w1"}, Log: readerOf(t, f)}); len(h.Notes) != 1 {
		t.Errorf("notes %q of %s", h.Notes, types(h))
	}
}

package ui_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/claudebench/claudebench/internal/browsertest"
)

func containsAny(text string, parts ...string) bool {
	return slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(text, part) })
}

// seqs returns the numbers of the events that the page of events shows, the newest first.
func seqs(tab *browsertest.Tab) []int {
	return browsertest.Eval[[]int](tab, `[...document.querySelectorAll("main ol button[aria-expanded]")].map((b) => Number(b.textContent))`)
}

// consecutive waits until the page shows the events up to last, and none is missing or twice.
func consecutive(t *testing.T, tab *browsertest.Tab, last int) {
	t.Helper()
	tab.Until(fmt.Sprintf("shows event %d first", last), func() bool {
		shown := seqs(tab)
		return len(shown) > 0 && shown[0] == last
	})
	shown := seqs(tab)
	for i := 1; i < len(shown); i++ {
		if shown[i] != shown[i-1]-1 {
			t.Errorf("the page shows %v: event %d follows %d", shown, shown[i-1], shown[i])
			return
		}
	}
}

// last returns the number of the last event in the log.
func (f *fleet) last() int {
	f.t.Helper()
	return int(f.call("audit.status", object{})["log"].(object)["lastSeq"].(float64))
}

func TestEventsAreLive(t *testing.T) {
	t.Parallel()
	f := start(t, nil).live()
	tab := f.at(t, "/ui/events", "events")
	consecutive(t, tab, f.last())
	tab.Sees("instance.failed", "quorum.decision.made", "batch.completed", "claimed by build-1, attempt 2")
	mark(tab)
	for i := range 40 {
		f.create(fmt.Sprintf("event number %d", i), nil)
	}
	consecutive(t, tab, f.last())
	tab.Sees("event number 39")

	// A pause, and on without a loss.
	tab.Find("button", "Pause").Click()
	status(tab, "Paused")
	for i := range 40 {
		f.create(fmt.Sprintf("paused number %d", i), nil)
	}
	f.caughtUp()
	tab.SeesNot("paused number")
	tab.Find("button", "Resume").Click()
	consecutive(t, tab, f.last())
	tab.Sees("paused number 0", "paused number 39")
	unmoved(tab)

	// Of what is long ago only the newest hundred are drawn. The payload of one, exactly, and its address.
	tab.Find("button", "Show older events").Click()
	tab.Find("button", "Payload of event 8").Click()
	tab.Sees(`"seconds": 0.10`, `"lines": 12345678901234567890`, "Entry ID", "Actor")
	tab.Find("link", "8").Click()
	ready(tab, "events")
	tab.Sees("Event 8", "task.completed", `"lines": 12345678901234567890`)
	if path := tab.Path(); path != "/ui/events?seq=8" {
		t.Errorf("the address is %s", path)
	}
	tab.Find("link", "Next event").Click()
	tab.Sees("Event 9")
	tab.Back()
	tab.Sees("Event 8")
	tab.Go("/ui/events?seq=987654")
	tab.Sees("The log has no such event.")
	for _, wrong := range []string{"0", "-1", "x", "1.5", "99999999999999999999"} {
		tab.Go("/ui/events?seq=" + wrong)
		ready(tab, "events")
		tab.SeesNot("Loading…", "NaN", "undefined")
	}
}

func TestEventsAreFiltered(t *testing.T) {
	t.Parallel()
	f := start(t, nil).live()
	tab := f.at(t, "/ui/events?instance=docs-1", "events")
	tab.Sees("registered with the roles worker, docs")
	tab.SeesNot("review-1")
	tab.Go("/ui/events")
	ready(tab, "events")
	tab.Find("searchbox", "Types").Fill("task.created, instance.*")
	tab.Find("button", "Filter").Click()
	ready(tab, "events")
	status(tab, "Live")
	id := f.create("of the wanted type", nil)
	f.register("reg-1", "worker") // claims nothing, and may be assigned the task
	tab.Sees("of the wanted type", "reg-1")
	tab.SeesNot("task.assigned")
	tab.Go("/ui/events?task=" + id)
	ready(tab, "events")
	f.call("task.update", object{"id": id, "updates": object{"priority": 99}})
	f.create("of another task", nil)
	tab.Sees("task.updated")
	tab.SeesNot("of another task")
	tab.Go("/ui/events?types=no*pe")
	tab.Expect("400")
	tab.Sees("The events cannot be followed.")
}

// What Redis lost is taken away, and what has its numbers now is shown, behind a line that says so.
func TestARollbackIsShown(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	b := f.standBetween(t)
	var own strings.Builder
	created := func(ms, seq int, text string) {
		fmt.Fprintf(&own, "id: %d-%d\nevent: task.created\ndata: {\"id\":\"%[1]d-%[2]d\",\"seq\":%[2]d,\"type\":\"task.created\",\"v\":1,\"timestamp\":%[1]d,\"actor\":\"a\",\"cause\":null,\"trace\":null,\"payload\":{\"id\":\"t-%[2]d\",\"text\":%[3]q,\"priority\":50}}\n\n", ms, seq, text)
	}
	created(1700000000000, 1001, "stays")
	created(1700000000001, 1002, "is lost")
	created(1700000000002, 1003, "is lost too")
	own.WriteString("event: gap\ndata: {\"from\":1002,\"to\":1003,\"reason\":\"rolled_back\"}\n\n")
	created(1700000000003, 1002, "has its number")
	b.streams(own.String())
	tab := browsertest.Open(t, b.url)
	tab.Go("/ui/events")
	tab.Sees("has its number", "Events 1,002 to 1,003 were lost by Redis; others have their numbers now.", "stays")
	tab.SeesNot("is lost")
	if shown := fmt.Sprint(seqs(tab)); shown != "[1002 1001]" {
		t.Errorf("the page shows %s", shown)
	}
}

// An export has each event once, byte for byte as the log has it.
func TestEventsAreExported(t *testing.T) {
	t.Parallel()
	f := start(t, nil).live()
	tab := f.at(t, "/ui/events", "events")
	// A download goes to a folder of the browser's; what is in it is the blob.
	browsertest.Eval[any](tab, `{ const create = URL.createObjectURL; URL.createObjectURL = (blob) => { window.exported = blob; return create.call(URL, blob); }; HTMLAnchorElement.prototype.click = function () { window.exportedAs = this.download; }; 0 }`)
	tab.Find("button", "Export…").Click()
	dialog := tab.Find("dialog", "Export events as JSON Lines")
	dialog.Find("combobox", "From").Choose("the beginning of the log")
	dialog.Find("button", "Export").Click()
	last := f.last()
	tab.Sees(fmt.Sprintf("%d events exported.", last))
	if name := browsertest.Eval[string](tab, "exportedAs"); !strings.HasSuffix(name, ".jsonl") {
		t.Errorf("the file is %s", name)
	}
	lines := bufio.NewScanner(strings.NewReader(browsertest.Eval[string](tab, "exported.text()")))
	lines.Buffer(nil, 1<<20)
	n := 0
	for lines.Scan() {
		n++
		var e struct {
			Seq  int
			Type string
		}
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil || e.Seq != n || e.Type == "" {
			t.Errorf("line %d is %s: %v", n, lines.Text(), err)
		}
		if n == 8 && !strings.Contains(lines.Text(), `"seconds":0.10,"lines":12345678901234567890`) {
			t.Errorf("line %d is %s", n, lines.Text())
		}
	}
	if n != last {
		t.Errorf("%d lines, want %d", n, last)
	}
}

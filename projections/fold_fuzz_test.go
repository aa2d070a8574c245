package projections

import (
	"errors"
	"iter"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/claudebench/claudebench/events"
)

// eventsOf reads events from a fuzzer's text: one a line, as `type payload`, or `type v2 payload`
// for another version.
func eventsOf(text string) []events.Envelope {
	var list []events.Envelope
	for line := range strings.SplitSeq(text, "\n") {
		typ, payload, _ := strings.Cut(line, " ")
		version := 1
		if len(payload) > 3 && payload[0] == 'v' && payload[1] >= '1' && payload[1] <= '9' && payload[2] == ' ' {
			version, payload = int(payload[1]-'0'), payload[3:]
		}
		id := events.ID{MS: 1_700_000_000_000 + int64(len(list)), Seq: int64(len(list)) + 1}
		e := events.Envelope{ID: id, Seq: id.Seq, Type: events.Type(typ), V: version, Timestamp: id.MS, Payload: []byte(payload)}
		// A projection only gets what an envelope can hold.
		data, err := e.Encode()
		if err != nil {
			continue
		}
		if e, err = events.Decode(data); err == nil {
			list = append(list, e)
		}
	}
	return list
}

// golden returns the golden events whose file's name matches a pattern, by that name in its order.
func golden(f *testing.F, pattern string) iter.Seq2[string, events.Envelope] {
	f.Helper()
	files, err := filepath.Glob(filepath.Join("../events/testdata", pattern))
	if err != nil || len(files) == 0 {
		f.Fatalf("no golden files: %v", err)
	}
	return func(yield func(string, events.Envelope) bool) {
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			e, err := events.Decode([]byte(strings.TrimSpace(string(data))))
			if err != nil {
				f.Fatal(err)
			}
			if !yield(filepath.Base(file), e) {
				return
			}
		}
	}
}

// FuzzFolds folds arbitrary events. Each projection accepts a batch or returns a typed error, the
// same each time, and its writes depend only on the events.
func FuzzFolds(f *testing.F) {
	var all []string
	for _, e := range golden(f, "*.json") {
		line := string(e.Type) + " v" + strconv.Itoa(e.V) + " " + string(e.Payload)
		all = append(all, line)
		f.Add(line)
		for _, wrong := range []string{"{}", "[]", "null", "v9 {}", `{"id":7}`, `{"id":"t-0","taskId":"t-99999999999999999999"}`, `{"id":"t--1"}`, `{"roles":{}}`} {
			f.Add(string(e.Type) + " " + wrong)
		}
	}
	f.Add(strings.Join(all, "\n"))
	f.Add("circuit.opened {}\nsystem.flushed {}\nsystem.flushed {\"postgres\":{\"tasksDeleted\":-1}}")
	f.Add(`task.created v2 {"id":"t-1","text":"x","runAt":"never"}`)
	f.Add(`task.created v2 {"id":"t-1","status":"?","runAt":null,"retry":[]}` + "\n" + `task.cancel_requested {"id":"t-1"}` + "\n" +
		`task.cancelled {"id":"t-1","workerId":null}` + "\n" + `task.revived {"id":"t-1"}` + "\n" + `task.retried {"id":"t-1","error":"\u0000"}` + "\n" +
		`task.progressed {"id":"t-1","message":"\ud800","timeoutAt":null}`)
	f.Add(`task.created {"id":"t-1","text":"\ud800\u0000","priority":-99999999999,"metadata":{"a":1e999}}` + "\n" +
		`task.claimed {"taskId":"t-1","workerId":"w","attempt":9223372036854775807,"waited":-9223372036854775808}` + "\n" +
		`task.failed {"id":"t-1","workerId":"","duration":9223372036854775807,"previousStatus":"?"}` + "\n" + `task.deleted {"id":"t-1"}`)
	f.Fuzz(func(t *testing.T, text string) {
		list := eventsOf(text)
		if half := len(list) / 2; half > 0 {
			parts := []events.Batch{batchOf(list[:half]), batchOf(list[half:])}
			if got, want := factsOf(gathered(parts)), factsOf(batchOf(list)); !reflect.DeepEqual(got, want) {
				t.Fatalf("joined, the events are read as\n%+v\nand not as\n%+v", got, want)
			}
		}
		for _, fold := range []func([]events.Envelope) (any, error){foldState, foldMetrics, foldTasks} {
			first, err := fold(list)
			if err != nil && !errors.Is(err, events.ErrMalformed) && !errors.Is(err, events.ErrUnknownType) && !errors.Is(err, events.ErrUnknownVersion) {
				t.Fatalf("refused by an error of another kind: %v", err)
			}
			second, again := fold(list)
			if (err == nil) != (again == nil) || err != nil && err.Error() != again.Error() {
				t.Fatalf("first %v, then %v", err, again)
			}
			if err == nil && !reflect.DeepEqual(first, second) {
				t.Fatalf("the same events gave\n%v\nand then\n%v", first, second)
			}
		}
	})
}

func batchOf(list []events.Envelope) events.Batch {
	var b events.Batch
	for _, e := range list {
		b.Entries = append(b.Entries, events.Entry{ID: e.ID, Envelope: e})
	}
	return b
}

// added folds one event, as foldAll does.
func added(e *events.Envelope, add func(*events.Envelope, *fact) error) error {
	var p fact
	if p.read(e); !p.known {
		return p.err
	}
	return add(e, &p)
}

func foldState(list []events.Envelope) (any, error) {
	f := newStateFold()
	for i := range list {
		if err := added(&list[i], f.add); err != nil {
			return nil, err
		}
	}
	return changed(f.changes(events.ID{MS: 1, Seq: 1}), 3), nil
}

func foldMetrics(list []events.Envelope) (any, error) {
	f := newMetricsFold()
	for i := range list {
		if err := added(&list[i], f.add); err != nil {
			return nil, err
		}
	}
	return changed(f.changes(), 4), nil
}

func foldTasks(list []events.Envelope) (any, error) {
	f := newTasksFold(len(list))
	for i := range list {
		if err := added(&list[i], f.add); err != nil {
			return nil, err
		}
	}
	var columns taskColumns
	var extras taskExtrasColumns
	for _, c := range f.order {
		if c.extras != nil {
			extras.add(c)
		} else {
			columns.add(c)
		}
	}
	return []any{columns, extras}, nil
}

// changed counts a script's changes, which are in any order, with each arguments per change.
func changed(args []any, each int) map[string]int {
	all := map[string]int{}
	for ; len(args) >= each; args = args[each:] {
		var change strings.Builder
		for _, arg := range args[:each] {
			change.WriteString(arg.(string) + "\x00")
		}
		all[change.String()]++
	}
	if len(args) > 0 {
		panic("arguments that make no change")
	}
	return all
}

package events_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/claudebench/claudebench/events"
)

// scripted is a coordinator that answers each request for a stream with the next of these texts. It
// then keeps the stream open, unless the text ends with "CUT".
type scripted struct {
	*httptest.Server
	asked chan string // query, Last-Event-ID and Authorization of each request
	next  atomic.Int64
}

func script(t *testing.T, texts ...string) *scripted {
	t.Helper()
	s := &scripted{asked: make(chan string, 100)}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked <- r.URL.Path + "?" + r.URL.RawQuery + " " + r.Header.Get("Last-Event-ID") + " " + r.Header.Get("Authorization")
		n := int(s.next.Add(1)) - 1
		if n >= len(texts) {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		if status, body, ok := strings.Cut(texts[n], "|"); ok {
			var code int
			_, _ = fmt.Sscan(status, &code)
			w.WriteHeader(code)
			_, _ = w.Write([]byte(body))
			return
		}
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		text, cut := strings.CutSuffix(texts[n], "CUT")
		_, _ = w.Write([]byte(text))
		_ = http.NewResponseController(w).Flush()
		if !cut {
			<-r.Context().Done()
		}
	}))
	t.Cleanup(s.Close)
	return s
}

const begin = ": claudebench\nretry: 1000\nid: 1000-5\n\n"

// sent returns an event of the log as a block of a stream.
func sent(seq int, typ string) string {
	return fmt.Sprintf("id: 1000-%[1]d\nevent: %[2]s\n"+
		`data: {"id":"1000-%[1]d","seq":%[1]d,"type":"%[2]s","v":1,"timestamp":1000,"actor":"a","cause":null,"trace":null,"payload":{"id":"t-1"}}`+"\n\n", seq, typ)
}

func id(seq int64) events.ID { return events.ID{MS: 1000, Seq: seq} }

func newHTTPReader(t *testing.T, s *scripted, config events.HTTPReaderConfig) *events.HTTPReader {
	t.Helper()
	r, err := events.NewHTTPReader(s.URL+"/", "secret", config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// readTo reads until a batch ends at an ID, and returns the seqs of the events.
func readTo(t *testing.T, r *events.HTTPReader, after, end events.ID) (seqs []int64, skipped int64) {
	t.Helper()
	for at := after; at != end; {
		batch, err := r.Read(t.Context(), at)
		if err != nil {
			t.Fatalf("read after %s: %v", at, err)
		}
		for _, e := range batch.Entries {
			if e.Err != nil {
				t.Errorf("%s: %v", e.ID, e.Err)
			}
			seqs = append(seqs, e.ID.Seq)
		}
		skipped += batch.Skipped
		at = batch.Last()
	}
	return seqs, skipped
}

func TestHTTPReader(t *testing.T) {
	t.Parallel()
	t.Run("follows from the log's end", func(t *testing.T) {
		t.Parallel()
		s := script(t, begin+sent(6, "task.created")+": heartbeat\nid: 1000-9\n\n"+sent(10, "task.failed"))
		r := newHTTPReader(t, s, events.HTTPReaderConfig{Types: "task.*", Task: "t 1", Instance: "w&"})
		last, err := r.Last(t.Context())
		if err != nil || last != id(5) {
			t.Fatalf("last %s, %v", last, err)
		}
		seqs, _ := readTo(t, r, last, id(10))
		if fmt.Sprint(seqs) != "[6 10]" {
			t.Errorf("events %v", seqs)
		}
		if got, want := <-s.asked, "/events?instance=w%26&task=t+1&types=task.%2A  Bearer secret"; got != want {
			t.Errorf("asked %q, want %q", got, want)
		}
		if s.next.Load() != 1 {
			t.Errorf("%d streams, want one", s.next.Load())
		}
	})
	t.Run("resumes where the stream broke", func(t *testing.T) {
		t.Parallel()
		unfinished := strings.TrimSuffix(sent(7, "task.created"), "\n")
		s := script(t, begin+sent(6, "task.created")+unfinished+"CUT", "id: 1000-6\n\n"+sent(7, "task.created"))
		r := newHTTPReader(t, s, events.HTTPReaderConfig{})
		if seqs, _ := readTo(t, r, id(5), id(6)); fmt.Sprint(seqs) != "[6]" {
			t.Errorf("events %v", seqs)
		}
		if _, err := r.Read(t.Context(), id(6)); err == nil || events.IsBroken(err) {
			t.Errorf("the end of a stream: %v", err)
		}
		<-s.asked
		if seqs, _ := readTo(t, r, id(6), id(7)); fmt.Sprint(seqs) != "[7]" {
			t.Errorf("events %v", seqs)
		}
		if got := <-s.asked; !strings.Contains(got, " 1000-6 ") {
			t.Errorf("asked %q", got)
		}
	})
	t.Run("starts again at another event", func(t *testing.T) {
		t.Parallel()
		s := script(t, begin+sent(6, "task.created"), "id: 0\n\n"+sent(1, "task.created"))
		r := newHTTPReader(t, s, events.HTTPReaderConfig{})
		readTo(t, r, id(5), id(6))
		if seqs, _ := readTo(t, r, events.ID{}, id(1)); fmt.Sprint(seqs) != "[1]" {
			t.Errorf("events %v", seqs)
		}
		<-s.asked
		if got := <-s.asked; !strings.Contains(got, " 0 ") {
			t.Errorf("asked %q", got)
		}
	})
	t.Run("a wait that ends loses nothing", func(t *testing.T) {
		t.Parallel()
		s := script(t, begin+sent(6, "task.created"))
		r := newHTTPReader(t, s, events.HTTPReaderConfig{})
		if _, err := r.Last(t.Context()); err != nil {
			t.Fatal(err)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		at := id(5)
		if batch, err := r.Read(gone, at); err == nil {
			at = batch.Last() // it was there already
		} else if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		readTo(t, r, at, id(6))
		if s.next.Load() != 1 {
			t.Errorf("%d streams, want one", s.next.Load())
		}
	})
}

func TestHTTPReaderOfAPart(t *testing.T) {
	t.Parallel()
	s := script(t, begin+sent(6, "task.created")+"CUT", begin+sent(7, "task.created")+"event: end\n"+`data: {"reason":"done","after":"1000-7"}`+"\n\n", begin)
	r := newHTTPReader(t, s, events.HTTPReaderConfig{Types: "task.*", From: id(6), To: id(7)})
	at := events.ID{}
	for at != id(6) {
		batch, err := r.Read(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		at = batch.Last()
	}
	if got := <-s.asked; !strings.Contains(got, "?from=1000-6&to=1000-7&types=task.%2A  ") {
		t.Errorf("asked %q", got)
	}
	if _, err := r.Read(t.Context(), at); err == nil || errors.Is(err, events.ErrEnd) {
		t.Errorf("the stream was cut: %v", err)
	}
	if seqs, _ := readTo(t, r, at, id(7)); fmt.Sprint(seqs) != "[7]" {
		t.Errorf("events %v", seqs)
	}
	if got := <-s.asked; !strings.Contains(got, "?to=1000-7&types=task.%2A 1000-6 ") {
		t.Errorf("asked %q", got)
	}
	if _, err := r.Read(t.Context(), id(7)); !errors.Is(err, events.ErrEnd) {
		t.Errorf("the end: %v", err)
	}
	if _, err := r.Last(t.Context()); err != nil {
		t.Error(err)
	}
	if got := <-s.asked; !strings.Contains(got, "?types=task.%2A  ") {
		t.Errorf("asked %q", got)
	}
}

func TestHTTPReaderGaps(t *testing.T) {
	t.Parallel()
	t.Run("flushed", func(t *testing.T) {
		t.Parallel()
		s := script(t, begin+sent(6, "task.created")+"id: 1000-8\nevent: gap\n"+`data: {"from":7,"to":8,"reason":"flushed"}`+"\n\n"+sent(9, "task.created"))
		seqs, skipped := readTo(t, newHTTPReader(t, s, events.HTTPReaderConfig{}), id(5), id(9))
		if fmt.Sprint(seqs) != "[6 9]" || skipped != 2 {
			t.Errorf("events %v, %d skipped", seqs, skipped)
		}
	})
	t.Run("rolled back", func(t *testing.T) {
		t.Parallel()
		s := script(t, begin+sent(6, "task.created")+"event: gap\n"+`data: {"from":4,"to":6,"reason":"rolled_back","last":"1000-3"}`+"\n\n")
		r := newHTTPReader(t, s, events.HTTPReaderConfig{})
		readTo(t, r, id(5), id(6))
		_, err := r.Read(t.Context(), id(6))
		var back *events.RolledBackError
		if !errors.As(err, &back) || back.Checkpoint != id(6) || back.LastInLog != id(3) {
			t.Errorf("%v", err)
		}
	})
	t.Run("missing", func(t *testing.T) {
		t.Parallel()
		s := script(t, begin+"id: 1000-7\nevent: gap\n"+`data: {"from":6,"to":7,"reason":"missing"}`+"\n\n"+sent(8, "task.created"))
		r := newHTTPReader(t, s, events.HTTPReaderConfig{})
		_, err := r.Read(t.Context(), id(5))
		for err == nil { // the block with the position
			_, err = r.Read(t.Context(), id(5))
		}
		var gap *events.GapError
		if !errors.As(err, &gap) || gap.Expected != 6 || gap.Got != 8 {
			t.Errorf("%v", err)
		}
	})
	t.Run("ended", func(t *testing.T) {
		t.Parallel()
		s := script(t, begin+"event: end\n"+`data: {"reason":"stopping","after":"1000-5"}`+"\n\nCUT")
		r := newHTTPReader(t, s, events.HTTPReaderConfig{})
		_, err := r.Read(t.Context(), id(5))
		for err == nil {
			_, err = r.Read(t.Context(), id(5))
		}
		if events.IsBroken(err) || !strings.Contains(err.Error(), "stopping") {
			t.Errorf("%v", err)
		}
	})
}

func TestHTTPReaderRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		answer, message string
		permanent       bool
	}{
		{`401|{"error":{"code":-32001,"message":"Unauthorized","data":"the token is not known"}}`, "401 Unauthorized: Unauthorized: the token is not known", true},
		{`404|{"error":{"code":-32005,"message":"Not found","data":"there is no /events"}}`, "there is no /events", true},
		{`200|<html>`, "is not that of a coordinator", true},
		{`503|{"error":{"code":-32603,"message":"Redis is unavailable"}}`, "Redis is unavailable", false},
		{`429|`, "429", false},
	} {
		s := script(t, c.answer)
		_, err := newHTTPReader(t, s, events.HTTPReaderConfig{}).Read(t.Context(), id(1))
		var refused *events.StatusError
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), c.message) || refused.Permanent() != c.permanent {
			t.Errorf("%s: %v", c.answer, err)
		}
	}
	for _, address := range []string{"", "127.0.0.1:3000", "redis://127.0.0.1", "http://u:p@h", "http://h/?a=b"} {
		if _, err := events.NewHTTPReader(address, "", events.HTTPReaderConfig{}); err == nil {
			t.Errorf("%q is an address", address)
		}
	}
	if _, err := events.NewHTTPReader("http://h", "to ken", events.HTTPReaderConfig{}); err == nil {
		t.Error("a token with a space is accepted")
	}
}

// A service with a name goes on after its checkpoint, in a process that has no Redis.
func TestHTTPSubscriber(t *testing.T) {
	t.Parallel()
	s := script(t,
		"id: 0\n\n"+sent(6, "task.created")+sent(7, "task.created"),
		"id: 1000-7\n\n: heartbeat\nid: 1000-20\n\n",
		"id: 1000-20\n\n"+sent(21, "task.created"))
	store := events.FileCheckpoints{Dir: t.TempDir()}
	name := `bill/ing "1"`
	subscribe := func() (*events.Subscriber, <-chan string) {
		sub, err := events.NewHTTPSubscriber(s.URL, "", events.HTTPSubscriberConfig{
			SubscriberConfig: events.SubscriberConfig{Name: name, Checkpoints: store},
		})
		if err != nil {
			t.Fatal(err)
		}
		messages, err := sub.Subscribe(t.Context(), "task.created")
		if err != nil {
			t.Fatal(err)
		}
		ids := make(chan string)
		go func() {
			defer close(ids)
			for m := range messages {
				ids <- m.UUID
				m.Ack()
			}
		}()
		return sub, ids
	}
	sub, ids := subscribe()
	if a, b := <-ids, <-ids; a != "1000-6" || b != "1000-7" {
		t.Errorf("got %s, %s", a, b)
	}
	_ = sub.Close()
	sub, _ = subscribe()
	for { // until the heartbeat has moved the checkpoint
		at, _, err := store.Load(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if at == id(20) {
			break
		}
	}
	_ = sub.Close()
	sub, ids = subscribe()
	if got := <-ids; got != "1000-21" {
		t.Errorf("got %s", got)
	}
	_ = sub.Close()
	for _, want := range []string{" 0 ", " 1000-7 ", " 1000-20 "} {
		if got := <-s.asked; !strings.Contains(got, want) {
			t.Errorf("asked %q, want it after%s", got, want)
		}
	}
	for _, c := range []events.SubscriberConfig{{Name: "n"}, {ReaderConfig: events.ReaderConfig{Namespace: "x"}}} {
		if _, err := events.NewHTTPSubscriber(s.URL, "", events.HTTPSubscriberConfig{SubscriberConfig: c}); err == nil {
			t.Errorf("%+v is accepted", c)
		}
	}
}

func TestFileCheckpoints(t *testing.T) {
	t.Parallel()
	store := events.FileCheckpoints{Dir: t.TempDir()}
	if _, found, err := store.Load(t.Context(), "a"); found || err != nil {
		t.Errorf("found %t, %v", found, err)
	}
	for _, want := range []events.ID{id(1), id(2)} {
		if err := store.Save(t.Context(), "a", want); err != nil {
			t.Fatal(err)
		}
		if got, found, err := store.Load(t.Context(), "a"); got != want || !found || err != nil {
			t.Errorf("%s, %t, %v", got, found, err)
		}
	}
	if _, found, _ := store.Load(t.Context(), "b"); found {
		t.Error("another name has it too")
	}
	nowhere := events.FileCheckpoints{Dir: store.Dir + "/nowhere"}
	if _, _, err := nowhere.Load(t.Context(), "a"); err == nil {
		t.Error("a folder that is not there has no checkpoint")
	}
	if err := nowhere.Save(t.Context(), "a", id(1)); err == nil {
		t.Error("saved in a folder that is not there")
	}
}

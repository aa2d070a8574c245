package audit_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/audit"
	"github.com/claudebench/claudebench/internal/position"
	"github.com/claudebench/claudebench/internal/span"
)

func (d *day) replay(t *testing.T, o audit.ReplayOptions) (lines []string, done audit.Replayed, _ error) {
	t.Helper()
	var err error
	if o.Log, err = span.InRedis(d.client, events.ReaderConfig{Namespace: d.namespace}); err != nil {
		t.Fatal(err)
	}
	o.Render = func(text []byte, e *events.Entry) []byte { return append(append(text, e.Raw...), '\n') }
	var out bytes.Buffer
	done, err = audit.Replay(t.Context(), &out, o)
	for s := bufio.NewScanner(&out); s.Scan(); {
		lines = append(lines, s.Text())
	}
	return lines, done, err
}

// between returns the span between two positions.
func (d *day) between(t *testing.T, from, to string) (s span.Span) {
	t.Helper()
	reader, err := events.NewReader(d.client, events.ReaderConfig{Namespace: d.namespace})
	if err != nil {
		t.Fatal(err)
	}
	first, err := position.Parse(from)
	if err != nil {
		t.Fatal(err)
	}
	last, err := position.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	if s.From, s.To, err = position.Span(t.Context(), reader, first, last); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestReplayPrintsTheLogAsItIsStored(t *testing.T) {
	t.Parallel()
	d := newDay(t, false)
	stored, err := d.client.XRange(t.Context(), d.space.Events(), "-", "+").Result()
	if err != nil {
		t.Fatal(err)
	}
	lines, done, err := d.replay(t, audit.ReplayOptions{})
	if err != nil || len(lines) != len(stored) || done.Printed != int64(len(stored)) {
		t.Fatalf("%d lines of %d, %+v, %v", len(lines), len(stored), done, err)
	}
	for i := range stored {
		if lines[i] != stored[i].Values["data"] {
			t.Errorf("line %d is %s, stored is %s", i, lines[i], stored[i].Values["data"])
		}
	}

	lines, done, err = d.replay(t, audit.ReplayOptions{Span: span.Span{Types: "task.*,leader.elected"}})
	if err != nil || done.Other == 0 || done.Printed+done.Other != int64(len(stored)) {
		t.Fatalf("%+v, %v", done, err)
	}
	for _, line := range lines {
		if !strings.Contains(line, `"type":"task.`) && !strings.Contains(line, `"type":"leader.elected"`) {
			t.Errorf("printed %s", line)
		}
	}

	from, to := stored[2].ID, stored[5].ID
	lines, _, err = d.replay(t, audit.ReplayOptions{Span: d.between(t, from, to)})
	if err != nil || len(lines) != 4 || !strings.Contains(lines[0], from) || !strings.Contains(lines[3], to) {
		t.Errorf("from %s to %s: %q, %v", from, to, lines, err)
	}
}

func TestReplayTakesTimes(t *testing.T) {
	t.Parallel()
	d := newDay(t, false)
	first, err := events.ParseID(d.entry(t, 0))
	if err != nil {
		t.Fatal(err)
	}
	last, err := events.ParseID(d.entry(t, -1))
	if err != nil {
		t.Fatal(err)
	}
	whole, _, err := d.replay(t, audit.ReplayOptions{})
	if err != nil {
		t.Fatal(err)
	}
	iso := func(ms int64) string { return time.UnixMilli(ms).UTC().Format(events.TimeLayout) }
	for _, o := range []span.Span{
		d.between(t, iso(first.MS), iso(last.MS)),
		d.between(t, fmt.Sprint(first.MS), fmt.Sprint(last.MS)),
		d.between(t, time.UnixMilli(first.MS).In(time.FixedZone("", 7200)).Format("2006-01-02T15:04:05.000Z07:00"), ""),
	} {
		if lines, _, err := d.replay(t, audit.ReplayOptions{Span: o}); err != nil || len(lines) != len(whole) {
			t.Errorf("%+v: %d lines of %d, %v", o, len(lines), len(whole), err)
		}
	}
	if lines, _, err := d.replay(t, audit.ReplayOptions{Span: d.between(t, "3", "6")}); err != nil || !slices.Equal(lines, whole[2:6]) {
		t.Errorf("from seq 3 to 6: %q, %v", lines, err)
	}
	for _, o := range []span.Span{d.between(t, iso(last.MS+1), ""), d.between(t, "", iso(first.MS-1)), d.between(t, "", "0")} {
		if lines, _, err := d.replay(t, audit.ReplayOptions{Span: o}); err != nil || len(lines) != 0 {
			t.Errorf("%+v: %d lines, %v", o, len(lines), err)
		}
	}
	if _, _, err := d.replay(t, audit.ReplayOptions{Span: span.Span{Types: "task*"}}); err == nil {
		t.Error("task* was taken")
	}
}

func TestReplayCountsForeignEntriesAndStopsAtAGap(t *testing.T) {
	t.Parallel()
	d := newDay(t, false)
	whole, _, err := d.replay(t, audit.ReplayOptions{})
	if err != nil {
		t.Fatal(err)
	}
	err = d.client.XAdd(t.Context(), &redis.XAddArgs{Stream: d.space.Events(), ID: "*", Values: []string{"a", "b"}}).Err()
	if err != nil {
		t.Fatal(err)
	}
	lines, done, err := d.replay(t, audit.ReplayOptions{})
	if err != nil || len(lines) != len(whole) || done.Foreign != 1 {
		t.Errorf("%d lines of %d, %+v, %v", len(lines), len(whole), done, err)
	}
	if err := d.client.XDel(t.Context(), d.space.Events(), d.entry(t, 3)).Err(); err != nil {
		t.Fatal(err)
	}
	lines, _, err = d.replay(t, audit.ReplayOptions{})
	var gap *events.GapError
	if !errors.As(err, &gap) || gap.Expected != 4 || len(lines) != 3 {
		t.Errorf("%d lines, %v", len(lines), err)
	}
}

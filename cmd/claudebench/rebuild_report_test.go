package main

import (
	"strings"
	"testing"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/projections"
)

func TestWhatARebuildPrints(t *testing.T) {
	t.Parallel()
	seven, long := "7", strings.Repeat("ä", 80)
	var out strings.Builder
	writeRebuilt(&out, &projections.Rebuilt{
		Name: "tasks", At: events.ID{MS: 5, Seq: 3},
		Differences: []projections.Differences{{Object: "tasks", Missing: 1, Changed: 30, First: []projections.Difference{
			{Key: "17", Column: "status", Live: &seven}, {Key: "18", Rebuilt: &long},
		}}},
	})
	want := `tasks: tasks differs from the log at event 5-3: 1 missing, 0 too many, 30 changed
  17 status: "7"; the log says nothing
  18: nothing; the log says "` + strings.Repeat("ä", 50) + `"… (160 bytes)
  … only the first 20 are shown
`
	if out.String() != want {
		t.Errorf("printed\n%s", out.String())
	}
	out.Reset()
	writeRebuilt(&out, &projections.Rebuilt{Name: "state", Uncompared: "it is empty"})
	writeRebuilt(&out, &projections.Rebuilt{Name: "state", At: events.ID{MS: 5, Seq: 3}})
	if out.String() != "state: not compared: it is empty\nstate: no differences at event 5-3\n" {
		t.Errorf("printed\n%s", out.String())
	}
}

func TestProgressOfARebuild(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	tell := func(p *rebuildProgress) {
		for _, seq := range []int64{2000, 4000} {
			p.tell(projections.RebuildProgress{Step: projections.RebuildFolds, Seq: seq, Of: 8000})
		}
		p.tell(projections.RebuildProgress{Step: projections.RebuildCompares, Of: 8000})
		p.end()
	}
	tell(newRebuildProgress(&out, "state"))
	if out.String() != "state: folding …\nstate: comparing …\n" {
		t.Errorf("printed %q", out.String())
	}
	out.Reset()
	tell(&rebuildProgress{out: &out, inLine: true, name: "state"})
	const clear = "\r\x1b[K"
	if want := clear + "state: folding … 25%, event 2000 of 8000" + clear + "state: comparing …" + clear; out.String() != want {
		t.Errorf("drew %q", out.String())
	}
}

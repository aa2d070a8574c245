package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/sealtree"
)

// LogReader reads the events of a log. An *events.Reader is one.
type LogReader interface {
	Bounds(ctx context.Context) (events.Bounds, error)
	Range(ctx context.Context, from, to events.ID) iter.Seq2[events.Entry, error]
}

// SealOptions configure VerifySeals.
type SealOptions struct {
	Source sealtree.Source
	Key    note.Verifier
	// Since is a signed checkpoint that was kept from an earlier time; nil for none.
	Since []byte
	Log   LogReader
	// Foreign returns the entries of the log that are no events, which Log has met so far. Nil if it
	// does not know.
	Foreign func() []events.ForeignEntry
}

// SealReport says whether the log is what was sealed.
type SealReport struct {
	OK         bool   `json:"ok"`
	Origin     string `json:"origin"`
	Size       int64  `json:"size"`
	Root       string `json:"root"`
	First      int64  `json:"first"` // seq in leaf 0
	Last       int64  `json:"last"`  // seq in the last leaf
	Since      int64  `json:"since,omitempty"`
	Compared   int64  `json:"compared"`
	Gone       int64  `json:"gone"`       // removed before they were sealed; the seals say so
	Removed    int64  `json:"removed"`    // before the log's base: flushed or trimmed since
	NotSealed  int64  `json:"notSealed"`  // events after the last sealed one
	Checkpoint string `json:"checkpoint"` // as signed
	// Findings are what is wrong, the first of each kind, in the order of seq.
	Findings []SealFinding `json:"findings"`
}

// SealFinding is an event that is not as it was sealed.
type SealFinding struct {
	Kind string `json:"kind"` // changed, removed or inserted
	Seq  int64  `json:"seq"`  // of the first
	More int64  `json:"more"` // further ones of the kind
	Text string `json:"text"`
}

// ErrSeals means that the seals prove nothing: the signature, the checkpoint that was kept, or a tile
// does not fit.
var ErrSeals = errors.New("the seals do not hold")

// VerifySeals checks a checkpoint, its consistency with an earlier one, each leaf, and each event of
// the log against its leaf. It holds one bundle and one batch in memory. The error wraps ErrSeals if
// the seals themselves do not hold; other errors mean that something could not be read.
func VerifySeals(ctx context.Context, o SealOptions) (*SealReport, error) {
	signed, err := o.Source.Checkpoint(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: there is no checkpoint", ErrSeals)
	}
	if err != nil {
		return nil, err
	}
	tree, err := sealtree.Open(signed, o.Key)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSeals, err)
	}
	r := &SealReport{Origin: o.Key.Name(), Size: tree.N, Root: tree.Hash.String(), Checkpoint: string(signed), Findings: []SealFinding{}}
	if o.Since != nil {
		if r.Since, err = consistent(ctx, o, tree); err != nil {
			return nil, err
		}
	}
	// The checkpoint was read before the log, so every sealed event was in the log before.
	bounds, err := o.Log.Bounds(ctx)
	if err != nil {
		return nil, err
	}
	leaves, stopLeaves := iter.Pull2(leavesOf(ctx, o.Source, tree))
	defer stopLeaves()
	log, stopLog := iter.Pull2(o.Log.Range(ctx, events.ID{}, events.ID{}))
	defer stopLog()
	c := comparison{SealReport: r, base: bounds.Base, leaves: leaves, log: log}
	if err := c.run(); err != nil {
		return nil, err
	}
	if o.Foreign != nil {
		for _, f := range o.Foreign() {
			c.find("inserted", seqOf(f.EntryID), fmt.Sprintf("entry %s of the stream is no event: %v", f.EntryID, f.Reason))
		}
	}
	r.OK = len(r.Findings) == 0
	return r, nil
}

// seqOf returns the second part of an entry's ID, which is the seq in the ID of an event.
func seqOf(id string) int64 {
	_, text, _ := strings.Cut(id, "-")
	seq, _ := strconv.ParseInt(text, 10, 64) // 0 for an ID without a seq
	return seq
}

// consistent checks that the tree contains all of the one that was kept, and returns the size of that.
func consistent(ctx context.Context, o SealOptions, tree tlog.Tree) (int64, error) {
	old, err := sealtree.Open(o.Since, o.Key)
	if err != nil {
		return 0, fmt.Errorf("%w: the checkpoint that you kept: %w", ErrSeals, err)
	}
	switch {
	case old.N > tree.N:
		return 0, fmt.Errorf("%w: the seals have %d leaves, and your checkpoint has %d: they were set back, or these are not the same seals", ErrSeals, tree.N, old.N)
	case old.N == 0:
		return 0, nil
	}
	proof, err := tlog.ProveTree(tree.N, old.N, tlog.TileHashReader(tree, sealtree.Tiles(ctx, o.Source)))
	if err != nil {
		return 0, unlessUnread(err)
	}
	if tlog.CheckTree(proof, tree.N, tree.Hash, old.N, old.Hash) != nil {
		return 0, fmt.Errorf("%w: they do not contain your checkpoint of %d leaves: the sealed history was rewritten", ErrSeals, old.N)
	}
	return old.N, nil
}

// unlessUnread wraps ErrSeals around damage; an error of reading proves nothing.
func unlessUnread(err error) error {
	var damaged *sealtree.DamagedError
	if errors.As(err, &damaged) {
		return fmt.Errorf("%w: %w", ErrSeals, err)
	}
	return err
}

// leavesOf returns all leaves of a tree in order, each checked against the root.
func leavesOf(ctx context.Context, source sealtree.Source, tree tlog.Tree) iter.Seq2[sealtree.Leaf, error] {
	return func(yield func(sealtree.Leaf, error) bool) {
		tiles := sealtree.Tiles(ctx, source)
		reader := tlog.TileHashReader(tree, tiles)
		var first int64
		for at := int64(0); at < tree.N; at += sealtree.Width {
			tile := sealtree.BundleAt(at, tree.N)
			hashes := tile
			hashes.L = 0
			data, err := tlog.ReadTileData(hashes, reader)
			var bundle []byte
			if err == nil {
				bundle, err = sealtree.ReadBundle(tile, data, tiles)
			} else {
				err = sealtree.Damaged(err)
			}
			if err != nil {
				yield(sealtree.Leaf{}, unlessUnread(err))
				return
			}
			list, _ := sealtree.Leaves(bundle) // ReadBundle has parsed it
			for i, text := range list {
				leaf, err := sealtree.ParseLeaf(text)
				if at+int64(i) == 0 {
					first = leaf.Seq
				}
				if err == nil && leaf.Seq != first+at+int64(i) {
					err = fmt.Errorf("leaf %d has seq %d, and leaf 0 has %d", at+int64(i), leaf.Seq, first)
				}
				if err != nil {
					yield(leaf, fmt.Errorf("%w: leaf %d: %w", ErrSeals, at+int64(i), err))
					return
				}
				if !yield(leaf, nil) {
					return
				}
			}
		}
	}
}

// comparison walks leaves and log side by side.
type comparison struct {
	*SealReport
	base   int64
	leaves func() (sealtree.Leaf, error, bool)
	log    func() (events.Entry, error, bool)
}

// nextEntry returns the next event of the log. Gaps show in the comparison.
func (c *comparison) nextEntry() (events.Entry, bool, error) {
	for {
		entry, err, ok := c.log()
		var gap *events.GapError
		if ok && errors.As(err, &gap) {
			continue
		}
		return entry, ok, err
	}
}

func (c *comparison) run() error {
	entry, more, err := c.nextEntry()
	if err != nil {
		return err
	}
	for i := int64(0); ; i++ {
		leaf, err, ok := c.leaves()
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		if i == 0 {
			c.First = leaf.Seq
			for more && entry.ID.Seq < leaf.Seq { // from before sealing began
				if entry, more, err = c.nextEntry(); err != nil {
					return err
				}
			}
		}
		c.Last = leaf.Seq
		for more && entry.ID.Seq < leaf.Seq {
			c.find("inserted", entry.ID.Seq, fmt.Sprintf("entry %s of the log was never sealed", entry.ID))
			if entry, more, err = c.nextEntry(); err != nil {
				return err
			}
		}
		switch there := more && entry.ID.Seq == leaf.Seq; {
		case leaf.Gone != "" && there:
			c.find("inserted", leaf.Seq, fmt.Sprintf("the seals say that it was %s before it was sealed, and the log has the entry %s", leaf.Gone, entry.ID))
		case leaf.Gone != "":
			c.Gone++
		case there:
			c.compare(leaf, entry)
		case leaf.Seq < c.base:
			c.Removed++
		default:
			c.find("removed", leaf.Seq, fmt.Sprintf("it was sealed as %s with the SHA-256 %x, and the log does not have it", leaf.ID, leaf.Sum))
		}
		if more && entry.ID.Seq == leaf.Seq {
			if entry, more, err = c.nextEntry(); err != nil {
				return err
			}
		}
	}
	// What comes after the last leaf is not sealed yet.
	for ; more; c.NotSealed++ {
		if _, more, err = c.nextEntry(); err != nil {
			return err
		}
	}
	return nil
}

func (c *comparison) compare(leaf sealtree.Leaf, entry events.Entry) {
	c.Compared++
	now := sealtree.EventLeaf(entry.ID.String(), entry.Raw)
	parsed, err := sealtree.ParseLeaf(now)
	if err == nil && parsed.ID == leaf.ID && bytes.Equal(parsed.Sum[:], leaf.Sum[:]) {
		return
	}
	c.find("changed", leaf.Seq, fmt.Sprintf("it was sealed as %s with the SHA-256 %x, and the log has %s with %x", leaf.ID, leaf.Sum, parsed.ID, parsed.Sum))
}

// find notes the first finding of a kind, and counts the others.
func (c *comparison) find(kind string, seq int64, text string) {
	for i := range c.Findings {
		if c.Findings[i].Kind == kind {
			c.Findings[i].More++
			return
		}
	}
	c.Findings = append(c.Findings, SealFinding{Kind: kind, Seq: seq, Text: text})
}

// WriteTo writes the report as text.
func (r *SealReport) WriteTo(w io.Writer) (int64, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s: %d leaves, seqs %d to %d, root %s\n", r.Origin, r.Size, r.First, r.Last, r.Root)
	if r.Since > 0 {
		fmt.Fprintf(&b, "They contain the checkpoint of %d leaves that you kept.\n", r.Since)
	}
	fmt.Fprintf(&b, "%d events compared with their leaves\n", r.Compared)
	if r.Removed > 0 {
		fmt.Fprintf(&b, "%d sealed events not compared: they were flushed or trimmed from the log\n", r.Removed)
	}
	if r.Gone > 0 {
		fmt.Fprintf(&b, "%d events were removed before they were sealed, and the seals say so\n", r.Gone)
	}
	if r.NotSealed > 0 {
		fmt.Fprintf(&b, "%d events are not sealed yet\n", r.NotSealed)
	}
	for _, f := range r.Findings {
		fmt.Fprintf(&b, "seq %d: %s: %s", f.Seq, f.Kind, f.Text)
		if f.More > 0 {
			fmt.Fprintf(&b, "; %d more are %s", f.More, f.Kind)
		}
		b.WriteByte('\n')
	}
	if r.OK {
		b.WriteString("OK: the log is what was sealed.\n")
	} else {
		b.WriteString("FAILED: the log is not what was sealed.\n")
	}
	return b.WriteTo(w)
}

// WriteJSON writes the report as JSON.
func (r *SealReport) WriteJSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
}

package archive

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/claudebench/claudebench/events"
)

// Format is the version of the format that this package writes. It reads no newer one.
const Format = 1

const (
	manifestName = "manifest.json"
	suffix       = ".jsonl.zst"
	newSuffix    = ".new" // of a file that will replace another one
	asideName    = "set-aside"
	lockName     = "lock"
)

var (
	// ErrNoArchive means that a folder has no manifest.
	ErrNoArchive = errors.New("no archive")
	// ErrDamaged is wrapped by the errors about files that are not as they were written.
	ErrDamaged = errors.New("the archive is damaged")
)

// Manifest says what an archive holds. It is the file manifest.json, which is always replaced as a
// whole.
type Manifest struct {
	Format int `json:"format"` // of the archive
	// ID is a random name of this archive.
	ID string `json:"id"`
	// Generation counts the replacements of the manifest.
	Generation int64 `json:"generation"`

	Log       string `json:"log"`       // the identity of the log
	Namespace string `json:"namespace"` // of the log; "" is the default one
	LogFormat int    `json:"logFormat"` // the newest format of events that the writing program knows
	Program   string `json:"program"`   // the version of the writing program

	// Segments are the closed segments, oldest first. They never change again.
	Segments []Segment `json:"segments"`
	// Open is the segment that is being written. Its file may not exist yet.
	Open Pending `json:"open"`
	// Boundary is the seq of an event that was the last one of its command. The writer does not know
	// it for each event.
	Boundary int64 `json:"boundary"`
	// Flushes are the seqs of the events system.flushed.
	Flushes []int64 `json:"flushes"`
	// Gaps are events that were in the log and are not in the archive.
	Gaps []Gap `json:"gaps"`
	// Rollbacks are the times that Redis lost the end of the log.
	Rollbacks []Rollback `json:"rollbacks"`
}

// Segment is a file with consecutive events.
type Segment struct {
	File  string                `json:"file"`
	First events.ID             `json:"first"`
	Last  events.ID             `json:"last"`
	Count int64                 `json:"count"`
	Bytes int64                 `json:"bytes"` // of the file
	Raw   int64                 `json:"raw"`   // of the lines
	SHA   string                `json:"sha256"`
	Types map[events.Type]int64 `json:"types"` // how many events of each type
}

// Pending is the segment that is being written.
type Pending struct {
	File string `json:"file"`
	Next int64  `json:"next"` // the seq of its first event
}

// Gap is a range of seqs that the archive lacks.
type Gap struct {
	From   int64     `json:"from"`
	To     int64     `json:"to"`
	Reason GapReason `json:"reason"`
}

// GapReason says why an archive lacks events.
type GapReason string

// The reasons of gaps.
const (
	GapFlushed  GapReason = "flushed"  // a flush removed them before they were archived
	GapTrimmed  GapReason = "trimmed"  // they were removed from the log before they were archived
	GapAccepted GapReason = "accepted" // an operator accepted the loss
)

// Rollback is a loss of the log's end, after which an operator let the archive continue.
type Rollback struct {
	At    time.Time `json:"at"`
	Kept  events.ID `json:"kept"`  // the last event that the log still had
	Lost  events.ID `json:"lost"`  // the last event that the archive had
	Aside string    `json:"aside"` // the folder with the segments that were replaced
}

// Last returns the ID of the last event in the closed segments, zero if there is none.
func (m *Manifest) Last() events.ID {
	if len(m.Segments) == 0 {
		return events.ID{}
	}
	return m.Segments[len(m.Segments)-1].Last
}

// parse reads and checks a manifest.
func parse(text []byte) (*Manifest, error) {
	m := new(Manifest)
	if err := json.Unmarshal(text, m); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", manifestName, ErrDamaged, err)
	}
	if m.Format > Format {
		return nil, fmt.Errorf("%s: format %d is newer than this program, which knows %d; upgrade it", manifestName, m.Format, Format)
	}
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", manifestName, ErrDamaged, err)
	}
	return m, nil
}

func (m *Manifest) check() error {
	if m.Format < 1 || m.ID == "" || m.Log == "" {
		return errors.New("it has no format, no id or no log")
	}
	next, last := int64(0), events.ID{}
	for _, s := range m.Segments {
		switch {
		case !plain(s.File):
			return fmt.Errorf("%q is not the name of a segment", s.File)
		case s.First.Seq < next || s.First.MS < last.MS || s.First.Seq < 1:
			return fmt.Errorf("segment %s begins at %s, which is not after the segment before it", s.File, s.First)
		case s.Last.Seq < s.First.Seq || s.Last.MS < s.First.MS || s.Count != s.Last.Seq-s.First.Seq+1:
			return fmt.Errorf("segment %s cannot have %d events from %s to %s", s.File, s.Count, s.First, s.Last)
		case s.Bytes < 1 || s.Raw < 1:
			return fmt.Errorf("segment %s is empty", s.File)
		}
		next, last = s.Last.Seq+1, s.Last
	}
	if !plain(m.Open.File) || m.Open.Next < max(next, 1) {
		return fmt.Errorf("the open segment %q cannot begin at %d", m.Open.File, m.Open.Next)
	}
	return nil
}

// plain reports whether name is a file of the folder itself.
func plain(name string) bool {
	return fs.ValidPath(name) && path.Base(name) == name && strings.HasSuffix(name, suffix)
}

func readManifest(fsys fs.FS) (*Manifest, error) {
	text, err := fs.ReadFile(fsys, manifestName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNoArchive
	}
	if err != nil {
		return nil, err
	}
	return parse(text)
}

// segmentName returns the name of a segment that begins with a seq. rollbacks keeps a name from
// being used twice.
func segmentName(seq int64, rollbacks int) string {
	if rollbacks == 0 {
		return fmt.Sprintf("%020d%s", seq, suffix)
	}
	return fmt.Sprintf("%020d-%d%s", seq, rollbacks, suffix)
}

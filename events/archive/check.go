package archive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"github.com/claudebench/claudebench/events"
)

// Check reads every closed segment and compares it with the manifest. The error names the first
// file that differs. done, if it is not nil, is called after each segment.
func (a *Archive) Check(ctx context.Context, done func(Segment)) error {
	m, err := a.Manifest()
	if err != nil {
		return err
	}
	for _, s := range m.Segments {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := a.check(s); err != nil {
			return damaged(s.File, err)
		}
		if done != nil {
			done(s)
		}
	}
	return nil
}

func (a *Archive) check(s Segment) error {
	f, err := a.fsys.Open(s.File)
	if err != nil {
		return err
	}
	defer f.Close()
	sum := sha256.New()
	size, err := io.Copy(sum, f)
	if err != nil {
		return err
	}
	if got := fmt.Sprintf("%x", sum.Sum(nil)); size != s.Bytes || got != s.SHA {
		return fmt.Errorf("it has %d bytes with the SHA-256 %s, and the manifest says %d bytes with %s", size, got, s.Bytes, s.SHA)
	}
	at, ok := f.(io.ReaderAt)
	if !ok {
		return errors.New("it cannot be read at a position")
	}
	frames, err := walk(at, size)
	if err != nil {
		return err
	}
	next, last := s.First.Seq, events.ID{}
	for _, fr := range frames {
		if fr.magic != frameMagic {
			continue
		}
		lines, err := readFrame(at, fr, a.decoder)
		if err != nil {
			return err
		}
		for line := range bytes.Lines(lines) {
			id, err := lineID(line)
			if err != nil {
				return err
			}
			if id.Seq != next || id.MS < last.MS {
				return fmt.Errorf("event %s follows %s", id, last)
			}
			if next == s.First.Seq && id != s.First {
				return fmt.Errorf("it begins with event %s, and the manifest says %s", id, s.First)
			}
			next, last = next+1, id
		}
	}
	if last != s.Last {
		return fmt.Errorf("it ends with event %s, and the manifest says %s", last, s.Last)
	}
	return nil
}

package seal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/sealtree"
)

// RefusedError says why a folder, a record and a log do not belong together, and what to do. Trying
// again does not help.
type RefusedError struct{ Reason string }

func (e *RefusedError) Error() string { return e.Reason }

func refuse(format string, args ...any) error { return &RefusedError{fmt.Sprintf(format, args...)} }

// StoppedError says why sealing has stopped for good, and what to do.
type StoppedError struct{ Reason string }

func (e *StoppedError) Error() string { return e.Reason }

const (
	newTree = "to begin a new tree, make a new key and run 'claudebench seal --new-tree' with it and an empty folder"
	goOn    = "Sealing has stopped. 'claudebench verify --seals' with this folder lists what is lost; " + newTree
)

// opened is a folder that fits the record and the log.
type opened struct {
	tree     *sealtree.Tree
	head     tlog.Tree // published, or about to be
	note     []byte    // of head; nil if it is to be signed
	record   Record    // as Redis has it
	identity string
	last     events.ID // last sealed event
	fresh    bool      // the folder is empty
	behind   bool      // the folder's checkpoint is older than head
}

// open compares folder, record and log. It changes none of them, except that it notes in Redis that
// the log was rolled back.
func (s *Sealer) open(ctx context.Context) (opened, error) {
	info, there, err := s.dir.Info()
	if err != nil {
		return opened{}, err
	}
	signed, err := s.dir.Checkpoint(ctx)
	published := err == nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return opened{}, err
	}
	state, err := Read(ctx, s.cfg.Scripts, "")
	if err != nil {
		return opened{}, err
	}
	if state.Identity == "" {
		return opened{}, errors.New("the log has no identity; it gets one when a coordinator starts")
	}
	o := opened{record: state.Record, identity: state.Identity}
	ours, dir := s.cfg.Signer.Verifier, s.dir.Path()
	switch r := state.Record; {
	case there && info.Verifier != ours:
		return o, refuse("%s is sealed with the key %s, but --seal-key is %s: one tree has one key", dir, short(info.Verifier), short(ours))
	case there && info.Identity != state.Identity:
		return o, refuse("the seals in %s are of the log %s, but this Redis has the log %s (it was replaced or emptied): use another --seal-dir and a new key for this log",
			dir, info.Identity, state.Identity)
	case !there && published:
		return o, refuse("%s has a checkpoint but no .seal/log.json: it is not the folder of a sealer, or only a part of it", dir)
	case r.Verifier != "" && r.Verifier != ours:
		return o, refuse("this log is sealed with the key %s, but --seal-key is %s: use that key and its folder, or %s", short(r.Verifier), short(ours), newTree)
	case r.Stopped != "":
		return o, &StoppedError{r.Stopped}
	case !there && r.Size > 0:
		return o, refuse("the folder %s is empty, but this log is sealed up to event %s: use the folder with those seals, or %s", dir, r.Last, newTree)
	case !there:
		o.fresh, o.tree = true, new(sealtree.Tree)
		o.head = o.tree.Head()
		return o, nil
	case !published && r.Size > 0:
		return o, s.restored(tlog.Tree{}, r)
	case !published:
		o.tree = new(sealtree.Tree)
		o.head, o.behind = o.tree.Head(), true
		return o, nil
	}
	return s.openTree(ctx, o, signed)
}

// openTree opens a folder that has a checkpoint and was sealed for this log with this key.
func (s *Sealer) openTree(ctx context.Context, o opened, signed []byte) (opened, error) {
	key, err := note.NewVerifier(s.cfg.Signer.Verifier)
	if err != nil {
		return o, err
	}
	if o.head, err = sealtree.Open(signed, key); err != nil {
		return o, refuse("the seals in %s are damaged: %v; put back the newest copy of the folder", s.dir.Path(), err)
	}
	o.note = signed
	r := o.record
	root, err := tlog.ParseHash(r.Root)
	if r.Verifier != "" && err != nil {
		return o, fmt.Errorf("read the record of the seals: %w", err)
	}
	recorded := tlog.Tree{N: r.Size, Hash: root}
	switch {
	case r.Verifier == "" && o.head.N > 0:
		return o, refuse("%s has %d leaves, but this Redis does not know of any seals (it was restored?), and so cannot say whether they are all: "+
			"put back the newest Redis, or %s", s.dir.Path(), o.head.N, newTree)
	case r.Size > o.head.N:
		// Killed between the record and the checkpoint, or restored from a backup: only in the first
		// case are the tiles there.
		tree, err := s.dir.Load(recorded)
		if err != nil {
			if isDamage(err) {
				return o, s.restored(o.head, r)
			}
			return o, err
		}
		o.tree, o.head, o.note, o.behind = tree, recorded, []byte(r.Note), true
	case r.Size == o.head.N && r.Verifier != "" && root != o.head.Hash:
		return o, s.other(recorded, o.head.Hash)
	case r.Size < o.head.N && r.Size > 0:
		proof, err := tlog.ProveTree(o.head.N, r.Size, tlog.TileHashReader(o.head, sealtree.Tiles(ctx, s.dir)))
		if err != nil {
			return o, s.damage(err)
		}
		if tlog.CheckTree(proof, o.head.N, o.head.Hash, r.Size, root) != nil {
			return o, s.other(recorded, o.head.Hash)
		}
	}
	if o.tree == nil {
		if o.tree, err = s.dir.Load(o.head); err != nil {
			return o, s.damage(err)
		}
	}
	if o.head.N == 0 {
		return o, nil
	}
	return s.checkLog(ctx, o)
}

// checkLog compares the last leaf with the log.
func (s *Sealer) checkLog(ctx context.Context, o opened) (opened, error) {
	bytes, _, err := sealtree.ReadLeaf(ctx, s.dir, o.head, o.head.N-1)
	if err != nil {
		return o, s.damage(err)
	}
	leaf, err := sealtree.ParseLeaf(bytes)
	if err != nil {
		return o, s.damage(&sealtree.DamagedError{Reason: err.Error()})
	}
	if o.last, err = events.ParseID(leaf.ID); err != nil {
		return o, s.damage(&sealtree.DamagedError{Reason: err.Error()})
	}
	state, err := Read(ctx, s.cfg.Scripts, leaf.ID)
	if err != nil {
		return o, err
	}
	if !state.There {
		return o, s.rolledBack(ctx, leaf.ID, state.Seq)
	}
	return o, nil
}

// rolledBack notes that the log lost a sealed event. An operator must decide how to go on.
func (s *Sealer) rolledBack(ctx context.Context, id string, seq int64) error {
	return s.stop(ctx, fmt.Sprintf("the log was rolled back: event %s is sealed and is missing now; the log ends at seq %d. %s", id, seq, goOn))
}

// stop notes why sealing has stopped. If Redis does not take the note, the next attempt does.
func (s *Sealer) stop(ctx context.Context, why string) error {
	if _, err := stopSeal.Run(ctx, s.cfg.Scripts, stopSealArgs{s.cfg.Signer.Verifier, why}); err != nil {
		return fmt.Errorf("note that sealing has stopped: %w", err)
	}
	return &StoppedError{why}
}

func (s *Sealer) restored(head tlog.Tree, r Record) error {
	return refuse("%s is older than the last checkpoint that was signed: it has %d leaves, and %d were signed at %s: the folder was restored from a backup. "+
		"Sealing does not go on, because a second, different tree could be signed. Put back the newest folder, or %s",
		s.dir.Path(), head.N, r.Size, time.UnixMilli(r.At).UTC().Format(time.RFC3339), newTree)
}

func (s *Sealer) other(recorded tlog.Tree, root tlog.Hash) error {
	return refuse("%s is not the tree that was signed: %s was signed at size %d, and the folder's checkpoint has the root %s. Put back the newest folder, or %s",
		s.dir.Path(), recorded.Hash, recorded.N, root, newTree)
}

// damage returns a refusal if err says that files are missing or wrong.
func (s *Sealer) damage(err error) error {
	if isDamage(err) {
		return refuse("%v; put back the newest copy of %s, or %s", err, s.dir.Path(), newTree)
	}
	return err
}

func isDamage(err error) bool {
	var damaged *sealtree.DamagedError
	return errors.As(err, &damaged)
}

// short returns a key's name and hash.
func short(verifier string) string {
	key, err := note.NewVerifier(verifier)
	if err != nil {
		return verifier
	}
	return sealtree.KeyID(key)
}

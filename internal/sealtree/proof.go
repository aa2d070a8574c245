package sealtree

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// ReadLeaf reads a leaf and its proof of inclusion, and checks both against the tree.
func ReadLeaf(ctx context.Context, source Source, tree tlog.Tree, index int64) (leaf []byte, proof tlog.RecordProof, err error) {
	if index < 0 || index >= tree.N {
		return nil, nil, fmt.Errorf("leaf %d is not in a tree of %d leaves", index, tree.N)
	}
	tiles := Tiles(ctx, source)
	reader := tlog.TileHashReader(tree, tiles)
	if proof, err = tlog.ProveRecord(tree.N, index, reader); err != nil {
		return nil, nil, damaged(err)
	}
	tile := BundleAt(index, tree.N)
	data, err := tiles.ReadTiles([]tlog.Tile{tile})
	if err != nil {
		return nil, nil, damaged(err)
	}
	leaves, err := Leaves(data[0])
	if err != nil || len(leaves) != tile.W {
		return nil, nil, &DamagedError{Reason: fmt.Sprintf("%s does not have %d leaves", torchwood.TilePath(tile), tile.W)}
	}
	leaf = leaves[index%width]
	if err := tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(leaf)); err != nil {
		return nil, nil, &DamagedError{Reason: fmt.Sprintf("leaf %d of %s does not fit the tree", index%width, torchwood.TilePath(tile))}
	}
	return leaf, proof, nil
}

// FormatProof returns a proof file: the event, its proof of inclusion and the checkpoint.
func FormatProof(id string, envelope []byte, index int64, proof tlog.RecordProof, checkpoint []byte) []byte {
	extra := append([]byte(id+"\n"), envelope...)
	return torchwood.FormatProofWithExtraData(index, extra, proof, checkpoint)
}

// Proven is what a proof file proves.
type Proven struct {
	ID       string // of the event's entry
	Envelope []byte // as it was stored
	Index    int64
	Tree     tlog.Tree
}

// CheckProof checks a proof file. It needs nothing else: the event is in the file, and its leaf is
// made of it.
func CheckProof(file []byte, key note.Verifier) (Proven, error) {
	extra, err := torchwood.ProofExtraData(file)
	if err != nil {
		return Proven{}, fmt.Errorf("read the proof: %w", err)
	}
	id, envelope, ok := bytes.Cut(extra, []byte("\n"))
	if !ok {
		return Proven{}, errors.New("read the proof: it contains no event")
	}
	leaf := EventLeaf(string(id), envelope)
	parsed, err := ParseLeaf(leaf)
	if err != nil || parsed.Gone != "" {
		return Proven{}, errors.New("read the proof: it contains no event")
	}
	head, checkpoint, ok := strings.Cut(string(file), "\n\n")
	if !ok {
		return Proven{}, errors.New("read the proof: it contains no checkpoint")
	}
	tree, err := Open([]byte(checkpoint), key) // for its error
	if err != nil {
		return Proven{}, err
	}
	var failed *torchwood.VerifyRecordError
	if err := torchwood.VerifyProof(policy(key), tlog.RecordHash(leaf), file); errors.As(err, &failed) {
		return Proven{}, errors.New("the proof does not hold for this event: it was changed, or the checkpoint is another")
	} else if err != nil {
		return Proven{}, fmt.Errorf("check the proof: %w", err)
	}
	var index int64
	for line := range strings.Lines(head) {
		if number, ok := strings.CutPrefix(strings.TrimSpace(line), "index "); ok {
			if index, err = strconv.ParseInt(number, 10, 64); err != nil {
				return Proven{}, fmt.Errorf("read the proof: %w", err)
			}
		}
	}
	return Proven{ID: string(id), Envelope: envelope, Index: index, Tree: tree}, nil
}

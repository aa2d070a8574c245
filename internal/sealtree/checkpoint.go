package sealtree

import (
	"errors"
	"fmt"
	"strings"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Sign returns the signed checkpoint of a tree. The same tree gives the same bytes, because Ed25519
// is deterministic.
func Sign(signer Signer, tree tlog.Tree) ([]byte, error) {
	text := torchwood.Checkpoint{Origin: signer.Name(), Tree: tree}.String()
	signed, err := note.Sign(&note.Note{Text: text}, signer)
	if err != nil {
		return nil, fmt.Errorf("sign the checkpoint: %w", err)
	}
	return signed, nil
}

// Open checks the signature and the origin of a checkpoint, and returns its tree.
func Open(checkpoint []byte, key note.Verifier) (tlog.Tree, error) {
	opened, _, err := torchwood.VerifyCheckpoint(checkpoint, policy(key))
	var unverified *note.UnverifiedNoteError
	switch {
	case errors.As(err, &unverified):
		var by []string
		for _, s := range append(unverified.Note.Sigs, unverified.Note.UnverifiedSigs...) {
			by = append(by, fmt.Sprintf("%s+%08x", s.Name, s.Hash))
		}
		return tlog.Tree{}, fmt.Errorf("the checkpoint is not signed by %s (it is signed by %s)", KeyID(key), strings.Join(by, ", "))
	case err != nil:
		return tlog.Tree{}, fmt.Errorf("open the checkpoint: %w", err)
	}
	return opened.Tree, nil
}

// KeyID returns the short form of a key: name+hash.
func KeyID(key interface {
	Name() string
	KeyHash() uint32
},
) string {
	return fmt.Sprintf("%s+%08x", key.Name(), key.KeyHash())
}

// policy accepts a signature of the key on a checkpoint whose origin is the key's name.
func policy(key note.Verifier) torchwood.Policy {
	return torchwood.ThresholdPolicy(2, torchwood.OriginPolicy(key.Name()), torchwood.SingleVerifierPolicy(key))
}

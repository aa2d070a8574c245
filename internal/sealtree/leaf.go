package sealtree

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Leaf is an entry of the tree.
type Leaf struct {
	Seq int64
	ID  string            // of the event's entry, as <ms>-<seq>; "" for a removed event
	Sum [sha256.Size]byte // of the envelope as it is stored
	// Gone says why an event was removed before it was sealed: flushed or trimmed. "" means that it
	// was sealed.
	Gone string
}

// EventLeaf returns the bytes of an event's leaf. data is its envelope as it is stored.
func EventLeaf(id string, data []byte) []byte {
	sum := sha256.Sum256(data)
	leaf := make([]byte, 0, len(id)+1+len(sum))
	leaf = append(leaf, id...)
	leaf = append(leaf, '\n')
	return append(leaf, sum[:]...)
}

// GoneLeaf returns the bytes of the leaf of an event that was removed before it was sealed.
func GoneLeaf(seq int64, reason string) []byte {
	return fmt.Appendf(nil, "gone %d %s\n", seq, reason)
}

var errLeaf = errors.New("not the leaf of an event")

// ParseLeaf parses the bytes of a leaf.
func ParseLeaf(leaf []byte) (Leaf, error) {
	line, sum, ok := bytes.Cut(leaf, []byte("\n"))
	if !ok {
		return Leaf{}, errLeaf
	}
	text := string(line)
	if rest, gone := strings.CutPrefix(text, "gone "); gone {
		number, reason, _ := strings.Cut(rest, " ")
		seq, err := number64(number)
		if err != nil || len(sum) != 0 || reason == "" {
			return Leaf{}, errLeaf
		}
		return Leaf{Seq: seq, Gone: reason}, nil
	}
	ms, number, ok := strings.Cut(text, "-")
	seq, err := number64(number)
	if _, msErr := number64(ms); !ok || err != nil || msErr != nil || len(sum) != sha256.Size {
		return Leaf{}, errLeaf
	}
	return Leaf{Seq: seq, ID: text, Sum: [sha256.Size]byte(sum)}, nil
}

// number64 parses a number in its only spelling, so that one event has one leaf.
func number64(text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || strconv.FormatInt(n, 10) != text {
		return 0, errLeaf
	}
	return n, nil
}

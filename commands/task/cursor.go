package task

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/jsontext"
)

// cursor is a position in a list of tasks by createdAt. As text it is opaque to callers.
type cursor struct {
	num   int64 // the last task before it
	total int   // the number of matches when the first page was read
}

const (
	// cursorPattern is the pattern of a cursor's text.
	cursorPattern = `^[A-Za-z0-9_-]{1,64}$`
	cursorVersion = 1
	digestBytes   = 8
)

// text returns the cursor for a query. It has a digest of the filters and of the order, because its
// position would mean other tasks in another query.
func (c cursor) text(q api.TaskQuery) (string, error) {
	digest, err := digestOf(q)
	if err != nil {
		return "", err
	}
	b := append([]byte{cursorVersion}, digest...)
	b = binary.AppendUvarint(b, uint64(c.num))   //nolint:gosec // numbers of tasks are positive
	b = binary.AppendUvarint(b, uint64(c.total)) //nolint:gosec // a count
	return base64.RawURLEncoding.EncodeToString(b), nil
}

// cursorFrom reads the text of a cursor for the same query. The error is an *api.Error.
func cursorFrom(text string, q api.TaskQuery) (cursor, error) {
	foreign := api.InvalidParams("cursor parameter: it is not the nextCursor of a page of task.list")
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(b) < 1+digestBytes || b[0] != cursorVersion {
		return cursor{}, foreign
	}
	digest, rest := b[1:1+digestBytes], b[1+digestBytes:]
	num, n := binary.Uvarint(rest)
	if n <= 0 || num == 0 || num > jsontext.MaxInteger {
		return cursor{}, foreign
	}
	total, m := binary.Uvarint(rest[n:])
	if m <= 0 || n+m != len(rest) || total > jsontext.MaxInteger {
		return cursor{}, foreign
	}
	wanted, err := digestOf(q)
	if err != nil {
		return cursor{}, err
	}
	if string(digest) != string(wanted) {
		return cursor{}, api.InvalidParams("cursor parameter: it is of a list with other filters or another order; repeat the params of the page that returned it, or leave out cursor")
	}
	return cursor{num: int64(num), total: int(total)}, nil
}

// digestOf returns a digest of the query's filters and order. Spaces and the order of members in the
// metadata do not matter.
func digestOf(q api.TaskQuery) ([]byte, error) {
	f := q.TaskFilter
	if f.Metadata != nil {
		canonical, err := jsontext.Canonical(f.Metadata)
		if err != nil {
			return nil, fmt.Errorf("decode the metadata of a filter: %w", err)
		}
		f.Metadata = canonical
	}
	text, err := json.Marshal(struct {
		Filter     api.TaskFilter
		OrderBy    string
		Descending bool
	}{f, q.OrderBy, q.Descending})
	if err != nil {
		return nil, fmt.Errorf("encode the filters of a list: %w", err)
	}
	sum := sha256.Sum256(text)
	return sum[:digestBytes], nil
}
